"""Any sequence of holds, captures, releases, new limits and passing hours, against a model in plain Python.

The model knows only sums over holds by calendar period; after every step every window must say the same, and each hold
must have been let through exactly when every ceiling above it had room.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from billing import errors
from billing.models import Account
from billing.services import holds
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import platform_scope
from tests.factories.billing import NOW, assert_ledger_clean, make_account, make_capped_account, make_hold, make_wallet
from tests.factories.limits import assert_limits_clean, make_limits, used

PERIODS = ("hour", "day", "month", "total")
PLENTY = 10**9


def began(period: str, at: datetime) -> datetime:
    """Return when the calendar's period around a time began, in UTC."""
    match period:
        case "hour":
            return at.replace(minute=0, second=0, microsecond=0)
        case "day":
            return at.replace(hour=0, minute=0, second=0, microsecond=0)
        case "month":
            return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return datetime.min.replace(tzinfo=at.tzinfo)


@dataclass
class ModelHold:
    levels: list[str]
    placed_at: datetime
    counts: int
    amount: int


class LimitsMachine(RuleBasedStateMachine):
    """wallet > team (capped) > fenced (Tokens of its own) and member (capped); a pool inside the team > deep."""

    organization: Organization

    @initialize()
    def open(self) -> None:
        self.now = NOW
        wallet = make_wallet(self.organization, PLENTY)
        team = make_capped_account(wallet, None, kind="team_pool")
        pool = make_account(team, PLENTY // 10, kind="team_pool")
        self.accounts: dict[str, Account] = {
            "wallet": wallet,
            "team": team,
            "pool": pool,
            "fenced": make_account(team, PLENTY // 10),
            "member": make_capped_account(team, None),
            "deep": make_capped_account(pool, None),
        }
        self.above = {
            "wallet": ["wallet"],
            "team": ["team", "wallet"],
            "pool": ["pool", "team", "wallet"],
            "fenced": ["fenced", "team", "wallet"],
            "member": ["member", "team", "wallet"],
            "deep": ["deep", "pool", "team", "wallet"],
        }
        self.ceilings: dict[str, dict[str, int]] = {}
        self.holds: list[ModelHold] = []
        self.open: dict[object, ModelHold] = {}

    def counted(self, name: str, period: str) -> int:
        return sum(
            hold.counts
            for hold in self.holds
            if name in hold.levels and began(period, hold.placed_at) == began(period, self.now)
        )

    @rule(
        name=st.sampled_from(["wallet", "team", "pool", "fenced", "member", "deep"]),
        ceilings=st.dictionaries(st.sampled_from(PERIODS), st.integers(0, 2_000), max_size=4),
    )
    def limit(self, name: str, ceilings: dict[str, int]) -> None:
        make_limits(self.accounts[name], now=self.now, **ceilings)
        self.ceilings[name] = ceilings

    @rule(name=st.sampled_from(["wallet", "team", "pool", "fenced", "member", "deep"]), mtok=st.integers(1, 900))
    def hold(self, name: str, mtok: int) -> None:
        fits = all(
            self.counted(level, period) + mtok <= ceiling
            for level in self.above[name]
            for period, ceiling in self.ceilings.get(level, {}).items()
        )
        try:
            placed = make_hold(self.accounts[name], mtok, now=self.now)
        except errors.QuotaExceeded:
            assert not fits
            return
        assert fits
        self.open[placed.hold_id] = ModelHold(self.above[name], self.now, mtok, mtok)
        self.holds.append(self.open[placed.hold_id])

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def capture(self, data: st.DataObject) -> None:
        hold_id = data.draw(st.sampled_from(list(self.open)))
        hold = self.open.pop(hold_id)
        hold.counts = data.draw(st.integers(1, hold.amount))
        with platform_scope("test"):
            holds.capture_holds(captures=[holds.Capture(hold_id, hold.counts, new_id())], now=self.now)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        hold_id = data.draw(st.sampled_from(list(self.open)))
        self.open.pop(hold_id).counts = 0
        with platform_scope("test"):
            holds.release_holds(hold_ids=[hold_id], now=self.now)

    @rule(hours=st.sampled_from([0.5, 1, 7, 24 * 5]))
    def time_passes(self, hours: float) -> None:
        # No hold outlives a day: the sweeper sees to that.
        self.now += timedelta(hours=hours)
        if hours >= 1:
            holds.expire_overdue_holds(now=self.now)
            for hold in self.open.values():
                hold.counts = 0
            self.open.clear()

    @invariant()
    def windows_say_what_the_holds_say(self) -> None:
        for name, ceilings in getattr(self, "ceilings", {}).items():
            expected = {period: self.counted(name, period) for period in ceilings}
            assert used(self.accounts[name], now=self.now) == expected

    def teardown(self) -> None:
        assert_limits_clean()
        assert_ledger_clean()


@pytest.fixture
def machine(alpha: Organization) -> type[LimitsMachine]:
    """The machine on an organization of its own, each run undone by a savepoint."""

    class Machine(LimitsMachine):
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
def test_limits_follow_the_rules(machine: type[LimitsMachine]) -> None:
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
