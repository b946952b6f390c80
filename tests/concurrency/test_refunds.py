"""Refunds, freezes and debts against holds, captures and allocations: nothing frozen is spent, nothing is lost."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from billing import errors
from billing.enums import DebtCause
from billing.gateways.stripe import disputes as gateway
from billing.models import Account, Debt, Dispute, Freeze, Grant, Lot, Payment, Refund
from billing.queries.balances import organization_balance
from billing.services import allocations, freezes, refunds, splitting
from billing.services.disputes import keep_dispute
from billing.services.expiry import expire_grants
from billing.services.freezes import freeze, thaw
from billing.services.grants import refund_unspent
from billing.services.parts import bonus_grants
from billing.services.refund_rounds import finish_refunds
from billing.services.refunds import request_refund
from billing.services.takebacks import take_back
from billing.services.verify import verify_ledger
from tenants.actors import PLATFORM
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.billing.refunds.buying import buy, charge_of
from tests.billing.refunds.test_bonuses import buy_with
from tests.concurrency.racing import race, wait_until_somebody_waits_for
from tests.concurrency.test_splitting import spend
from tests.factories.billing import (
    NOW,
    assert_ledger_clean,
    make_account,
    make_capped_account,
    make_grant,
    make_wallet,
)
from tests.stripe_standin import StandIn

pytestmark = [pytest.mark.concurrency, pytest.mark.slow]
ASKERS = 12


def again(act: Callable[[random.Random], object], seed: int, turns: int = 8) -> Callable[[], None]:
    """Do an act several times; what the ledger refuses is no failure."""

    def run() -> None:
        chance = random.Random(seed)
        for _ in range(turns):
            try:
                act(chance)
            except errors.LedgerError:
                continue

    return run


@pytest.mark.parametrize("locked", [True, False])
def test_what_moves_while_it_is_frozen_is_frozen_where_it_arrives(
    committed_db: None, alpha: Organization, monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    """With the accounts' locks off the race must happen: else this proves nothing."""
    wallet = make_wallet(alpha)
    grant = make_grant(alpha, 1_000)
    pool = make_account(wallet, kind="team_pool")
    if not locked:
        monkeypatch.setattr(freezes, "lock_holders", lambda _grant_ids: None)

    def dispute() -> None:
        with organization_scope(alpha.id):
            freeze(organization_id=alpha.id, grant_ids=[grant.id], reference="dispute:1", now=NOW)

    moving = threading.Event()

    def move() -> None:
        with organization_scope(alpha.id):
            allocations.allocate(
                from_account_id=wallet.id, to_account_id=pool.id, mtok=400, idempotency_key="a", now=NOW
            )  # fmt: skip
            moving.set()
            wait_until_somebody_waits_for(connection.connection.info.backend_pid, watch=connection.connection)

    def freeze_meanwhile() -> None:
        assert moving.wait(60)
        dispute()

    race([move, freeze_meanwhile])
    with organization_scope(alpha.id):
        frozen = Lot.objects.get(account=pool).frozen
    assert frozen is locked
    assert verify_ledger(now=NOW).passed is locked


def test_everything_at_once_on_one_disputed_grant(committed_db: None, alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    disputed = make_grant(alpha, 20_000)
    other = make_grant(alpha, 20_000)
    pool = make_account(make_capped_account(wallet, 15_000, kind="team_pool"), 4_000, kind="team_pool")
    fenced = make_account(wallet, 3_000, kind="team_pool")
    capped = make_capped_account(wallet, None)
    bought = 40_000
    lock = threading.Lock()

    def dispute(chance: random.Random) -> None:
        reference = f"dispute:{chance.randint(1, 2)}"
        with organization_scope(alpha.id):
            freeze(organization_id=alpha.id, grant_ids=[disputed.id], reference=reference, now=NOW)
        with organization_scope(alpha.id):
            thaw(grant_ids=[disputed.id], reference=reference, now=NOW)

    def lose(chance: random.Random) -> None:
        reference, missing = f"dispute:{uuid.uuid4()}", chance.randint(1, 300)
        for _ in range(50):
            with organization_scope(alpha.id):
                done = take_back(
                    grant=disputed, mtok=missing, cause=DebtCause.DISPUTE, reference=reference, reason="Lost",
                    actor=PLATFORM, now=NOW,
                )  # fmt: skip
            missing -= done.taken_mtok
            if not done.waits or not missing:
                return

    def refund(chance: random.Random) -> None:
        refund_unspent(
            organization_id=alpha.id, mtok=chance.randint(1, 300), reason="Asked", idempotency_key=str(uuid.uuid4()),
            grant_id=chance.choice([disputed, other]).id, actor=PLATFORM, now=NOW,
        )  # fmt: skip

    def buy(chance: random.Random) -> None:
        nonlocal bought
        mtok = chance.randint(1, 400)
        make_grant(alpha, mtok)
        with lock:
            bought += mtok

    def move(chance: random.Random) -> None:
        # A transaction for each: an act takes its locks in order, two acts in one transaction would not.
        with organization_scope(alpha.id):
            splitting.give(account_id=fenced.id, mtok=chance.randint(1, 400), actor=PLATFORM, now=NOW)
        with organization_scope(alpha.id):
            splitting.take(account_id=pool.id, mtok=chance.randint(1, 200), actor=PLATFORM, now=NOW)

    def verify(_: random.Random) -> None:
        assert verify_ledger(now=NOW).passed
        expire_grants(now=NOW)

    acts = [dispute, dispute, lose, lose, refund, refund, buy, move, move]
    race([
        *(again(act, seed) for seed, act in enumerate(acts)),
        *(spend([wallet, pool, fenced, capped], seed) for seed in range(4)),
        again(verify, 0, turns=3),
    ])  # fmt: skip
    assert_ledger_clean()
    with organization_scope(alpha.id):
        left = organization_balance(alpha.id, now=NOW)
        sunk = sum(Account.objects.filter(kind__in=["consumed", "refunded"]).values_list("posted_mtok", flat=True))
    assert left.available_mtok + left.frozen_mtok + left.held_mtok + sunk == bought


def test_two_purchases_at_once_settle_a_debt_once(committed_db: None, alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    first = make_grant(alpha, 500)
    race([spend([wallet], 0)])
    with organization_scope(alpha.id):
        take_back(
            grant=first, mtok=500, cause=DebtCause.DISPUTE, reference="dispute:1", reason="Lost", actor=PLATFORM,
            now=NOW,
        )  # fmt: skip
        owed = Debt.objects.get().owed_mtok
    race([lambda: make_grant(alpha, 400).amount_mtok for _ in range(8)])
    with organization_scope(alpha.id):
        debt = Debt.objects.get()
        left = organization_balance(alpha.id, now=NOW)
    assert (debt.settled_mtok, debt.outstanding) == (owed, False)
    assert left.available_mtok == 8 * 400 - owed
    assert_ledger_clean()


@pytest.mark.parametrize("locked", [True, False])
def test_refunds_of_one_payment_against_captures_and_moves(
    committed_db: None, standin: StandIn, alpha: Organization, monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    """With the payment's lock off two refunds must forget one another: else this proves nothing."""
    payment = buy(standin, alpha, 1_000)
    with organization_scope(alpha.id):
        wallet = Account.objects.get(kind="org_wallet")
    pool = make_account(wallet, 300_000, kind="team_pool", now=timezone.now())
    if not locked:
        lock = QuerySet.select_for_update
        monkeypatch.setattr(
            QuerySet,
            "select_for_update",
            lambda self, *args, **kwargs: self if self.model is Payment else lock(self, *args, **kwargs),
        )
        all_have_read_it, asking = threading.Barrier(ASKERS), threading.local()

        def bonuses_once_all_have_read_the_payment(found: Payment) -> list[Grant]:
            if not getattr(asking, "has_read_it", False):
                asking.has_read_it = True
                all_have_read_it.wait(timeout=60)
            return bonus_grants(found)

        monkeypatch.setattr(refunds, "bonus_grants", bonuses_once_all_have_read_the_payment)

    def ask(seed: int) -> Callable[[], str]:
        def run() -> str:
            try:
                return request_refund(
                    organization_id=alpha.id, payment_id=payment.id, mtok=70_000 + seed, reason="", actor=PLATFORM,
                    idempotency_key=f"ask-{seed // 2 if locked else seed}", now=timezone.now(),
                ).status  # fmt: skip
            except (errors.LedgerError, errors.PaymentError) as error:
                return type(error).__name__

        return run

    def move(_: random.Random) -> None:
        with organization_scope(alpha.id):
            splitting.give(account_id=pool.id, mtok=1_000, actor=PLATFORM, now=timezone.now())

    race([*(ask(seed) for seed in range(ASKERS)), *(spend([wallet, pool], seed) for seed in range(3)), again(move, 0)])
    with organization_scope(alpha.id):
        found = list(Refund.objects.all())
        now_paid = Payment.objects.get(id=payment.id)
        assert not Debt.objects.exists()
    sent = standin.client().v1.refunds.list({"limit": 100}).data
    money = sum(refund.amount_minor for refund in found if refund.status == "succeeded")
    gone = sum(refund.taken_mtok for refund in found)
    in_part = payment.total_minor * gone // payment.tokens_mtok
    agrees = now_paid.refunded_minor == money == sum(refund.amount for refund in sent) == in_part
    assert agrees is locked
    if locked:
        # Two at a time had one key.
        assert len(found) == len({refund.idempotency_key for refund in found}) == 6
        assert_ledger_clean()


def test_a_bonus_goes_with_its_purchase_however_many_refund_at_once(
    committed_db: None, standin: StandIn, alpha: Organization
) -> None:
    """Whatever calls spend of both meanwhile: the parts add up to the Token and to the minor unit."""
    payment = buy_with(standin, alpha)
    with organization_scope(alpha.id):
        wallet = Account.objects.get(kind="org_wallet")

    def ask(seed: int) -> Callable[[], str]:
        def run() -> str:
            try:
                return request_refund(
                    organization_id=alpha.id, payment_id=payment.id, mtok=60_000 + seed, reason="", actor=PLATFORM,
                    idempotency_key=f"ask-{seed // 2}", now=timezone.now(),
                ).status  # fmt: skip
            except (errors.LedgerError, errors.PaymentError) as error:
                return type(error).__name__

        return run

    race([*(ask(seed) for seed in range(16)), *(spend([wallet], seed) for seed in range(4))])
    with organization_scope(alpha.id):
        found = list(Refund.objects.all())
        refunded = Account.objects.get(kind="refunded").posted_mtok
        assert not Debt.objects.exists()
    gone = sum(refund.tokens_mtok for refund in found)
    assert found
    assert sum(refund.bonus_mtok for refund in found) == 500_000 * gone // 1_000_000
    assert sum(refund.amount_minor for refund in found) == payment.total_minor * gone // 1_000_000
    assert refunded == sum(refund.taken_mtok + refund.bonus_taken_mtok for refund in found)
    assert all((one.tokens_mtok, one.bonus_mtok) == (one.taken_mtok, one.bonus_taken_mtok) for one in found)
    assert_ledger_clean()


def test_news_of_a_dispute_at_once_beside_calls_and_expiry(
    committed_db: None, standin: StandIn, alpha: Organization
) -> None:
    payment = buy(standin, alpha, 1_000)
    with organization_scope(alpha.id):
        wallet = Account.objects.get(kind="org_wallet")
    pool = make_account(wallet, 300_000, kind="team_pool", now=timezone.now())
    charge = charge_of(standin, payment)
    dispute = str(standin.control(f"charges/{charge}/dispute")["id"])
    opened = gateway.dispute(dispute)
    standin.control(f"disputes/{dispute}/decide", won=False)
    lost = gateway.dispute(dispute)

    def tell(found: gateway.StripeDispute) -> Callable[[], str]:
        return lambda: keep_dispute(found=found, now=timezone.now()).stripe_id

    def rounds() -> None:
        for _ in range(5):
            finish_refunds(clock=lambda: timezone.now() + timedelta(minutes=5))
            expire_grants(now=timezone.now())

    told = [tell(opened), tell(lost)] * 4
    assert len(race([*told, *(spend([wallet, pool], seed) for seed in range(4)), rounds])) >= 1
    # What calls held in the last of those rounds is looked at again a moment after it.
    finish_refunds(clock=lambda: timezone.now() + timedelta(minutes=10))
    with organization_scope(alpha.id):
        found = Dispute.objects.get()
        owed = sum(Debt.objects.values_list("owed_mtok", flat=True))
        assert not Freeze.objects.filter(thawed_at=None).exists()
        assert Account.objects.get(kind="refunded").posted_mtok == found.taken_mtok
        consumed = Account.objects.get(kind="consumed").posted_mtok
    assert (found.status, found.settled_at is not None) == ("lost", True)
    assert (found.taken_mtok + owed, owed) == (1_000_000, consumed)
    assert_ledger_clean()
