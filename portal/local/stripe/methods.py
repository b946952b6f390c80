"""Payment methods: test cards, and a bank debit whose money arrives later or never."""

from __future__ import annotations

import hashlib
import time
from typing import Any

from portal.local.stripe.cards import CARDS, TestCard, card_of, decline
from portal.local.stripe.customers import merged
from portal.local.stripe.errors import StripeError, invalid
from portal.local.stripe.lists import page
from portal.local.stripe.routes import LIST, Route
from portal.local.stripe.world import Json, World

# Ids that Stripe takes in test mode in the place of a method of one's own.
TOKENS = {
    "pm_card_visa": "4242424242424242",
    "pm_card_mastercard": "5555555555554444",
    "pm_card_visa_chargeDeclined": "4000000000000002",
    "pm_card_chargeDeclined": "4000000000000002",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "4000000000009995",
    "pm_card_chargeDeclinedInsufficientFunds": "4000000000009995",
    "pm_card_chargeCustomerFail": "4000000000000341",
    "pm_card_authenticationRequired": "4000002760003184",
    "pm_card_authenticationRequiredOnSetup": "4000002500003155",
    "pm_card_createDispute": "4000000000000259",
}


def new_card(world: World, number: str, month: int, year: int, billing: Json | None = None) -> Json:
    """Keep a card as a payment method of nobody yet. Raises StripeError for what is no test card or has expired."""
    card = card_of(number)
    year += 2000 if year < 100 else 0
    if not 1 <= month <= 12:
        message = "Your card's expiration month is invalid."
        raise StripeError(402, "card_error", message, "invalid_expiry_month", param="exp_month")
    if (year, month) < _year_and_month(world):
        message = "Your card's expiration year is invalid."
        raise StripeError(402, "card_error", message, "invalid_expiry_year", param="exp_year")
    method = world.add(
        "payment_method",
        type="card",
        allow_redisplay="unspecified",
        billing_details=billing or {},
        metadata={},
        card=shown_card(card, month, year),
    )
    world.secret(method["id"]).update(number=card.number, authenticated=False)
    return method


def _year_and_month(world: World) -> tuple[int, int]:
    present = time.gmtime(world.now())
    return present.tm_year, present.tm_mon


def shown_card(card: TestCard, month: int, year: int) -> Json:
    """Return what Stripe shows of a card."""
    return {
        "brand": card.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": card.country,
        "display_brand": card.brand,
        "exp_month": month,
        "exp_year": year,
        "fingerprint": hashlib.sha256(card.number.encode()).hexdigest()[:16],
        "funding": "credit",
        "last4": card.number[-4:],
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
    }


def new_debit(world: World, outcome: str, billing: Json | None = None) -> Json:
    """Keep a bank debit; `outcome` is "settles" or "fails", and shows itself only later."""
    account = {
        "account_holder_type": "company",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "fingerprint": "localstandin0000",
        "last4": "6789" if outcome == "settles" else "1116",
        "routing_number": "110000000",
    }
    method = world.add(
        "payment_method",
        type="us_bank_account",
        allow_redisplay="unspecified",
        billing_details=billing or {},
        metadata={},
        us_bank_account=account,
    )
    world.secret(method["id"])["outcome"] = outcome
    return method


def card_behind(world: World, method: Json) -> TestCard | None:
    """Return the test card behind a payment method; None for a bank debit."""
    number = world.secret(method["id"]).get("number")
    return CARDS[number] if number else None


def resolve(world: World, identifier: str, param: str = "payment_method") -> Json:
    """Return a payment method by its id, or a new one for one of Stripe's test ids."""
    if number := TOKENS.get(identifier):
        return new_card(world, number, 12, world_year(world) + 4)
    return world.get("payment_method", identifier, param)


def world_year(world: World) -> int:
    """Return the present year."""
    return _year_and_month(world)[0]


def attach(world: World, method: Json, customer: str) -> None:
    """Save a method with a customer. Raises StripeError when another has it, or its card is declined."""
    if method["customer"] == customer:
        return
    if method["customer"]:
        raise invalid("The payment method you provided has already been attached to a customer.")
    card = card_behind(world, method)
    if card and card.declined and not card.saved_all_the_same:
        raise StripeError(402, "card_error", **decline(card.declined), payment_method=method)
    method["customer"] = customer
    world.changed = True
    world.emit("payment_method.attached", method)


def create_method(world: World, params: Json) -> Json:
    card: Any = params.get("card")
    if params.get("type") != "card" or not card or "number" not in card:
        raise invalid("This stand-in makes payment methods of the type card alone: card[number], ...", None, "type")
    made = new_card(world, card["number"], card["exp_month"], card["exp_year"], params.get("billing_details"))
    made["metadata"] = params.get("metadata") or {}
    return made


def retrieve_method(world: World, params: Json, method: str) -> Json:
    return resolve(world, method) if method in TOKENS else world.get("payment_method", method)


def update_method(world: World, params: Json, method: str) -> Json:
    found = world.get("payment_method", method)
    if "metadata" in params:
        found["metadata"] = merged(found["metadata"], params["metadata"])
    if "allow_redisplay" in params:
        found["allow_redisplay"] = params["allow_redisplay"]
    if card := params.get("card"):
        found["card"] |= {name: card[name] for name in ("exp_month", "exp_year") if name in card}
    world.emit("payment_method.updated", found)
    return found


def list_methods(world: World, params: Json) -> Json:
    equal = {name: params[name] for name in ("customer", "type") if name in params}
    if "customer" not in equal:
        raise invalid("This stand-in lists payment methods of one customer.", "parameter_missing", "customer")
    world.get("customer", equal["customer"], "customer")
    return page(world.all("payment_method", **equal), params, "/v1/payment_methods")


def list_of_customer(world: World, params: Json, customer: str) -> Json:
    world.get("customer", customer)
    equal = {"type": params["type"]} if "type" in params else {}
    url = f"/v1/customers/{customer}/payment_methods"
    return page(world.all("payment_method", customer=customer, **equal), params, url)


def attach_method(world: World, params: Json, method: str) -> Json:
    world.get("customer", params["customer"], "customer")
    found = resolve(world, method)
    attach(world, found, params["customer"])
    return found


def detach_method(world: World, params: Json, method: str) -> Json:
    found = world.get("payment_method", method)
    if not found["customer"]:
        raise invalid("The payment method you provided is not attached to a customer so detachment is impossible.")
    owner = world.get("customer", found["customer"])
    if owner["invoice_settings"]["default_payment_method"] == method:
        owner["invoice_settings"]["default_payment_method"] = None
    found["customer"] = None
    world.changed = True
    world.emit("payment_method.detached", found, {"customer": owner["id"]})
    return found


ROUTES = (
    Route(
        "POST",
        "/v1/payment_methods",
        create_method,
        "PaymentMethodCreateParams",
        "type card.number card.exp_month card.exp_year card.cvc billing_details metadata",
    ),
    Route("GET", "/v1/payment_methods", list_methods, "PaymentMethodListParams", f"{LIST} customer type"),
    Route("GET", "/v1/payment_methods/{method}", retrieve_method, "PaymentMethodRetrieveParams"),
    Route(
        "POST",
        "/v1/payment_methods/{method}",
        update_method,
        "PaymentMethodUpdateParams",
        "metadata allow_redisplay card.exp_month card.exp_year",
    ),
    Route("POST", "/v1/payment_methods/{method}/attach", attach_method, "PaymentMethodAttachParams", "customer"),
    Route("POST", "/v1/payment_methods/{method}/detach", detach_method, "PaymentMethodDetachParams"),
    Route(
        "GET",
        "/v1/customers/{customer}/payment_methods",
        list_of_customer,
        "CustomerPaymentMethodListParams",
        f"{LIST} type",
    ),
)
