"""What staff put right goes the other way as a transfer of its own, only as far as Tokens are unspent."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.db import DatabaseError, transaction

from billing import errors
from billing.enums import GrantSource, TransferKind
from billing.models import Account, Entry, Grant, Transfer
from billing.queries.verification import recompute
from billing.services import allocations, holds
from billing.services.corrections import correct_grant, reverse_transfer
from billing.services.expiry import expire_grants
from billing.services.grants import give_tokens, issue_grant, refund_unspent
from billing.services.withdrawals import Withdrawal
from tenants.actors import Actor, ActorKind
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
LATER = NOW + timedelta(days=1)


def correct(organization: Organization, grant: Grant, mtok: int | None = None, key: str = "c-1") -> Withdrawal:
    return correct_grant(
        organization_id=organization.id, grant_id=grant.id, mtok=mtok, reason="Typed twice", actor=STAFF,
        idempotency_key=key, now=NOW,
    )  # fmt: skip


def reverse(organization: Organization, transfer: Transfer, key: str = "r-1") -> int:
    return reverse_transfer(
        organization_id=organization.id, transfer_id=transfer.id, reason="By mistake", actor=STAFF,
        idempotency_key=key, now=NOW,
    )  # fmt: skip


def refund(organization: Organization, mtok: int | None = None, key: str = "f-1", **more: object) -> Withdrawal:
    return refund_unspent(
        organization_id=organization.id, mtok=mtok, reason="Asked for", actor=STAFF, idempotency_key=key, now=NOW,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


def spend(account: Account, mtok: int) -> Transfer:
    placed = make_hold(account, mtok)
    transfer_id = new_id()
    with platform_scope("test"):
        holds.capture_holds(captures=[holds.Capture(placed.hold_id, mtok, transfer_id)], now=NOW)
        return Transfer.objects.get(id=transfer_id)


def posted(*accounts: Account) -> list[int]:
    return [balance_of(account).posted_mtok for account in accounts]


class TestGrants:
    def test_a_correction_takes_what_is_unspent_wherever_it_is_and_the_grant_stays_as_written(
        self, alpha: Organization
    ) -> None:
        wallet = make_wallet(alpha)
        grant = make_grant(alpha, 1_000)
        pool = make_capped_account(wallet, 800, kind="team_pool")
        fenced = make_account(pool, 500)
        spend(fenced, 120)
        make_hold(fenced, 30)
        assert correct(alpha, grant, 600).mtok == 600
        assert posted(wallet, fenced) == [0, 280]
        assert balance_of(pool).drawn_mtok == 400
        assert correct(alpha, grant, 600, key="c-2").mtok == 250
        assert posted(wallet, fenced) == [0, 30]
        assert balance_of(pool).drawn_mtok == 150
        with organization_scope(alpha.id):
            grant.refresh_from_db()
            assert grant.amount_mtok == 1_000
            totals = recompute(alpha.id).totals
            reversals = Transfer.objects.filter(kind=TransferKind.REVERSAL)
            assert {one.reverses.kind for one in reversals if one.reverses} == {TransferKind.GRANT}
            assert {(one.reason, one.actor) for one in reversals} == {("Typed twice", "platform")}
        assert (totals.granted_mtok, totals.refunded_mtok, totals.consumed_mtok, totals.held_mtok) == (
            1_000,
            850,
            120,
            30,
        )
        assert_ledger_clean()

    def test_it_is_done_once_per_key_and_written_into_the_audit_log(self, alpha: Organization) -> None:
        make_wallet(alpha)
        grant = make_grant(alpha, 1_000)
        first, again = correct(alpha, grant, 400), correct(alpha, grant, 400)
        assert (first.mtok, again.mtok, again.repeated) == (400, 400, True)
        with organization_scope(alpha.id):
            event = AuditEvent.objects.get(action="grant.corrected")
            assert (event.reason, event.after, event.target_id) == ("Typed twice", {"mtok": -400}, grant.id)
        other = make_grant(alpha, 10)
        with pytest.raises(errors.IdempotencyMismatch):
            correct(alpha, other, 5)

    @pytest.mark.parametrize("reason", ["", "  "])
    def test_a_reason_must_be_given(self, alpha: Organization, reason: str) -> None:
        make_wallet(alpha)
        grant = make_grant(alpha, 1_000)
        act = {"organization_id": alpha.id, "reason": reason, "actor": STAFF, "idempotency_key": "k", "now": NOW}
        with pytest.raises(errors.ReasonMissing):
            correct_grant(grant_id=grant.id, mtok=1, **act)
        with pytest.raises(errors.ReasonMissing):
            reverse_transfer(transfer_id=grant.id, **act)
        with pytest.raises(errors.ReasonMissing):
            refund_unspent(**act)
        with pytest.raises(errors.ReasonMissing):
            give_tokens(tokens_mtok=1, **act)

    def test_what_expired_cannot_be_taken_back(self, alpha: Organization) -> None:
        make_wallet(alpha)
        grant = make_grant(alpha, 1_000, expires_at=NOW, now=NOW - timedelta(days=1))
        assert correct(alpha, grant).mtok == 0
        expire_grants(now=NOW)
        assert_ledger_clean()

    def test_a_gift_leaves_grant_transfer_and_audit_event(self, alpha: Organization) -> None:
        make_wallet(alpha)
        for now in (NOW, LATER):
            grant = give_tokens(
                organization_id=alpha.id, tokens_mtok=77, reason="Sorry", actor=STAFF, idempotency_key="g", now=now
            )
        with organization_scope(alpha.id):
            assert Grant.objects.get() == grant
            assert (grant.source, grant.reason, grant.actor) == ("manual", "Sorry", STAFF.name)
            event = AuditEvent.objects.get(action="grant.issued")
            assert (event.reason, event.actor_name) == ("Sorry", STAFF.name)

    def test_entries_and_grants_cannot_be_edited_instead(self, alpha: Organization) -> None:
        make_wallet(alpha)
        make_grant(alpha, 1_000)
        for table in (Grant, Entry, Transfer):
            with pytest.raises(DatabaseError), transaction.atomic(), platform_scope("test"):
                table.objects.update(created_at=LATER)


class TestTransfers:
    def test_an_allocation_goes_back_as_far_as_it_is_unspent_and_no_further_the_second_time(
        self, alpha: Organization
    ) -> None:
        wallet = make_wallet(alpha, 1_000)
        pool = make_capped_account(wallet, None, kind="team_pool")
        fenced = make_account(pool)
        with organization_scope(alpha.id):
            first, second = (
                allocations.allocate(
                    from_account_id=pool.id, to_account_id=fenced.id, mtok=mtok, idempotency_key=f"a-{mtok}", now=NOW
                )
                for mtok in (300, 200)
            )
        spend(fenced, 350)
        assert reverse(alpha, first) == 150
        assert posted(wallet, fenced) == [650, 0]
        assert balance_of(pool).drawn_mtok == 350
        assert reverse(alpha, first) == 150  # the same key
        assert reverse(alpha, second, key="r-2") == 0
        make_grant(alpha, 1_000)
        with organization_scope(alpha.id):
            allocations.allocate(
                from_account_id=pool.id, to_account_id=fenced.id, mtok=500, idempotency_key="a-500", now=NOW
            )
        assert reverse(alpha, first, key="r-3") == 150  # the rest of it
        assert reverse(alpha, first, key="r-4") == 0
        assert_ledger_clean()

    def test_a_capture_goes_back_to_who_paid_and_gives_the_caps_room(self, alpha: Organization) -> None:
        wallet = make_wallet(alpha, 1_000)
        pool = make_capped_account(wallet, 500, kind="team_pool")
        member = make_capped_account(pool, 400)
        capture = spend(member, 90)
        assert reverse(alpha, capture) == 90
        assert reverse(alpha, capture, key="r-2") == 0
        assert posted(wallet) == [1_000]
        assert [balance_of(account).drawn_mtok for account in (pool, member)] == [0, 0]
        assert_ledger_clean()

    def test_a_move_goes_back(self, alpha: Organization) -> None:
        wallet = make_wallet(alpha, 1_000)
        one, two = make_account(wallet, 400), make_account(wallet, 100)
        with organization_scope(alpha.id):
            move = allocations.move_sideways(
                from_account_id=one.id, to_account_id=two.id, mtok=250, idempotency_key="m", now=NOW
            )
        assert move
        assert reverse(alpha, move) == 250
        assert posted(one, two) == [400, 100]
        assert_ledger_clean()

    def test_a_grant_goes_back_like_a_correction(self, alpha: Organization) -> None:
        wallet = make_wallet(alpha, 1_000)
        with organization_scope(alpha.id):
            issue = Transfer.objects.get(kind=TransferKind.GRANT)
        spend(wallet, 10)
        assert reverse(alpha, issue) == 990
        assert_ledger_clean()

    def test_what_has_an_ordinary_opposite_is_not_reversed(self, alpha: Organization) -> None:
        wallet = make_wallet(alpha, 1_000)
        account = make_account(wallet, 100)
        with organization_scope(alpha.id):
            reclaimed = allocations.reclaim(account_id=account.id, idempotency_key="x", now=NOW)
        assert reclaimed
        with pytest.raises(errors.NotReversible):
            reverse(alpha, reclaimed)
        with pytest.raises(errors.TransferUnknown):
            reverse_transfer(
                organization_id=alpha.id,
                transfer_id=uuid.uuid4(),
                reason="x",
                actor=STAFF,
                idempotency_key="y",
                now=NOW,
            )

    def test_another_organization_s_are_not_there(self, alpha: Organization, beta: Organization) -> None:
        make_wallet(alpha, 1_000)
        make_wallet(beta, 1_000)
        with organization_scope(alpha.id):
            issue, grant = Transfer.objects.get(), Grant.objects.get()
        with pytest.raises(errors.TransferUnknown):
            reverse(beta, issue)
        with pytest.raises(errors.GrantUnknown):
            correct(beta, grant)


class TestRefunds:
    def test_the_oldest_purchase_first_and_only_purchases(self, alpha: Organization) -> None:
        wallet = make_wallet(alpha)
        sources = [GrantSource.TRIAL, GrantSource.PURCHASE, GrantSource.PROMOTION, GrantSource.PURCHASE]
        grants = [
            issue_grant(
                organization_id=alpha.id, tokens_mtok=100, source=source, idempotency_key=f"g{n}",
                now=NOW + timedelta(seconds=n), priority=90 - n,
            )
            for n, source in enumerate(sources)
        ]  # fmt: skip
        spend(wallet, 130)  # all of the newer purchase and 30 of the promotion: they burn first
        assert refund(alpha, 60).mtok == 60
        assert refund(alpha, 60, key="f-2").mtok == 40
        assert refund(alpha, key="f-3").mtok == 0
        with organization_scope(alpha.id):
            taken = Entry.objects.filter(account__kind="refunded").values_list("grant_id", "amount_mtok")
            assert sorted(taken) == sorted([(grants[1].id, 60), (grants[1].id, 40)])
        assert posted(wallet) == [170]
        assert_ledger_clean()

    def test_one_purchase_alone(self, alpha: Organization) -> None:
        make_wallet(alpha)
        older, newer = make_grant(alpha, 100), make_grant(alpha, 100)
        assert refund(alpha, grant_id=newer.id, reference="pi_1").mtok == 100
        with organization_scope(alpha.id):
            assert {entry.grant_id for entry in Entry.objects.filter(account__kind="refunded")} == {newer.id}
            assert Transfer.objects.get(kind="reversal").reference == "pi_1"
        assert older.id != newer.id
        assert_ledger_clean()

    def test_the_same_refund_twice_is_one(self, alpha: Organization) -> None:
        wallet = make_wallet(alpha, 1_000)
        make_account(wallet, 300)
        first, again = refund(alpha, 900, key="re_1"), refund(alpha, 900, key="re_1")
        assert (first.mtok, again.mtok, again.repeated, len(again.transfers)) == (900, 900, True, 2)
        with organization_scope(alpha.id):
            assert AuditEvent.objects.filter(action="grant.refunded").count() == 1
        assert_ledger_clean()
