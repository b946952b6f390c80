"""Any sequence of operations, against a model in plain Python that knows nothing of the database.

The model keeps lots as numbers in dictionaries and follows the rules as they are written in the docs. After every step
the balances must be equal, and after every run the ledger must prove itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from billing import errors
from billing.enums import ResolveOutcome
from billing.models import Grant
from billing.services import allocations, holds
from billing.services.accounts import change_cap
from billing.services.corrections import correct_grant
from billing.services.debts import forgive
from billing.services.expiry import expire_grants
from billing.services.freezes import freeze, thaw
from billing.services.subtrees import reclaim_all
from tenants.actors import PLATFORM
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.billing.ledger.model import FAR, ModelAccount, ModelHold, ModelLedger, ModelLot, ModelTakeBack
from tests.factories.billing import (
    NOW,
    make_account,
    make_capped_account,
    make_grant,
    make_hold,
    make_wallet,
)

amounts = st.integers(min_value=1, max_value=1_500)


class LedgerMachine(ModelLedger):
    """wallet > fenced > below (ring-fenced); wallet > team (capped) > member (capped), pot and jar (ring-fenced)."""

    @initialize()
    def open(self) -> None:
        self.now = NOW
        self.grants = 0
        self.open_holds = {}
        self.resolved = []
        wallet = ModelAccount(make_wallet(self.organization))
        fenced = ModelAccount(make_account(wallet.row), wallet)
        team = ModelAccount(make_capped_account(wallet.row, 2_000, kind="team_pool"), wallet, 2_000, capped=True)
        self.accounts = [
            wallet,
            fenced,
            ModelAccount(make_account(fenced.row), fenced),
            team,
            ModelAccount(make_capped_account(team.row, 900), team, 900, capped=True),
            ModelAccount(make_account(team.row), team),
            ModelAccount(make_account(team.row), team),
        ]
        self.refunded = 0
        self.rows = {}
        self.spent = defaultdict(int)
        self.freezes = defaultdict(set)
        self.debts = []
        self.taking_back = []
        # Small grants, so that holds take several lots from the start.
        for priority, days in [(50, None), (50, 5), (10, 1), (50, 1)]:
            self.grant(300, priority, days)

    @rule(mtok=st.integers(1, 400), priority=st.sampled_from([10, 50]), days=st.sampled_from([None, 1, 2, 5]))
    def grant(self, mtok: int, priority: int, days: int | None) -> None:
        self.grants += 1
        expires_at = None if days is None else self.now + timedelta(days=days)
        granted_at = self.now + timedelta(microseconds=self.grants)  # no two grants of one age
        self.rows[self.grants] = make_grant(
            self.organization, mtok, priority=priority, expires_at=expires_at, now=granted_at
        )
        order = (priority, expires_at or FAR, self.grants)
        settled = min(mtok, sum(self.debts))
        self.accounts[0].lots[self.grants] = ModelLot(order, expires_at, posted=mtok - settled)
        self.spent[self.grants] += settled
        self.refunded += settled
        while settled:
            part = min(self.debts[0], settled)
            settled -= part
            self.debts = [self.debts[0] - part, *self.debts[1:]] if part < self.debts[0] else self.debts[1:]

    @rule(data=st.data(), reference=st.sampled_from(["one", "two"]))
    def freeze(self, data: st.DataObject, reference: str) -> None:
        number = data.draw(st.integers(1, self.grants))
        with organization_scope(self.organization.id):
            freeze(
                organization_id=self.organization.id, grant_ids=[self.rows[number].id], reference=reference,
                now=self.now,
            )  # fmt: skip
        self.freezes[number].add(reference)
        self._mark(number)

    @precondition(lambda self: any(self.freezes.values()))
    @rule(data=st.data(), reference=st.sampled_from(["one", "two"]))
    def thaw(self, data: st.DataObject, reference: str) -> None:
        number = data.draw(st.sampled_from([grant for grant, found in self.freezes.items() if found]))
        with organization_scope(self.organization.id):
            thaw(grant_ids=[self.rows[number].id], reference=reference, now=self.now)
        self.freezes[number].discard(reference)
        self._mark(number)

    @rule(data=st.data(), mtok=amounts)
    def money_goes_back(self, data: st.DataObject, mtok: int) -> None:
        """A refund that nobody asked us for, or a lost dispute: of spent Tokens too."""
        number = data.draw(st.integers(1, self.grants))
        self._take_back(ModelTakeBack(number, str(new_id()), mtok))

    @precondition(lambda self: self.taking_back)
    @rule()
    def money_went_back(self) -> None:
        """What running calls held is looked at again."""
        waiting, self.taking_back = self.taking_back, []
        for one in waiting:
            self._take_back(one)

    @precondition(lambda self: self.debts)
    @rule()
    def forgive(self) -> None:
        with organization_scope(self.organization.id):
            forgiven = forgive(organization_id=self.organization.id, reason="Test", actor=PLATFORM, now=self.now)
        assert forgiven == sum(self.debts)
        self.debts = []

    @rule(hours=st.sampled_from([1, 13, 30]))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule(which=st.sampled_from([1, 2, 5, 6]), mtok=amounts)
    def allocate(self, which: int, mtok: int) -> None:
        child = self.accounts[which]
        assert child.parent
        payer, path = child.parent.way()

        def call() -> None:
            with organization_scope(self.organization.id):
                allocations.allocate(
                    from_account_id=child.parent.row.id, to_account_id=child.row.id, mtok=mtok,
                    idempotency_key=str(new_id()), now=self.now,
                )  # fmt: skip

        if child.parent.available(self.now) < mtok:
            refused(call, child.parent, mtok)
            return
        call()
        self._move(payer, child, mtok)
        for at in path:
            at.drawn += mtok

    @rule(which=st.sampled_from([1, 2, 5, 6]), mtok=st.none() | amounts)
    def reclaim(self, which: int, mtok: int | None) -> None:
        child = self.accounts[which]
        assert child.parent
        payer, path = child.parent.way()
        available = child.available(self.now)

        def call() -> int:
            with organization_scope(self.organization.id):
                transfer = allocations.reclaim(
                    account_id=child.row.id, mtok=mtok, idempotency_key=str(new_id()), now=self.now
                )
                return transfer.amount_mtok if transfer else 0

        if mtok is not None and available < mtok:
            with pytest.raises(errors.InsufficientTokens), transaction.atomic():
                call()
            return
        moved = available if mtok is None else mtok
        assert call() == moved
        self._move(child, payer, moved)
        for at in path:
            at.drawn -= moved

    @rule(which=st.sampled_from([(5, 6), (6, 5)]), mtok=st.none() | amounts)
    def move_sideways(self, which: tuple[int, int], mtok: int | None) -> None:
        source, target = (self.accounts[index] for index in which)
        available = source.available(self.now)

        def call() -> int:
            with organization_scope(self.organization.id):
                transfer = allocations.move_sideways(
                    from_account_id=source.row.id, to_account_id=target.row.id, mtok=mtok,
                    idempotency_key=str(new_id()), now=self.now,
                )  # fmt: skip
                return transfer.amount_mtok if transfer else 0

        if mtok is not None and available < mtok:
            with pytest.raises(errors.InsufficientTokens), transaction.atomic():
                call()
            return
        moved = available if mtok is None else mtok
        assert call() == moved
        self._move(source, target, moved)

    @rule(data=st.data(), mtok=st.none() | amounts)
    def correct(self, data: st.DataObject, mtok: int | None) -> None:
        """Take a grant back, as far as it is unspent: the wallet's first, then by depth."""
        number = data.draw(st.integers(1, self.grants))
        with organization_scope(self.organization.id):
            grant_id = Grant.objects.order_by("created_at").values_list("id", flat=True)[number - 1]
        order = sorted(self.accounts, key=lambda account: (account.depth(), account.row.id))
        missing, taken = mtok, 0
        for account in order:
            lot = dict(account.free_lots(self.now)).get(number)
            if lot is None:
                continue
            part = lot.posted - lot.held if missing is None else min(missing, lot.posted - lot.held)
            missing = None if missing is None else missing - part
            lot.posted -= part
            taken += part
            for above in account.above():
                above.drawn -= part if above.capped else 0
        done = correct_grant(
            organization_id=self.organization.id, grant_id=grant_id, mtok=mtok, reason="Test",
            idempotency_key=str(new_id()), actor=PLATFORM, now=self.now,
        )  # fmt: skip
        assert done.mtok == taken
        self.refunded += taken

    @rule()
    def end_the_team(self) -> None:
        """Take everything below the team back to the wallet; its ceilings fall to what they have drawn."""
        wallet, team, member, pot, jar = (self.accounts[index] for index in (0, 3, 4, 5, 6))
        reclaimed = 0
        for leaf in (pot, jar):
            mtok = leaf.available(self.now)
            self._move(leaf, wallet, mtok)
            team.drawn -= mtok
            reclaimed += mtok
        with organization_scope(self.organization.id):
            ending = reclaim_all(account_id=team.row.id, revoke=False, actor=PLATFORM, now=self.now)
            # So that the run goes on: a ceiling that is there can be raised again.
            change_cap(account_id=team.row.id, cap_mtok=2_000)
            change_cap(account_id=member.row.id, cap_mtok=900)
        assert ending.reclaimed_mtok == reclaimed

    @rule(which=st.integers(0, 6), mtok=amounts, hours=st.sampled_from([1, 20]))
    def hold(self, which: int, mtok: int, hours: int) -> None:
        account = self.accounts[which]
        payer, path = account.way()
        deadline = self.now + timedelta(hours=hours)

        def call() -> holds.PlacedHold:
            return make_hold(account.row, mtok, deadline=deadline, now=self.now, key=str(new_id()))

        available = account.available(self.now)
        if self.debts:
            with pytest.raises(errors.DebtOutstanding) as refusal, transaction.atomic():
                call()
            assert refusal.value.owed_mtok == sum(self.debts)
            return
        if available < mtok:
            refused(call, account, mtok)
            return
        placed = call()
        assert placed.available_mtok == available - mtok
        parts, missing = [], mtok
        for grant, lot in payer.free_lots(self.now):
            taken = min(lot.posted - lot.held, missing)
            if taken:
                lot.held += taken
                parts.append((grant, taken))
                missing -= taken
        for at in path:
            at.drawn += mtok
        self.open_holds[placed.hold_id] = ModelHold(payer, path, parts, deadline)

    @precondition(lambda self: self.open_holds)
    @rule(data=st.data(), fraction=st.sampled_from([1, 2, 10]))
    def capture(self, data: st.DataObject, fraction: int) -> None:
        hold_ids = data.draw(st.lists(st.sampled_from(list(self.open_holds)), min_size=1, unique=True))
        wanted = {hold_id: max(1, self.open_holds[hold_id].amount // fraction) for hold_id in hold_ids}
        captures = [holds.Capture(hold_id, mtok, new_id()) for hold_id, mtok in wanted.items()]
        with platform_scope("test"):
            results = holds.capture_holds(captures=captures, now=self.now)
        for hold_id, mtok in wanted.items():
            assert (results[hold_id].outcome, results[hold_id].captured_mtok) == (ResolveOutcome.CAPTURED, mtok)
            self._resolve(hold_id, mtok)

    @precondition(lambda self: self.open_holds)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        hold_id = data.draw(st.sampled_from(list(self.open_holds)))
        with platform_scope("test"):
            assert holds.release_holds(hold_ids=[hold_id], now=self.now) == {hold_id: ResolveOutcome.RELEASED}
        self._resolve(hold_id, 0)

    @precondition(lambda self: self.resolved)
    @rule(data=st.data())
    def resolve_again(self, data: st.DataObject) -> None:
        hold_id = data.draw(st.sampled_from(self.resolved))
        with platform_scope("test"):
            outcomes = [
                holds.capture_holds(captures=[holds.Capture(hold_id, 1, new_id())], now=self.now)[hold_id].outcome,
                holds.release_holds(hold_ids=[hold_id], now=self.now)[hold_id],
            ]
        assert all(outcome.startswith("already_") for outcome in outcomes)

    @rule()
    def sweep(self) -> None:
        overdue = [hold_id for hold_id, hold in self.open_holds.items() if hold.deadline <= self.now]
        assert holds.expire_overdue_holds(now=self.now) == len(overdue)
        for hold_id in overdue:
            self._resolve(hold_id, 0)

    @rule()
    def expire(self) -> None:
        expired = 0
        for account in self.accounts:
            for lot in account.lots.values():
                if lot.expires_at is not None and lot.expires_at <= self.now and not lot.frozen:
                    expired += lot.free
                    lot.posted = lot.held
        assert expire_grants(now=self.now) == expired


def refused(call: Callable[[], object], account: ModelAccount, mtok: int) -> None:
    """Expect the refusal that names the nearest reason: the cap if that is full, else the Tokens."""
    expected = errors.QuotaExceeded if account.room() < mtok else errors.InsufficientTokens
    with pytest.raises(expected), transaction.atomic():
        call()


@pytest.fixture
def machine(alpha: Organization) -> type[LedgerMachine]:
    """The machine on an organization of its own, each run undone by a savepoint."""

    class Machine(LedgerMachine):
        organization = alpha

        def __init__(self) -> None:
            super().__init__()
            self._savepoint = transaction.atomic()
            self._savepoint.__enter__()

        def teardown(self) -> None:
            try:
                super().teardown()
            finally:
                transaction.set_rollback(True)
                self._savepoint.__exit__(None, None, None)

    return Machine


@pytest.mark.slow
@pytest.mark.django_db
def test_the_ledger_follows_the_rules(machine: type[LedgerMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # No shrinking: it would outlast the test's time limit, and the failure with it.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
        ),
    )
