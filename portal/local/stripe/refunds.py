"""Refunds of a payment, whole or in parts: done at once, still waiting, or failed later."""

from __future__ import annotations

from portal.local.stripe import payments
from portal.local.stripe.customers import merged
from portal.local.stripe.errors import invalid
from portal.local.stripe.lists import INCLUDABLE, page
from portal.local.stripe.routes import LIST, Route
from portal.local.stripe.world import Json, World


def create(world: World, params: Json) -> Json:
    charge = _charge(world, params)
    left = charge["amount"] - charge["amount_refunded"]
    amount = params.get("amount", left)
    if charge["refunded"]:
        raise invalid(f"Charge {charge['id']} has already been refunded.", "charge_already_refunded")
    if charge["disputed"]:
        message = "This charge has been charged back and cannot be refunded."
        raise invalid(message, "charge_disputed", "charge")
    if not 0 < amount <= left:
        message = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})."
        raise invalid(message, None, "amount")
    pends = world.next_refund == "pending"
    world.next_refund = None
    refund = world.add(
        "refund",
        charge["customer"],
        amount=amount,
        charge=charge["id"],
        currency=charge["currency"],
        destination_details=_destination(charge),
        metadata=params.get("metadata") or {},
        payment_intent=charge["payment_intent"],
        payment_method=charge["payment_method"],
        pending_reason="processing" if pends else None,
        reason=params.get("reason"),
        status="pending" if pends else "succeeded",
    )
    booked = payments.book(world, refund, "refund", -amount)
    refund["balance_transaction"] = booked["id"]
    before = {"amount_refunded": charge["amount_refunded"], "refunded": charge["refunded"]}
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    world.emit("refund.created", refund)
    world.emit("charge.refunded", charge, before)
    return refund


def _charge(world: World, params: Json) -> Json:
    if ("charge" in params) == ("payment_intent" in params):
        message = "One of the following params should be provided for this request: payment_intent or charge."
        raise invalid(message, "parameter_missing")
    if "charge" in params:
        charge = world.get("charge", params["charge"], "charge")
    else:
        intent = world.get("payment_intent", params["payment_intent"], "payment_intent")
        if intent["status"] != "succeeded":
            message = f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
            raise invalid(message, "resource_missing", "payment_intent")
        charge = world.get("charge", intent["latest_charge"])
    if charge["status"] != "succeeded":
        raise invalid(f"Charge {charge['id']} has not succeeded and cannot be refunded.", None, "charge")
    return charge


def _destination(charge: Json) -> Json:
    if charge["payment_method_details"]["type"] != "card":
        return {"type": "us_bank_transfer", "us_bank_transfer": {}}
    return {"type": "card", "card": {"type": "refund", "reference_status": "pending"}}


def finish(world: World, refund: Json, *, succeeds: bool) -> None:
    """End a refund that waited, or let one fail that had seemed to succeed: the money is back with the seller."""
    charge = world.get("charge", refund["charge"])
    if refund["status"] in ("failed", "canceled"):
        raise invalid("This refund has ended.")
    previous = {"status": refund["status"]}
    refund["pending_reason"] = None
    if succeeds:
        refund["status"] = "succeeded"
    else:
        refund.update(status="failed", failure_reason="lost_or_stolen_card")
        returned = payments.book(world, refund, "refund_failure", refund["amount"])
        refund["failure_balance_transaction"] = returned["id"]
        charge["amount_refunded"] -= refund["amount"]
        charge["refunded"] = False
    world.emit("refund.updated", refund, previous)
    world.emit("charge.refund.updated", refund, previous)
    if not succeeds:
        world.emit("refund.failed", refund)


def retrieve(world: World, params: Json, refund: str) -> Json:
    return world.get("refund", refund)


def update(world: World, params: Json, refund: str) -> Json:
    found = world.get("refund", refund)
    if "metadata" in params:
        found["metadata"] = merged(found["metadata"], params["metadata"])
    world.emit("refund.updated", found)
    return found


def list_all(world: World, params: Json) -> Json:
    equal = {name: params[name] for name in ("charge", "payment_intent") if name in params}
    return page(world.all("refund", **equal), params, "/v1/refunds")


INCLUDABLE["charge", "refunds"] = lambda world, charge: world.all("refund", charge=charge["id"])[::-1]

ROUTES = (
    Route("POST", "/v1/refunds", create, "RefundCreateParams", "amount charge metadata payment_intent reason"),
    Route("GET", "/v1/refunds", list_all, "RefundListParams", f"{LIST} charge created payment_intent"),
    Route("GET", "/v1/refunds/{refund}", retrieve, "RefundRetrieveParams"),
    Route("POST", "/v1/refunds/{refund}", update, "RefundUpdateParams", "metadata"),
)
