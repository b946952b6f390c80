"""Disputes: a customer's bank takes the money back, and a decision that says who keeps it."""

from __future__ import annotations

from portal.local.stripe import payments
from portal.local.stripe.customers import merged
from portal.local.stripe.errors import invalid
from portal.local.stripe.lists import page
from portal.local.stripe.routes import LIST, Route
from portal.local.stripe.world import Json, World

EVIDENCE_DAYS = 9
FEE = 1500
_OPEN = ("needs_response", "under_review")


def open_dispute(world: World, charge: Json, *, reason: str = "fraudulent", amount: int | None = None) -> Json:
    """Open a dispute about a charge, and take the money and a fee from the balance."""
    if charge["status"] != "succeeded" or charge["disputed"]:
        raise invalid("Only a charge that succeeded can be disputed, and only once.")
    amount = charge["amount"] - charge["amount_refunded"] if amount is None else amount
    identifier = world.new_id("dispute")
    taken = payments.book(world, {"id": identifier, "currency": charge["currency"]}, "adjustment", -amount)
    taken.update(
        fee=FEE,
        net=-amount - FEE,
        reporting_category="dispute",
        description=f"Chargeback withdrawal for {charge['id']}",
        fee_details=[
            {
                "amount": FEE,
                "application": None,
                "currency": charge["currency"],
                "description": "Dispute fee",
                "type": "stripe_fee",
            }
        ],
    )
    dispute = world.add(
        "dispute",
        id=identifier,
        amount=amount,
        balance_transactions=[taken],
        charge=charge["id"],
        currency=charge["currency"],
        enhanced_eligibility_types=[],
        evidence={"enhanced_evidence": {}},
        evidence_details={
            "due_by": world.now() + EVIDENCE_DAYS * 86400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        is_charge_refundable=False,
        metadata={},
        network_reason_code="10.4" if reason == "fraudulent" else "13.1",
        payment_intent=charge["payment_intent"],
        payment_method_details={
            "type": "card",
            "card": {
                "brand": charge["payment_method_details"].get("card", {}).get("brand", "visa"),
                "case_type": "chargeback",
                "network": charge["payment_method_details"].get("card", {}).get("brand", "visa"),
                "network_reason_code": "10.4" if reason == "fraudulent" else "13.1",
            },
        },
        reason=reason,
        status="needs_response",
    )
    charge["disputed"] = True
    world.emit("charge.dispute.created", dispute)
    world.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def decide(world: World, dispute: Json, *, won: bool) -> None:
    """Decide a dispute: won gives the money back, lost leaves it with the customer."""
    if dispute["status"] not in _OPEN:
        raise invalid("This dispute is closed.")
    previous = {"status": dispute["status"]}
    dispute["status"] = "won" if won else "lost"
    if won:
        source = {"id": dispute["id"], "currency": dispute["currency"]}
        returned = payments.book(world, source, "adjustment", dispute["amount"])
        returned.update(reporting_category="dispute_reversal")
        before = list(dispute["balance_transactions"])
        dispute["balance_transactions"] = [*before, returned]
        world.emit("charge.dispute.funds_reinstated", dispute, {"balance_transactions": before})
    world.emit("charge.dispute.closed", dispute, previous)


def dispute_as_its_card_does(world: World, charge: Json) -> None:
    """Open the dispute that a test card stands for."""
    open_dispute(world, charge)


payments.DISPUTED.append(dispute_as_its_card_does)


def retrieve(world: World, params: Json, dispute: str) -> Json:
    return world.get("dispute", dispute)


def update(world: World, params: Json, dispute: str) -> Json:
    found = world.get("dispute", dispute)
    if found["status"] not in _OPEN:
        raise invalid("This dispute is closed.")
    if "metadata" in params:
        found["metadata"] = merged(found["metadata"], params["metadata"])
    if evidence := params.get("evidence"):
        found["evidence"] |= evidence
        found["evidence_details"]["has_evidence"] = True
    if params.get("submit", True) and params.get("evidence"):
        found["status"] = "under_review"
        found["evidence_details"] |= {"submission_count": 1, "submission_method": "manual"}
    world.emit("charge.dispute.updated", found)
    return found


def close(world: World, params: Json, dispute: str) -> Json:
    found = world.get("dispute", dispute)
    decide(world, found, won=False)
    return found


def list_all(world: World, params: Json) -> Json:
    equal = {name: params[name] for name in ("charge", "payment_intent") if name in params}
    return page(world.all("dispute", **equal), params, "/v1/disputes")


ROUTES = (
    Route("GET", "/v1/disputes", list_all, "DisputeListParams", f"{LIST} charge created payment_intent"),
    Route("GET", "/v1/disputes/{dispute}", retrieve, "DisputeRetrieveParams"),
    Route("POST", "/v1/disputes/{dispute}", update, "DisputeUpdateParams", "evidence metadata submit"),
    Route("POST", "/v1/disputes/{dispute}/close", close, "DisputeCloseParams"),
)
