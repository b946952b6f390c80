"""What a dispute freezes stays untouched wherever it lies; what was spent and paid back is owed, and settled first."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction

from billing import errors
from billing.enums import DebtCause, GrantSource, TransferKind
from billing.models import Account, Debt, Freeze, Grant, Lot, Transfer
from billing.queries.balances import organization_balance
from billing.queries.grants import lots_of
from billing.services import allocations, holds
from billing.services.corrections import correct_grant
from billing.services.debts import forgive, settle_from_wallet
from billing.services.expiry import expire_grants
from billing.services.freezes import freeze, thaw
from billing.services.grants import issue_grant, refund_unspent
from billing.services.takebacks import TakeBack, take_back, undo_take_back
from tenants.actors import PLATFORM, Actor, ActorKind
from tenants.identifiers import new_id
from tenants.models import AuditEvent, Organization
from tenants.scope import organization_scope, platform_scope
from tests.factories.billing import (
    NOW,
    assert_ledger_clean,
    balance_of,
    make_account,
    make_capped_account,
    make_grant,
    make_hold,
    make_wallet,
)

pytestmark = pytest.mark.django_db
STAFF = Actor(ActorKind.PLATFORM, name="ops@platform.example")
LATER = NOW + timedelta(days=2)


def freeze_all(organization: Organization, *grants: Grant, reference: str = "dispute:1") -> None:
    with organization_scope(organization.id):
        freeze(
            organization_id=organization.id, grant_ids=[grant.id for grant in grants], reference=reference, now=NOW
        )  # fmt: skip


def thaw_all(organization: Organization, *grants: Grant, reference: str = "dispute:1") -> None:
    with organization_scope(organization.id):
        thaw(grant_ids=[grant.id for grant in grants], reference=reference, now=NOW)


def back(organization: Organization, grant: Grant, mtok: int, reference: str = "dispute:1") -> TakeBack:
    with organization_scope(organization.id):
        return take_back(
            grant=grant, mtok=mtok, cause=DebtCause.DISPUTE, reference=reference, reason="Lost", actor=STAFF, now=NOW
        )  # fmt: skip


def capture(hold: holds.PlacedHold, mtok: int) -> None:
    with platform_scope("test"):
        holds.capture_holds(captures=[holds.Capture(hold.hold_id, mtok, new_id())], now=NOW)


def release(hold: holds.PlacedHold) -> None:
    with platform_scope("test"):
        holds.release_holds(hold_ids=[hold.hold_id], now=NOW)


def spend(account: Account, mtok: int) -> None:
    capture(make_hold(account, mtok), mtok)


def debts(organization: Organization) -> list[tuple[int, int, int]]:
    with organization_scope(organization.id):
        rows = Debt.objects.order_by("id").values_list("owed_mtok", "settled_mtok", "dropped_mtok")
        return list(rows)


def test_frozen_tokens_cannot_be_held_moved_taken_back_or_expired(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    grant = make_grant(alpha, 1_000, expires_at=LATER)
    pool = make_account(wallet, 400, kind="team_pool")
    below = make_account(pool, 100)
    capped = make_capped_account(wallet, None)
    freeze_all(alpha, grant)
    for account in (wallet, pool, below, capped):
        assert balance_of(account).available_mtok == 0
        with pytest.raises(errors.InsufficientTokens), transaction.atomic():
            make_hold(account, 1)
    with organization_scope(alpha.id):
        with pytest.raises(errors.InsufficientTokens), transaction.atomic():
            allocations.allocate(
                from_account_id=wallet.id, to_account_id=pool.id, mtok=1, idempotency_key="a", now=NOW
            )  # fmt: skip
        assert allocations.reclaim(account_id=below.id, idempotency_key="r", now=NOW) is None
        assert lots_of(pool.id, now=NOW) == []
    args = {"organization_id": alpha.id, "reason": "Asked", "actor": STAFF, "now": NOW}
    assert refund_unspent(mtok=5, idempotency_key="f", **args).mtok == 0  # type: ignore[arg-type]
    assert correct_grant(grant_id=grant.id, mtok=5, idempotency_key="c", **args).mtok == 0  # type: ignore[arg-type]
    assert expire_grants(now=LATER) == 0
    with organization_scope(alpha.id):
        left = organization_balance(alpha.id, now=NOW)
    assert (left.available_mtok, left.frozen_mtok, left.grants[0].frozen_mtok) == (0, 1_000, 1_000)
    assert_ledger_clean()


def test_what_is_held_is_captured_or_released_as_usual_and_what_is_released_is_frozen(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    grant = make_grant(alpha, 1_000)
    one, two = make_hold(wallet, 300), make_hold(wallet, 200)
    freeze_all(alpha, grant)
    capture(one, 250)
    release(two)
    assert (balance_of(wallet).available_mtok, balance_of(wallet).held_mtok) == (0, 0)
    with organization_scope(alpha.id):
        assert organization_balance(alpha.id, now=NOW).frozen_mtok == 750
    thaw_all(alpha, grant)
    assert balance_of(wallet).available_mtok == 750
    assert_ledger_clean()


def test_other_grants_are_spent_past_a_frozen_one(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    first, second = make_grant(alpha, 100), make_grant(alpha, 60, now=NOW + timedelta(seconds=1))
    freeze_all(alpha, first)
    make_hold(wallet, 60)
    with organization_scope(alpha.id):
        assert Lot.objects.get(grant=second).held_mtok == 60


def test_thawing_restores_expiry_as_it_was(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    grant = make_grant(alpha, 100, expires_at=LATER)
    freeze_all(alpha, grant)
    assert expire_grants(now=LATER) == 0
    thaw_all(alpha, grant)
    assert balance_of(wallet, now=NOW).available_mtok == 100
    assert balance_of(wallet, now=LATER).available_mtok == 0
    assert expire_grants(now=LATER) == 100
    assert_ledger_clean()


def test_a_grant_stays_frozen_until_all_that_froze_it_is_over_and_freezing_twice_is_freezing_once(
    alpha: Organization,
) -> None:
    wallet = make_wallet(alpha)
    grant = make_grant(alpha, 100)
    for _ in range(2):
        freeze_all(alpha, grant, reference="dispute:1")
    freeze_all(alpha, grant, reference="dispute:2")
    with organization_scope(alpha.id):
        assert Freeze.objects.count() == 2
    for _ in range(2):
        thaw_all(alpha, grant, reference="dispute:1")
    assert balance_of(wallet).available_mtok == 0
    thaw_all(alpha, grant, reference="dispute:2")
    assert balance_of(wallet).available_mtok == 100


def test_what_is_lost_is_reversed_and_what_was_spent_of_it_is_owed(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    grant = make_grant(alpha, 1_000, expires_at=LATER)
    pool = make_account(make_capped_account(wallet, 500, kind="team_pool"), 300, kind="team_pool")
    spend(pool, 100)
    spend(wallet, 150)
    freeze_all(alpha, grant)
    done = back(alpha, grant, 1_000)
    assert (done.taken_mtok, done.owed_mtok, done.waits) == (750, 250, False)
    with organization_scope(alpha.id):
        assert Account.objects.get(kind="refunded").posted_mtok == 750
        assert Account.objects.get(label__startswith="Capped").drawn_mtok == 100
        assert not Freeze.objects.filter(thawed_at=None).exists()
        event = AuditEvent.objects.get(action="debt.incurred")
    assert (event.after["mtok"], event.actor_name) == (250, STAFF.name)
    assert_ledger_clean()


def test_a_part_that_is_lost_takes_no_more_than_that(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    grant = make_grant(alpha, 1_000)
    spend(wallet, 800)
    done = back(alpha, grant, 500)
    assert (done.taken_mtok, done.owed_mtok) == (200, 300)
    again = back(alpha, grant, 500, reference="dispute:2")
    assert (again.taken_mtok, again.owed_mtok) == (0, 500)
    assert_ledger_clean()


def test_what_expired_or_was_taken_back_before_is_nobodys_debt(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    grant = make_grant(alpha, 1_000, expires_at=LATER)
    spend(wallet, 100)
    correct_grant(
        organization_id=alpha.id, grant_id=grant.id, mtok=300, reason="x", idempotency_key="c", actor=STAFF, now=NOW
    )  # fmt: skip
    assert expire_grants(now=LATER) == 600
    done = back(alpha, grant, 1_000)
    assert (done.taken_mtok, done.owed_mtok) == (0, 100)
    assert_ledger_clean()


def test_what_running_calls_hold_is_waited_for(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    grant = make_grant(alpha, 1_000)
    one, two = make_hold(wallet, 300), make_hold(wallet, 200)
    done = back(alpha, grant, 900)
    assert (done.taken_mtok, done.owed_mtok, done.waits) == (500, 0, True)
    release(two)
    assert balance_of(wallet).available_mtok == 0, "what came back meanwhile could be spent"
    assert back(alpha, grant, 400) == TakeBack(200, 0, waits=True)
    capture(one, 300)
    assert back(alpha, grant, 200) == TakeBack(0, 200, waits=False)
    assert debts(alpha) == [(200, 0, 0)]
    assert_ledger_clean()


def test_a_debt_blocks_all_spending_and_the_next_purchase_settles_it_first(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    grant = make_grant(alpha, 500)
    other = make_account(wallet, 50)
    spend(wallet, 450)
    back(alpha, grant, 450)
    with pytest.raises(errors.DebtOutstanding) as refusal, transaction.atomic():
        make_hold(other, 1)
    assert refusal.value.owed_mtok == 400
    for source in (GrantSource.PROMOTION, GrantSource.MANUAL, GrantSource.TRIAL):
        issue_grant(
            organization_id=alpha.id, tokens_mtok=10, source=source, idempotency_key=f"gift-{source}", now=NOW
        )  # fmt: skip
    assert debts(alpha) == [(400, 0, 0)], "a gift settled a debt"
    make_grant(alpha, 150)
    assert debts(alpha) == [(400, 150, 0)]
    with pytest.raises(errors.DebtOutstanding), transaction.atomic():
        make_hold(wallet, 1)
    make_grant(alpha, 300)
    assert debts(alpha) == [(400, 400, 0)]
    assert balance_of(wallet).available_mtok == 30 + 50
    make_hold(wallet, 80)
    with organization_scope(alpha.id):
        kinds = Transfer.objects.filter(kind=TransferKind.SETTLEMENT)
        assert sorted(transfer.amount_mtok for transfer in kinds) == [150, 250]
    assert_ledger_clean()


def test_a_purchase_that_is_told_of_twice_settles_once(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    grant = make_grant(alpha, 100)
    spend(wallet, 100)
    back(alpha, grant, 100)
    for _ in range(2):
        issue_grant(
            organization_id=alpha.id, tokens_mtok=130, source=GrantSource.PURCHASE, idempotency_key="payment-1", now=NOW
        )  # fmt: skip
    assert debts(alpha) == [(100, 100, 0)]
    assert balance_of(wallet).available_mtok == 30


def test_what_settled_a_debt_and_is_paid_back_itself_is_owed_again(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    first = make_grant(alpha, 100)
    spend(wallet, 100)
    back(alpha, first, 100)
    second = make_grant(alpha, 150)
    assert back(alpha, second, 150, reference="dispute:2") == TakeBack(50, 100, waits=False)
    assert debts(alpha) == [(100, 100, 0), (100, 0, 0)]
    make_grant(alpha, 100)
    with organization_scope(alpha.id):
        # Money for 250 Tokens went back, and so many lie there once nothing is owed.
        assert Account.objects.get(kind="refunded").posted_mtok == 250
    assert_ledger_clean()


def test_a_debt_can_be_settled_from_what_was_bought_before(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    first, _second = make_grant(alpha, 100), make_grant(alpha, 70, now=NOW + timedelta(seconds=1))
    spend(wallet, 100)
    back(alpha, first, 100)
    with organization_scope(alpha.id):
        assert settle_from_wallet(organization_id=alpha.id, actor=STAFF, now=NOW) == 70
        with pytest.raises(errors.InsufficientTokens):
            settle_from_wallet(organization_id=alpha.id, actor=STAFF, now=NOW)
    assert debts(alpha) == [(100, 70, 0)]
    assert_ledger_clean()


def test_staff_forgive_for_a_reason(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    grant = make_grant(alpha, 100)
    spend(wallet, 100)
    back(alpha, grant, 100)
    make_grant(alpha, 30)
    with organization_scope(alpha.id):
        with pytest.raises(errors.ReasonMissing):
            forgive(organization_id=alpha.id, reason=" ", actor=STAFF, now=NOW)
        assert forgive(organization_id=alpha.id, reason="Our mistake", actor=STAFF, now=NOW) == 70
        event = AuditEvent.objects.get(action="debt.forgiven")
        with pytest.raises(errors.DebtUnknown):
            forgive(organization_id=alpha.id, reason="Again", actor=STAFF, now=NOW)
    assert (event.reason, event.after["mtok"]) == ("Our mistake", 70)
    assert debts(alpha) == [(100, 30, 70)]
    make_grant(alpha, 10)
    make_hold(wallet, 10)
    assert_ledger_clean()


def test_what_came_to_nothing_is_undone_whole_and_once(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    grant = make_grant(alpha, 1_000)
    spend(wallet, 400)
    freeze_all(alpha, grant)
    back(alpha, grant, 1_000)
    make_grant(alpha, 150)
    assert debts(alpha) == [(400, 150, 0)]
    for expected in (750, 0):
        with organization_scope(alpha.id):
            assert undo_take_back(grant=grant, reference="dispute:1", actor=PLATFORM, now=NOW) == expected
    assert balance_of(wallet).available_mtok == 600 + 150
    make_hold(wallet, 750)
    with organization_scope(alpha.id):
        assert Account.objects.get(kind="refunded").posted_mtok == 0
    assert_ledger_clean()


def test_another_organizations_debts_and_freezes_are_out_of_reach(alpha: Organization, beta: Organization) -> None:
    wallet, others = make_wallet(alpha), make_wallet(beta, 500)
    grant = make_grant(alpha, 100)
    spend(wallet, 100)
    back(alpha, grant, 100)
    make_hold(others, 1)
    with organization_scope(beta.id):
        assert not Debt.objects.exists()
        assert not Freeze.objects.exists()
        with pytest.raises(errors.AccountUnknown):
            forgive(organization_id=alpha.id, reason="Mine?", actor=STAFF, now=NOW)
    assert debts(alpha) == [(100, 0, 0)]
