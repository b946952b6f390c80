"""Setting Tokens aside, capturing and releasing them: each outcome, and that a refusal changes nothing."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest

from billing import errors
from billing.enums import HoldStatus, ResolveOutcome
from billing.models import Account, Entry, Hold, Lot, Transfer
from billing.services import accounts, holds
from tenants.identifiers import new_id
from tenants.models import Organization
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


@pytest.fixture
def wallet(alpha: Organization) -> Account:
    return make_wallet(alpha, 10_000)


def capture(*pairs: tuple[uuid.UUID, int]) -> list[holds.CaptureResult]:
    """Capture holds for so much each, and return the results in the same order."""
    items = [holds.Capture(hold_id, mtok, new_id()) for hold_id, mtok in pairs]
    with platform_scope("test"):
        results = holds.capture_holds(captures=items, now=NOW)
    return [results[hold_id] for hold_id, _ in pairs]


def release(*hold_ids: uuid.UUID) -> list[ResolveOutcome]:
    with platform_scope("test"):
        results = holds.release_holds(hold_ids=hold_ids, now=NOW)
    return [results[hold_id] for hold_id in hold_ids]


def lots_of(account: Account) -> list[tuple[int, int]]:
    """Return (posted, held) of an account's lots in burn order."""
    with organization_scope(account.organization_id):
        lots = Lot.objects.filter(account=account).order_by("priority", "expires_at", "granted_at", "id")
        return list(lots.values_list("posted_mtok", "held_mtok"))


def count_rows() -> tuple[int, int, int]:
    with platform_scope("test"):
        return Hold.objects.count(), Transfer.objects.count(), Entry.objects.count()


def test_a_hold_sets_tokens_aside_and_moves_none(wallet: Account) -> None:
    _, transfers, entries = count_rows()
    placed = make_hold(wallet, 3_000)
    assert placed.available_mtok == 7_000
    balance = balance_of(wallet)
    assert (balance.posted_mtok, balance.held_mtok, balance.available_mtok) == (10_000, 3_000, 7_000)
    assert count_rows() == (1, transfers, entries)
    assert_ledger_clean()


def test_the_last_thousandth_can_be_held_and_no_more(wallet: Account) -> None:
    make_hold(wallet, 9_999)
    assert make_hold(wallet, 1).available_mtok == 0
    before = count_rows()
    with pytest.raises(errors.InsufficientTokens) as refused:
        make_hold(wallet, 1)
    assert refused.value.available_mtok == 0
    assert count_rows() == before
    assert lots_of(wallet) == [(10_000, 10_000)]
    assert_ledger_clean()


@pytest.mark.parametrize("mtok", [0, -1])
def test_a_hold_of_nothing_is_refused(wallet: Account, mtok: int) -> None:
    with pytest.raises(errors.AmountInvalid):
        make_hold(wallet, mtok)
    assert count_rows()[0] == 0


def test_the_same_key_is_the_same_hold(wallet: Account) -> None:
    owner = uuid.uuid4()
    first = make_hold(wallet, 3_000, key="job-1", owner_id=owner)
    again = make_hold(wallet, 3_000, key="job-1", owner_id=owner)
    assert (again.hold_id, again.duplicate, again.available_mtok) == (first.hold_id, True, 7_000)
    assert balance_of(wallet).held_mtok == 3_000


def test_a_retry_finds_its_hold_although_the_account_is_empty_or_closed_by_now(wallet: Account) -> None:
    owner = uuid.uuid4()
    first = make_hold(wallet, 10_000, key="job-1", owner_id=owner)
    assert make_hold(wallet, 10_000, key="job-1", owner_id=owner).hold_id == first.hold_id
    with organization_scope(wallet.organization_id):
        accounts.close_account(account_id=wallet.id, now=NOW)
    assert make_hold(wallet, 10_000, key="job-1", owner_id=owner).duplicate


def test_the_same_key_for_something_else_is_a_mismatch(wallet: Account) -> None:
    owner = uuid.uuid4()
    make_hold(wallet, 3_000, key="job-1", owner_id=owner)
    with pytest.raises(errors.IdempotencyMismatch):
        make_hold(wallet, 3_001, key="job-1", owner_id=owner)
    assert balance_of(wallet).held_mtok == 3_000


def test_two_organizations_may_use_the_same_key(wallet: Account, beta: Organization) -> None:
    other = make_wallet(beta, 5_000)
    make_hold(wallet, 1_000, key="job-1")
    assert not make_hold(other, 1_000, key="job-1").duplicate


def test_an_account_of_another_organization_is_unknown(wallet: Account, beta: Organization) -> None:
    other = make_wallet(beta, 5_000)
    with pytest.raises(errors.AccountUnknown):
        holds.place_hold(
            organization_id=wallet.organization_id, account_id=other.id, amount_mtok=1, idempotency_key="x",
            owner_id=uuid.uuid4(), deadline=NOW, now=NOW,
        )  # fmt: skip
    assert balance_of(other).held_mtok == 0


def test_a_system_account_cannot_be_spent_from(wallet: Account) -> None:
    with organization_scope(wallet.organization_id):
        issued = Account.objects.get(kind="issued")
    with pytest.raises(errors.AccountUnknown):
        make_hold(issued, 1)


def test_a_closed_account_holds_nothing_new_but_resolves_what_it_held(wallet: Account) -> None:
    sub_token = make_account(wallet, 2_000)
    placed, other = make_hold(sub_token, 500), make_hold(sub_token, 300)
    with organization_scope(wallet.organization_id):
        accounts.close_account(account_id=sub_token.id, now=NOW)
    with pytest.raises(errors.AccountClosed):
        make_hold(sub_token, 1)
    assert capture((placed.hold_id, 500))[0].outcome == ResolveOutcome.CAPTURED
    assert release(other.hold_id) == [ResolveOutcome.RELEASED]
    assert lots_of(sub_token) == [(1_500, 0)]
    assert_ledger_clean()


def test_an_account_holds_nothing_from_the_moment_it_expires(wallet: Account) -> None:
    sub_token = make_account(wallet, 2_000)
    with organization_scope(wallet.organization_id):
        accounts.change_expiry(account_id=sub_token.id, expires_at=NOW)
    make_hold(sub_token, 1, now=NOW - timedelta(microseconds=1))
    with pytest.raises(errors.AccountExpired):
        make_hold(sub_token, 1)


def test_lots_burn_by_priority_then_expiry_then_age(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    late = NOW + timedelta(days=60)
    soon = NOW + timedelta(days=5)
    for mtok, priority, expires_at, granted_at in [
        (100, 50, None, NOW - timedelta(days=9)),  # 5th: never expires
        (200, 50, late, NOW - timedelta(days=3)),  # 4th: younger
        (300, 50, late, NOW - timedelta(days=4)),  # 3rd: same expiry, older
        (400, 50, soon, NOW),  # 2nd: expires first
        (500, 10, None, NOW),  # 1st: lowest priority number
    ]:
        make_grant(alpha, mtok, priority=priority, expires_at=expires_at, now=granted_at)
    placed = make_hold(wallet, 1_250)
    assert lots_of(wallet) == [(500, 500), (400, 400), (300, 300), (200, 50), (100, 0)]
    assert capture((placed.hold_id, 950))[0].available_mtok == 550
    assert lots_of(wallet) == [(0, 0), (0, 0), (250, 0), (200, 0), (100, 0)]
    assert_ledger_clean()


def test_an_expired_lot_cannot_be_held(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    make_grant(alpha, 700, expires_at=NOW)
    make_grant(alpha, 300)
    assert balance_of(wallet).available_mtok == 300
    with pytest.raises(errors.InsufficientTokens) as refused:
        make_hold(wallet, 301)
    assert refused.value.available_mtok == 300
    make_hold(wallet, 300)
    assert lots_of(wallet) == [(700, 0), (300, 300)]


def test_a_capture_burns_what_it_says_and_gives_back_the_rest(wallet: Account) -> None:
    placed = make_hold(wallet, 3_000)
    transfer_id = new_id()
    with platform_scope("test"):
        results = holds.capture_holds(captures=[holds.Capture(placed.hold_id, 1_200, transfer_id)], now=NOW)
    assert results == {placed.hold_id: holds.CaptureResult(ResolveOutcome.CAPTURED, 1_200, 8_800)}
    with organization_scope(wallet.organization_id):
        transfer = Transfer.objects.get(id=transfer_id)
        hold = Hold.objects.get(id=placed.hold_id)
        legs = dict(transfer.entries.values_list("account__kind", "amount_mtok"))
    assert legs == {"org_wallet": -1_200, "consumed": 1_200}
    assert (hold.status, hold.captured_mtok, hold.transfer_id) == (HoldStatus.CAPTURED, 1_200, transfer_id)
    assert transfer.reference == str(hold.owner_id)
    assert lots_of(wallet) == [(8_800, 0)]
    assert_ledger_clean()


@pytest.mark.parametrize("mtok", [3_001, 0, -5])
def test_more_than_was_held_or_nothing_is_refused_and_the_hold_stays_open(wallet: Account, mtok: int) -> None:
    placed, good = make_hold(wallet, 3_000), make_hold(wallet, 1_000)
    bad_result, good_result = capture((placed.hold_id, mtok), (good.hold_id, 1_000))
    assert (bad_result.outcome, bad_result.captured_mtok) == (ResolveOutcome.REFUSED, 0)
    assert good_result.outcome == ResolveOutcome.CAPTURED
    assert lots_of(wallet) == [(9_000, 3_000)]
    assert_ledger_clean()


def test_a_hold_resolves_once(wallet: Account) -> None:
    captured, released = make_hold(wallet, 1_000), make_hold(wallet, 2_000)
    capture((captured.hold_id, 1_000))
    release(released.hold_id)
    before, lots = count_rows(), lots_of(wallet)
    assert [r.outcome for r in capture((captured.hold_id, 500), (released.hold_id, 500))] == [
        ResolveOutcome.ALREADY_CAPTURED,
        ResolveOutcome.ALREADY_RELEASED,
    ]
    assert release(captured.hold_id, released.hold_id) == [
        ResolveOutcome.ALREADY_CAPTURED,
        ResolveOutcome.ALREADY_RELEASED,
    ]
    assert (count_rows(), lots_of(wallet)) == (before, lots)
    assert lots == [(9_000, 0)]
    assert_ledger_clean()


def test_a_hold_named_twice_in_a_batch_is_captured_once(wallet: Account) -> None:
    placed = make_hold(wallet, 1_000)
    items = [holds.Capture(placed.hold_id, 1_000, new_id()) for _ in range(2)]
    with platform_scope("test"):
        results = holds.capture_holds(captures=items, now=NOW)
    assert results[placed.hold_id].captured_mtok == 1_000
    assert lots_of(wallet) == [(9_000, 0)]
    assert_ledger_clean()


def test_an_unknown_hold_is_said_to_be_unknown(wallet: Account) -> None:
    missing = uuid.uuid4()
    assert capture((missing, 5))[0] == holds.CaptureResult(ResolveOutcome.UNKNOWN, 0, 0)
    assert release(missing) == [ResolveOutcome.UNKNOWN]


def test_one_batch_captures_for_several_organizations(wallet: Account, beta: Organization) -> None:
    other = make_wallet(beta, 5_000)
    sub_token = make_account(wallet, 4_000)
    pairs = [(make_hold(account, 100 + i).hold_id, 100 + i) for i in range(5) for account in (wallet, other, sub_token)]
    assert {result.outcome for result in capture(*pairs)} == {ResolveOutcome.CAPTURED}
    assert [balance_of(account).posted_mtok for account in (wallet, sub_token, other)] == [5_490, 3_490, 4_490]
    assert_ledger_clean()


def test_another_organizations_hold_cannot_be_captured_in_scope(wallet: Account, beta: Organization) -> None:
    placed = make_hold(wallet, 1_000)
    with organization_scope(beta.id):
        results = holds.capture_holds(captures=[holds.Capture(placed.hold_id, 1_000, new_id())], now=NOW)
        released = holds.release_holds(hold_ids=[placed.hold_id], now=NOW)
    assert results[placed.hold_id].outcome == ResolveOutcome.UNKNOWN
    assert released == {placed.hold_id: ResolveOutcome.UNKNOWN}
    assert lots_of(wallet) == [(10_000, 1_000)]


def test_caps_nest(wallet: Account) -> None:
    team = make_capped_account(wallet, 1_000, kind="team_pool")
    one, two = make_capped_account(team, 800), make_capped_account(team, None)
    placed = make_hold(one, 700)
    assert placed.available_mtok == 100
    with pytest.raises(errors.QuotaExceeded) as own:
        make_hold(one, 101)
    assert own.value.available_mtok == 100
    with pytest.raises(errors.QuotaExceeded) as above:
        make_hold(two, 301)
    assert above.value.available_mtok == 300
    assert make_hold(two, 300).available_mtok == 0
    assert [balance_of(a).held_mtok for a in (wallet, team, one, two)] == [1_000, 1_000, 700, 300]

    assert capture((placed.hold_id, 600))[0].available_mtok == 100
    assert [balance_of(a).drawn_mtok for a in (team, one, two)] == [900, 600, 300]
    assert lots_of(wallet) == [(9_400, 300)]
    assert_ledger_clean()


def test_a_capped_account_cannot_spend_what_its_parent_lacks(wallet: Account) -> None:
    capped = make_capped_account(make_account(wallet, 500), 1_000)
    with pytest.raises(errors.InsufficientTokens) as refused:
        make_hold(capped, 501)
    assert refused.value.available_mtok == 500
    assert balance_of(capped).drawn_mtok == 0


@pytest.mark.parametrize("which", ["asked", "between", "paying"])
def test_any_closed_account_on_the_way_refuses(wallet: Account, which: str) -> None:
    paying = make_account(wallet, 500, kind="team_pool")
    between = make_capped_account(paying, None)
    asked = make_capped_account(between, 100)
    closed = {"asked": asked, "between": between, "paying": paying}[which]
    with organization_scope(wallet.organization_id):
        accounts.close_account(account_id=closed.id, now=NOW)
    with pytest.raises(errors.AccountClosed):
        make_hold(asked, 1)


def test_the_sweeper_expires_overdue_holds_only(wallet: Account) -> None:
    overdue = make_hold(wallet, 1_000, deadline=NOW)
    captured = make_hold(wallet, 200, deadline=NOW)
    capture((captured.hold_id, 200))
    make_hold(wallet, 2_000, deadline=NOW + timedelta(microseconds=1))
    assert holds.expire_overdue_holds(now=NOW) == 1
    assert holds.expire_overdue_holds(now=NOW) == 0
    with organization_scope(wallet.organization_id):
        assert Hold.objects.get(id=overdue.hold_id).status == HoldStatus.EXPIRED
    assert capture((overdue.hold_id, 1_000))[0].outcome == ResolveOutcome.ALREADY_EXPIRED
    assert lots_of(wallet) == [(9_800, 2_000)]
    assert_ledger_clean()


def test_the_sweeper_takes_the_longest_overdue_first(wallet: Account) -> None:
    holds_by_age = [make_hold(wallet, 100, deadline=NOW - timedelta(minutes=age)) for age in (1, 3, 2)]
    assert holds.expire_overdue_holds(now=NOW, limit=2) == 2
    with organization_scope(wallet.organization_id):
        assert Hold.objects.get(status=HoldStatus.HELD).id == holds_by_age[0].hold_id
