"""Refunds and disputes of the stand-in for Stripe: in parts, late, failed; opened, won and lost."""

from __future__ import annotations

import pytest
import stripe

from tests.stripe_standin import StandIn


def charge_of(client: stripe.StripeClient, token: str = "pm_card_visa", amount: int = 1000) -> stripe.Charge:
    intent = client.v1.payment_intents.create(
        {
            "amount": amount,
            "currency": "cny",
            "payment_method": token,
            "confirm": True,
            "expand": ["latest_charge"],
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        }
    )
    return intent.latest_charge


def kinds(standin: StandIn, *prefixes: str) -> list[str]:
    return [event["type"] for event in standin.events() if event["type"].startswith(prefixes)]


def test_a_payment_is_refunded_in_parts_and_never_beyond(standin: StandIn, client: stripe.StripeClient) -> None:
    charge = charge_of(client)
    first = client.v1.refunds.create({"payment_intent": charge.payment_intent, "amount": 300, "metadata": {"a": "b"}})
    assert (first.status, first.amount, first.charge) == ("succeeded", 300, charge.id)
    found = client.v1.charges.retrieve(charge.id, {"expand": ["refunds"]})
    assert (found.amount_refunded, found.refunded, found.refunds.data[0].id) == (300, False, first.id)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        client.v1.refunds.create({"charge": charge.id, "amount": 701})
    assert client.v1.refunds.create({"charge": charge.id}).amount == 700
    assert client.v1.charges.retrieve(charge.id).refunded
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"charge": charge.id})
    assert refused.value.code == "charge_already_refunded"
    assert kinds(standin, "charge.refunded", "refund.") == ["refund.created", "charge.refunded"] * 2


def test_a_refund_asked_for_twice_under_its_key_is_made_once(client: stripe.StripeClient) -> None:
    charge = charge_of(client)
    ids = {
        client.v1.refunds.create({"charge": charge.id, "amount": 300}, {"idempotency_key": "refund-1"}).id
        for _ in range(3)
    }
    assert len(ids) == 1
    assert client.v1.charges.retrieve(charge.id).amount_refunded == 300


@pytest.mark.parametrize("succeeds", [True, False])
def test_a_refund_that_waits(standin: StandIn, client: stripe.StripeClient, succeeds: bool) -> None:
    charge = charge_of(client)
    standin.control("refunds/next", status="pending")
    refund = client.v1.refunds.create({"charge": charge.id, "amount": 400})
    assert refund.status == "pending"
    standin.control(f"refunds/{refund.id}/finish", succeeds=succeeds)
    ended = client.v1.refunds.retrieve(refund.id)
    assert ended.status == ("succeeded" if succeeds else "failed")
    assert client.v1.charges.retrieve(charge.id).amount_refunded == (400 if succeeds else 0)
    failed = [] if succeeds else ["refund.failed"]
    assert kinds(standin, "refund.") == ["refund.created", "refund.updated", *failed]


def test_what_has_not_succeeded_is_not_refunded(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.CardError) as declined:
        charge_of(client, "pm_card_chargeDeclined")
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.refunds.create({"charge": declined.value.error.charge})


@pytest.mark.parametrize("won", [True, False])
def test_a_dispute_is_opened_answered_and_decided(standin: StandIn, client: stripe.StripeClient, won: bool) -> None:
    charge = charge_of(client)
    opened = standin.control(f"charges/{charge.id}/dispute", reason="product_not_received")
    assert client.v1.charges.retrieve(charge.id).disputed
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"charge": charge.id})
    assert refused.value.code == "charge_disputed"
    answered = client.v1.disputes.update(opened["id"], {"evidence": {"uncategorized_text": "Here it is."}})
    assert (answered.status, answered.evidence_details.has_evidence) == ("under_review", True)
    standin.control(f"disputes/{opened['id']}/decide", won=won)
    decided = client.v1.disputes.retrieve(opened["id"])
    assert decided.status == ("won" if won else "lost")
    assert sum(moved.amount for moved in decided.balance_transactions) == (0 if won else -1000)
    reinstated = ["charge.dispute.funds_reinstated"] if won else []
    assert kinds(standin, "charge.dispute.") == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
        *reinstated,
        "charge.dispute.closed",
    ]


def test_one_card_disputes_what_it_pays(standin: StandIn, client: stripe.StripeClient) -> None:
    charge = charge_of(client, "pm_card_createDispute")
    (dispute,) = client.v1.disputes.list({"charge": charge.id}).data
    assert (dispute.amount, dispute.status, dispute.reason) == (1000, "needs_response", "fraudulent")
    order = kinds(standin, "payment_intent.succeeded", "charge.dispute.created")
    assert order == ["payment_intent.succeeded", "charge.dispute.created"]
    assert client.v1.disputes.close(dispute.id).status == "lost"
