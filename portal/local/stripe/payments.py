"""Payment intents and the charges that they make: the one place where a card is asked for money."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from portal.local.stripe import methods, types
from portal.local.stripe.cards import TestCard, decline
from portal.local.stripe.customers import merged
from portal.local.stripe.errors import StripeError, invalid
from portal.local.stripe.lists import page
from portal.local.stripe.routes import LIST, Route
from portal.local.stripe.world import Json, World

# The least that Stripe charges, in minor units; https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
LEAST = {"usd": 50, "eur": 50, "gbp": 30, "cny": 400}
MOST = 99_999_999
FIELDS = "amount currency customer description metadata payment_method allowed_payment_method_types receipt_email"
_CLASSES = {"card": "Card", "us_bank_account": "UsBankAccount"}
# Called when an intent has succeeded, failed or begun to wait for its bank: checkout and invoices go on from there.
FOLLOWERS: list[Callable[[World, Json], None]] = []
# Called with the charge of a card whose holder will dispute it.
DISPUTED: list[Callable[[World, Json], None]] = []


def new_intent(world: World, amount: int, currency: str, customer: str | None = None, **values: Any) -> Json:
    """Keep an intent that nothing was charged for yet. Raises StripeError for an amount that cards do not take."""
    currency = currency.lower()
    if amount < LEAST.get(currency, 1):
        message = f"Amount must convert to at least {LEAST.get(currency, 1)} of the minor unit of {currency}."
        raise invalid(message, "amount_too_small", "amount")
    if amount > MOST:
        raise invalid(f"Amount must be no more than {MOST}.", "amount_too_large", "amount")
    identifier = world.new_id("payment_intent")
    intent = world.add(
        "payment_intent",
        customer,
        **{
            "id": identifier,
            "amount": amount,
            "amount_capturable": 0,
            "amount_details": {"tip": {}},
            "amount_received": 0,
            "capture_method": "automatic_async",
            "client_secret": f"{identifier}_secret_{world.new_id('request')[4:]}",
            "confirmation_method": "automatic",
            "currency": currency,
            "metadata": {},
            "payment_method_types": ["card"],
            "status": "requires_payment_method",
            **values,
        },
    )
    world.emit("payment_intent.created", intent)
    return intent


def confirm_intent(world: World, intent: Json, method: Json, *, off_session: bool = False) -> None:
    """Ask the method for the money. Raises StripeError (402) for a decline; the intent then waits for another one."""
    if intent["status"] not in ("requires_payment_method", "requires_confirmation", "requires_action"):
        raise unexpected_state(intent, "confirm")
    if method["customer"] and method["customer"] != intent["customer"]:
        message = "The provided PaymentMethod was previously used with another customer."
        raise invalid(message, None, "payment_method")
    intent.update(payment_method=method["id"], last_payment_error=None, next_action=None)
    card = methods.card_behind(world, method)
    if card is None:
        _await_bank(world, intent, method)
    elif card.secure == "always" or (
        card.secure == "unless_set_up" and not world.secret(method["id"])["authenticated"]
    ):
        if off_session:
            _fail(world, intent, method, _AUTHENTICATION)
        _require_action(world, intent)
    else:
        charge_card(world, intent, method, card)


_AUTHENTICATION = {
    "code": "authentication_required",
    "decline_code": "authentication_required",
    "message": "Your card was declined. This transaction requires authentication.",
}
_NOT_AUTHENTICATED = {
    "code": "payment_intent_authentication_failure",
    "message": "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new"
    " PaymentMethod to attempt to fulfill this PaymentIntent again.",
}


def charge_card(world: World, intent: Json, method: Json, card: TestCard) -> None:
    """Take the money, or raise the card's decline."""
    if card.declined:
        _fail(world, intent, method, decline(card.declined))
    charge = _charge(world, intent, method, "succeeded")
    if intent["setup_future_usage"] and intent["customer"] and not method["customer"]:
        methods.attach(world, method, intent["customer"])
    _succeed(world, intent, charge)
    if card.disputed:
        for dispute in DISPUTED:
            dispute(world, charge)


def _charge(world: World, intent: Json, method: Json, status: str, declined: dict[str, str] | None = None) -> Json:
    kind = method["type"]
    known = types.hints(getattr(types.inside("charge", "PaymentMethodDetails"), _CLASSES[kind]))
    shown = {name: value for name, value in method[kind].items() if name in known}
    if kind == "card":
        shown |= {"network": shown["brand"], "amount_authorized": intent["amount"]}
    details = {"type": kind, kind: shown}
    identifier = world.new_id("charge", "ch" if method["type"] == "card" else "py")
    charge = world.add(
        "charge",
        intent["customer"],
        id=identifier,
        amount=intent["amount"],
        amount_captured=intent["amount"] if status == "succeeded" else 0,
        amount_refunded=0,
        billing_details=method["billing_details"],
        calculated_statement_descriptor="TOKENSIGHT",
        captured=status != "failed",
        currency=intent["currency"],
        description=intent["description"],
        disputed=False,
        failure_code=declined["code"] if declined else None,
        failure_message=declined["message"] if declined else None,
        fraud_details={},
        metadata=dict(intent["metadata"]),
        outcome=_outcome(status, declined),
        paid=status == "succeeded",
        payment_intent=intent["id"],
        payment_method=method["id"],
        payment_method_details=details,
        radar_options={},
        receipt_email=intent["receipt_email"],
        receipt_url=f"{world.origin}/receipts/{identifier}" if status != "failed" else None,
        refunded=False,
        status=status,
    )
    intent["latest_charge"] = charge["id"]
    return charge


def _outcome(status: str, declined: dict[str, str] | None) -> Json:
    if declined:
        reason = declined.get("decline_code", declined["code"])
        return {
            "network_status": "declined_by_network",
            "reason": reason,
            "risk_level": "normal",
            "seller_message": "The bank did not return any further details with this decline.",
            "type": "issuer_declined",
        }
    return {
        "network_status": "approved_by_network",
        "risk_level": "normal",
        "seller_message": "Payment complete." if status == "succeeded" else "Payment pending.",
        "type": "authorized",
    }


def _fail(world: World, intent: Json, method: Json, declined: dict[str, str]) -> NoReturn:
    charge = _charge(world, intent, method, "failed", declined)
    kind = "invalid_request_error" if declined is _NOT_AUTHENTICATED else "card_error"
    error = StripeError(402, kind, charge=charge["id"], payment_method=method, **declined)
    intent.update(status="requires_payment_method", payment_method=None, next_action=None)
    intent["last_payment_error"] = dict(error.error)
    world.changed = True
    world.emit("charge.failed", charge)
    world.emit("payment_intent.payment_failed", intent)
    for follow in FOLLOWERS:
        follow(world, intent)
    error.error["payment_intent"] = dict(intent)
    raise error


def _require_action(world: World, intent: Json) -> None:
    intent["status"] = "requires_action"
    intent["next_action"] = {
        "type": "redirect_to_url",
        "redirect_to_url": {"return_url": None, "url": f"{world.origin}/3ds/{intent['id']}"},
    }
    world.changed = True
    world.emit("payment_intent.requires_action", intent)
    for follow in FOLLOWERS:
        follow(world, intent)


def authenticate(world: World, intent: Json, *, passed: bool) -> None:
    """Go on after the customer has answered their bank. Raises StripeError (402) for a failure or a decline."""
    if intent["status"] != "requires_action":
        raise unexpected_state(intent, "authenticate")
    method = world.get("payment_method", intent["payment_method"])
    card = methods.card_behind(world, method)
    if not passed or card is None:
        _fail(world, intent, method, _NOT_AUTHENTICATED)
    if intent["setup_future_usage"]:
        world.secret(method["id"])["authenticated"] = True
    intent["next_action"] = None
    charge_card(world, intent, method, card)


def _succeed(world: World, intent: Json, charge: Json) -> None:
    intent.update(status="succeeded", amount_received=intent["amount"], next_action=None, processing=None)
    charge["balance_transaction"] = book(world, charge, "charge", charge["amount"], fee=True)["id"]
    world.changed = True
    world.emit("charge.succeeded", charge)
    world.emit("payment_intent.succeeded", intent)
    for follow in FOLLOWERS:
        follow(world, intent)


def book(world: World, source: Json, kind: str, amount: int, *, fee: bool = False, **values: Any) -> Json:
    """Keep a balance transaction: 2.9 % and 30 are Stripe's fee for a card payment, rounded."""
    cost = (amount * 29 + 500) // 1000 + 30 if fee else 0
    details = [{"amount": cost, "currency": source["currency"], "description": "Stripe processing fees"}] if fee else []
    for detail in details:
        detail["type"] = "stripe_fee"
    return world.add(
        "balance_transaction",
        amount=amount,
        available_on=world.now() + 2 * 86400,
        balance_type="payments",
        currency=source["currency"],
        fee=cost,
        fee_details=details,
        net=amount - cost,
        reporting_category=kind,
        source=source["id"],
        status="pending",
        type=kind,
        **values,
    )


def _await_bank(world: World, intent: Json, method: Json) -> None:
    charge = _charge(world, intent, method, "pending")
    intent.update(status="processing")
    world.changed = True
    world.secret(intent["id"])["awaited_since"] = world.now()
    world.emit("charge.pending", charge)
    world.emit("payment_intent.processing", intent)
    for follow in FOLLOWERS:
        follow(world, intent)


def settle(world: World, intent: Json, *, succeeds: bool) -> None:
    """Let the money of a bank debit arrive, or fail to."""
    if intent["status"] != "processing":
        raise unexpected_state(intent, "settle")
    charge = world.get("charge", intent["latest_charge"])
    if succeeds:
        charge.update(status="succeeded", paid=True, amount_captured=charge["amount"])
        _succeed(world, intent, charge)
        return
    message = "The customer's account has insufficient funds to cover this payment."
    charge.update(status="failed", captured=False, failure_code="insufficient_funds", failure_message=message)
    method = world.get("payment_method", intent["payment_method"])
    error = {"type": "card_error", "code": "payment_intent_payment_attempt_failed", "message": message}
    intent.update(
        status="requires_payment_method", payment_method=None, last_payment_error={**error, "payment_method": method}
    )
    world.changed = True
    world.emit("charge.failed", charge)
    world.emit("payment_intent.payment_failed", intent)
    for follow in FOLLOWERS:
        follow(world, intent)


def unexpected_state(intent: Json, act: str) -> StripeError:
    """Return the refusal of an act that an intent's status does not allow."""
    kind = intent["object"]
    message = f"You cannot {act} this {kind.title().replace('_', '')} because it has a status of {intent['status']}."
    return StripeError(400, "invalid_request_error", message, f"{kind}_unexpected_state", **{kind: intent})


# --- The API ----------------------------------------------------------------------------------------------------------
def create(world: World, params: Json) -> Json:
    confirmed = params.pop("confirm", False)
    off_session = params.pop("off_session", None)
    automatic = params.pop("automatic_payment_methods", None)
    params.pop("error_on_requires_action", None)
    if not confirmed and off_session is not None:
        raise invalid("off_session can only be set when confirm is true.", None, "off_session")
    amount, currency, customer = params.pop("amount"), params.pop("currency"), params.pop("customer", None)
    method = methods.resolve(world, params.pop("payment_method")) if "payment_method" in params else None
    if customer:
        world.get("customer", customer, "customer")
    if off_session and (method is None or method["customer"] != customer or not customer):
        raise invalid("off_session payments need a saved payment_method and its customer.", None, "off_session")
    if automatic:
        automatic = {"allow_redirects": "always", **automatic}
    intent = new_intent(world, amount, currency, customer, automatic_payment_methods=automatic, **params)
    if method:
        intent.update(payment_method=method["id"], status="requires_confirmation")
    if confirmed:
        if method is None:
            raise invalid("You cannot confirm this PaymentIntent because it's missing a payment method.")
        confirm_intent(world, intent, method, off_session=bool(off_session))
    return intent


def confirm(world: World, params: Json, intent: str) -> Json:
    found = world.get("payment_intent", intent)
    named = params.get("payment_method") or found["payment_method"]
    if not named:
        raise invalid("You cannot confirm this PaymentIntent because it's missing a payment method.")
    confirm_intent(world, found, methods.resolve(world, named), off_session=bool(params.get("off_session")))
    if found["next_action"]:
        found["next_action"]["redirect_to_url"]["return_url"] = params.get("return_url")
    return found


def retrieve(world: World, params: Json, intent: str) -> Json:
    return world.get("payment_intent", intent)


def update(world: World, params: Json, intent: str) -> Json:
    found = world.get("payment_intent", intent)
    if "amount" in params and not found["status"].startswith("requires_"):
        raise unexpected_state(found, "update")
    if "metadata" in params:
        params["metadata"] = merged(found["metadata"], params["metadata"])
    found.update(params)
    return found


def cancel(world: World, params: Json, intent: str) -> Json:
    found = world.get("payment_intent", intent)
    if not found["status"].startswith("requires_"):
        raise unexpected_state(found, "cancel")
    found.update(
        status="canceled",
        canceled_at=world.now(found["customer"]),
        cancellation_reason=params.get("cancellation_reason"),
        next_action=None,
    )
    world.emit("payment_intent.canceled", found)
    return found


def list_all(world: World, params: Json) -> Json:
    equal = {"customer": params["customer"]} if "customer" in params else {}
    return page(world.all("payment_intent", **equal), params, "/v1/payment_intents")


def retrieve_charge(world: World, params: Json, charge: str) -> Json:
    return world.get("charge", charge)


def list_charges(world: World, params: Json) -> Json:
    equal = {name: params[name] for name in ("customer", "payment_intent") if name in params}
    return page(world.all("charge", **equal), params, "/v1/charges")


def retrieve_transaction(world: World, params: Json, transaction: str) -> Json:
    return world.get("balance_transaction", transaction)


def list_transactions(world: World, params: Json) -> Json:
    equal = {name: params[name] for name in ("source", "type", "currency") if name in params}
    return page(world.all("balance_transaction", **equal), params, "/v1/balance_transactions")


_CREATE = (
    f"{FIELDS} setup_future_usage statement_descriptor_suffix confirm off_session automatic_payment_methods"
    " error_on_requires_action"
)
ROUTES = (
    Route("POST", "/v1/payment_intents", create, "PaymentIntentCreateParams", _CREATE),
    Route("GET", "/v1/payment_intents", list_all, "PaymentIntentListParams", f"{LIST} created customer"),
    Route("GET", "/v1/payment_intents/{intent}", retrieve, "PaymentIntentRetrieveParams"),
    Route("POST", "/v1/payment_intents/{intent}", update, "PaymentIntentUpdateParams", "amount metadata description"),
    Route(
        "POST",
        "/v1/payment_intents/{intent}/confirm",
        confirm,
        "PaymentIntentConfirmParams",
        "payment_method off_session return_url",
    ),
    Route("POST", "/v1/payment_intents/{intent}/cancel", cancel, "PaymentIntentCancelParams", "cancellation_reason"),
    Route("GET", "/v1/charges", list_charges, "ChargeListParams", f"{LIST} created customer payment_intent"),
    Route("GET", "/v1/charges/{charge}", retrieve_charge, "ChargeRetrieveParams"),
    Route(
        "GET",
        "/v1/balance_transactions",
        list_transactions,
        "BalanceTransactionListParams",
        f"{LIST} created source type currency",
    ),
    Route(
        "GET",
        "/v1/balance_transactions/{transaction}",
        retrieve_transaction,
        "BalanceTransactionRetrieveParams",
    ),
)
