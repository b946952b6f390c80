"""A dispute freezes what is left; won it thaws, lost it is taken, in whatever order and how often the news come."""

from __future__ import annotations

import itertools
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing import errors
from billing.enums import AlertRule, DisputeStatus
from billing.gateways.stripe import disputes as gateway
from billing.models import Account, Alert, Debt, Dispute, Freeze
from billing.services import holds
from billing.services.disputes import keep_dispute
from billing.services.refund_rounds import finish_refunds
from billing.services.refunds import request_refund
from tenants.actors import PLATFORM
from tenants.identifiers import new_id
from tenants.models import AuditEvent, Organization, OutboxMail
from tenants.scope import organization_scope, platform_scope
from tests.billing.refunds.buying import buy, charge_of, failures, hear
from tests.billing.refunds.test_refunds import available, spend, wallet
from tests.factories.billing import assert_ledger_clean, make_account, make_hold
from tests.factories.tenants import make_user
from tests.stripe_standin import DISPUTED, StandIn

pytestmark = pytest.mark.django_db
KINDS = ("created", "updated", "funds_withdrawn", "funds_reinstated", "closed")


def open_dispute(standin: StandIn, charge: str, **options: Any) -> str:
    return str(standin.control(f"charges/{charge}/dispute", **options)["id"])


def news(standin: StandIn) -> list[dict[str, Any]]:
    return standin.events(*(f"charge.dispute.{kind}" for kind in KINDS))


def frozen(organization: Organization) -> bool:
    with organization_scope(organization.id):
        return Freeze.objects.filter(thawed_at=None).exists()


def the_dispute(organization: Organization) -> Dispute:
    with organization_scope(organization.id):
        return Dispute.objects.get()


def test_an_open_dispute_freezes_and_winning_thaws(standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    pool = make_account(wallet(alpha), 200_000, kind="team_pool", now=timezone.now())
    spend(alpha, 100_000)
    dispute = open_dispute(standin, charge_of(standin, payment))
    hear(news(standin))
    assert failures() == []
    assert (available(alpha), frozen(alpha)) == (0, True)
    with pytest.raises(errors.InsufficientTokens):
        make_hold(pool, 1, now=timezone.now())
    with pytest.raises(errors.RefundRefused) as refused:
        request_refund(
            organization_id=alpha.id, payment_id=payment.id, mtok=1_000, reason="", actor=PLATFORM,
            idempotency_key="k", now=timezone.now(),
        )  # fmt: skip
    assert refused.value.code == "disputed"
    standin.control(f"disputes/{dispute}/decide", won=True)
    hear(news(standin))
    assert failures() == []
    assert (available(alpha), frozen(alpha)) == (700_000, False)
    found = the_dispute(alpha)
    assert (found.status, found.taken_mtok, found.stripe_status) == (DisputeStatus.WON, 0, "won")
    with organization_scope(alpha.id):
        assert not Debt.objects.exists()
    assert_ledger_clean()


def test_losing_takes_what_is_left_and_the_spent_is_owed(standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    spend(alpha, 100_000)
    dispute = open_dispute(standin, charge_of(standin, payment))
    hear(news(standin))
    standin.control(f"disputes/{dispute}/decide", won=False)
    hear(news(standin))
    assert failures() == []
    found = the_dispute(alpha)
    assert (found.status, found.tokens_mtok, found.taken_mtok) == (DisputeStatus.LOST, 1_000_000, 900_000)
    with organization_scope(alpha.id):
        assert Debt.objects.get().owed_mtok == 100_000
        assert Account.objects.get(kind="refunded").posted_mtok == 900_000
    assert not frozen(alpha)
    with pytest.raises(errors.DebtOutstanding):
        make_hold(wallet(alpha), 1, now=timezone.now())
    buy(standin, alpha, 1_000)
    assert available(alpha) == 900_000
    make_hold(wallet(alpha), 900_000, now=timezone.now())
    assert_ledger_clean()


@pytest.mark.parametrize("won", [True, False])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_in_whatever_order_and_how_often_the_news_come(
    standin: StandIn, alpha: Organization, order: tuple[int, ...], won: bool
) -> None:
    """Closed before created, too: each is answered by where the dispute is now."""
    payment = buy(standin, alpha, 1_000)
    spend(alpha, 100_000)
    dispute = open_dispute(standin, charge_of(standin, payment))
    standin.control(f"disputes/{dispute}/decide", won=won)
    kinds = ("created", "funds_withdrawn", "closed")
    told = [event for event in news(standin) if event["type"].rpartition(".")[2] in kinds]
    assert len(told) == 3
    for at in order:
        for _ in range(2):
            hear([{**told[at], "id": f"evt_{uuid.uuid4().hex}"}])
    assert failures() == []
    found = the_dispute(alpha)
    assert found.status == ("won" if won else "lost")
    assert available(alpha) == (900_000 if won else 0)
    assert not frozen(alpha)
    with organization_scope(alpha.id):
        assert list(Debt.objects.values_list("owed_mtok", flat=True)) == ([] if won else [100_000])
    assert_ledger_clean()


def test_what_is_held_when_it_is_lost_is_waited_for(standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    now = timezone.now()
    one, two = (make_hold(wallet(alpha), 100_000, now=now) for _ in range(2))
    dispute = open_dispute(standin, charge_of(standin, payment))
    standin.control(f"disputes/{dispute}/decide", won=False)
    hear(news(standin))
    found = the_dispute(alpha)
    assert (found.taken_mtok, found.settled_at, frozen(alpha)) == (800_000, None, True)
    with platform_scope("test"):
        holds.capture_holds(captures=[holds.Capture(one.hold_id, 60_000, new_id())], now=now)
    soon = now + timedelta(minutes=1)
    assert finish_refunds(clock=lambda: soon) == 1
    assert the_dispute(alpha).settled_at is None
    with platform_scope("test"):
        holds.release_holds(hold_ids=[two.hold_id], now=now)
    later = now + timedelta(minutes=2)
    assert finish_refunds(clock=lambda: later) == 1
    assert finish_refunds(clock=lambda: later + timedelta(hours=1)) == 0
    found = the_dispute(alpha)
    assert (found.taken_mtok, frozen(alpha)) == (940_000, False)
    with organization_scope(alpha.id):
        assert Debt.objects.get().owed_mtok == 60_000
    assert_ledger_clean()


def test_a_dispute_about_a_part_takes_that_part_and_thaws_the_rest(standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    half = payment.total_minor // 2
    dispute = open_dispute(standin, charge_of(standin, payment), amount=half)
    hear(news(standin))
    assert available(alpha) == 0
    standin.control(f"disputes/{dispute}/decide", won=False)
    hear(news(standin))
    taken = 1_000_000 * half // payment.total_minor
    assert (the_dispute(alpha).taken_mtok, available(alpha)) == (taken, 1_000_000 - taken)
    assert_ledger_clean()


def test_a_decision_that_is_turned_round_gives_all_back(standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    spend(alpha, 100_000)
    dispute = open_dispute(standin, charge_of(standin, payment))
    standin.control(f"disputes/{dispute}/decide", won=False)
    hear(news(standin))
    buy(standin, alpha, 1_000)
    found = gateway.dispute(dispute)
    keep_dispute(found=gateway.StripeDispute(**{**found.__dict__, "status": "won"}), now=timezone.now())
    assert available(alpha) == 900_000 + 1_000_000
    with organization_scope(alpha.id):
        assert Debt.objects.get().left_mtok == 0
    assert_ledger_clean()


def test_the_card_that_is_disputed_by_itself(standin: StandIn, alpha: Organization) -> None:
    """The dispute is there before the payment's own news are."""
    buy(standin, alpha, 1_000, number=DISPUTED)
    hear(news(standin))
    assert failures() == []
    assert (available(alpha), frozen(alpha)) == (0, True)


def test_admins_and_staff_are_told_of_each_state_once(standin: StandIn, alpha: Organization) -> None:
    make_user("sam@tokensight.example", is_staff=True, language="zh-hans")
    payment = buy(standin, alpha, 1_000)
    spend(alpha, 100_000)
    dispute = open_dispute(standin, charge_of(standin, payment))
    for _ in range(2):
        hear({**event, "id": f"evt_{uuid.uuid4().hex}"} for event in news(standin))
    standin.control(f"disputes/{dispute}/decide", won=False)
    for _ in range(2):
        hear({**event, "id": f"evt_{uuid.uuid4().hex}"} for event in news(standin))
    with organization_scope(alpha.id):
        alerts = list(Alert.objects.filter(rule=AlertRule.PAYMENT_DISPUTED).order_by("id"))
        debts = Alert.objects.filter(rule=AlertRule.DEBT_INCURRED).count()
        actions = list(AuditEvent.objects.filter(target_kind="dispute").order_by("id").values_list("action", flat=True))
    assert [alert.facts["state"] for alert in alerts] == ["open", "lost"]
    assert debts == 1
    assert actions == ["dispute.opened", "dispute.lost"]
    with platform_scope("test"):
        mails = list(OutboxMail.objects.filter(recipient="sam@tokensight.example").order_by("id"))
    assert [(mail.kind, mail.context["state"]) for mail in mails] == [
        ("staff_dispute", "open"),
        ("staff_dispute", "lost"),
    ]
    assert {mail.language for mail in mails} == {"zh-hans"}, "staff are written to in their language too"
