"""Nested limits under a race: every ceiling is reached and none is passed, also while limits are being set."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
import pytest

from billing.models import Account
from billing.services import allocations
from billing.services.holds import expire_overdue_holds
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.concurrency.racing import connect, place, race
from tests.factories.billing import (
    NOW,
    assert_ledger_clean,
    make_account,
    make_capped_account,
    make_grant,
    make_wallet,
)
from tests.factories.limits import assert_limits_clean, make_limits, used

pytestmark = [pytest.mark.concurrency, pytest.mark.slow]
CLIENTS = 24


def hammer(accounts: list[Account], mtok: int, times: int, spend: Callable[..., str]) -> Counter[tuple[Account, str]]:
    """Let every client try `times` times to spend `mtok` of its account, and count (account, outcome)."""
    ready = threading.Barrier(CLIENTS)

    def client(account: Account) -> tuple[tuple[Account, str], ...]:
        with connect() as connection:
            ready.wait(timeout=60)
            return tuple((account, spend(connection, account, mtok)) for _ in range(times))

    runners = [partial(client, accounts[number % len(accounts)]) for number in range(CLIENTS)]
    return Counter(pair for pairs in race(runners).elements() for pair in pairs)


def spend_with_the_ledger(connection: psycopg.Connection, account: Account, mtok: int) -> str:
    return place(connection, account, mtok)[0]


def spend_by_reading_first(
    connection: psycopg.Connection, account: Account, mtok: int, *, all_have_read: threading.Barrier
) -> str:
    """Read the windows, compare, count: what limits would be without their lock."""
    levels = [str(level) for level in account.limited_by or []]
    rows = connection.execute("SELECT used, ceiling FROM control WHERE id = ANY (%s)", [levels]).fetchall()
    all_have_read.wait(timeout=60)
    if any(count + mtok > ceiling for count, ceiling in rows):
        return "hourly_limit_exceeded"
    for level in sorted(levels):
        connection.execute("UPDATE control SET used = used + %s WHERE id = %s", [mtok, level])
    return "held"


@pytest.fixture
def levels(committed_db: None, alpha: Organization) -> list[Account]:
    """A wallet, two teams and four members: two have Tokens of their own, two draw on the wallet through a team."""
    wallet = make_wallet(alpha, 1_000_000)
    one, two = (make_capped_account(wallet, None, kind="team_pool") for _ in range(2))
    members = [make_account(one, 100_000), make_capped_account(one, None), make_capped_account(two, None)]
    return [wallet, one, two, *members, make_account(two, 100_000)]


def test_every_level_to_its_last_thousandth(levels: list[Account]) -> None:
    wallet, one, two, *members = levels
    make_limits(wallet, hour=9_999, day=20_000, month=30_000, total=40_000)
    make_limits(one, hour=50_000, day=6_066)
    make_limits(two, total=6_000, month=70_000)
    make_limits(members[0], hour=2_020)
    counted = hammer(members, 101, 8, spend_with_the_ledger)
    held = {member.id: counted[member, "held"] * 101 for member in members}
    assert held[members[0].id] <= 2_020
    assert held[members[0].id] + held[members[1].id] <= 6_066
    assert held[members[2].id] + held[members[3].id] <= 6_000
    # 99 holds fit into the organization's hour, and nothing below is tight enough to keep them from it together.
    assert sum(held.values()) == 9_999
    assert used(wallet) == dict.fromkeys(("hour", "day", "month", "total"), 9_999)
    # Which of the teams' ceilings were met on the way depends on who came first: now nothing above keeps them back.
    make_limits(wallet, hour=20_000, day=20_000, month=30_000, total=40_000)
    counted += hammer(members, 101, 8, spend_with_the_ledger)
    held = {member.id: counted[member, "held"] * 101 for member in members}
    assert held[members[0].id] <= 2_020
    assert held[members[0].id] + held[members[1].id] == 60 * 101
    assert held[members[2].id] + held[members[3].id] == 59 * 101
    assert {outcome for _, outcome in counted} == {"held", "hourly_limit_exceeded", "quota_exceeded"}
    assert_limits_clean()
    assert_ledger_clean()


def test_the_race_is_real(levels: list[Account]) -> None:
    """The negative control: the same clients, all reading before the first counts, pass the organization's ceiling."""
    wallet, *_teams = levels
    make_limits(wallet, hour=9_999)
    with connect() as connection, connect(owner=True) as owner:
        owner.execute("CREATE TABLE control (id uuid PRIMARY KEY, used bigint NOT NULL, ceiling bigint NOT NULL)")
        owner.execute("GRANT SELECT, INSERT, UPDATE ON control TO tokensight_app")
        try:
            connection.execute("INSERT INTO control VALUES (%s, 0, 9999)", [wallet.id])
            with organization_scope(wallet.organization_id):
                members = list(Account.objects.filter(id__in=[account.id for account in levels[3:]]))
            spend = partial(spend_by_reading_first, all_have_read=threading.Barrier(CLIENTS))
            counted = hammer(members, 101, 8, spend)
        finally:
            owner.execute("DROP TABLE control")
    assert sum(count for (_, outcome), count in counted.items() if outcome == "held") > 99


def test_limits_that_are_set_under_fire_miss_no_hold(alpha: Organization, levels: list[Account]) -> None:
    """Holds that are placed while a limit is being set are counted by it, whichever of the two commits first."""
    wallet, one, two, *members = levels
    stop = threading.Event()
    # So much that nothing is short, however long the limits take.
    make_grant(alpha, 10**10)
    for member in members:
        if member.mode == "ring_fenced":
            with organization_scope(alpha.id):
                allocations.allocate(
                    from_account_id=member.parent_id, to_account_id=member.id, mtok=10**9,
                    idempotency_key=str(new_id()), now=NOW,
                )  # fmt: skip
    plenty = 10**9

    def spender(seed: int) -> None:
        chance = random.Random(seed)
        with connect() as connection:
            while not stop.is_set():
                place(connection, chance.choice(members), chance.randint(1, 30))

    def setter() -> None:
        try:
            for _ in range(3):
                for account in (wallet, one, two, *members):
                    make_limits(account, hour=plenty, day=plenty, month=plenty, total=plenty)
                late = make_capped_account(one, None)
                with connect() as connection:
                    assert place(connection, late, 7)[0] == "held"
                make_limits(one)
                make_limits(wallet, total=plenty)
        finally:
            stop.set()

    race([*(partial(spender, seed) for seed in range(6)), setter])
    make_limits(one, hour=plenty)
    assert_limits_clean()
    spent = used(wallet)["total"]
    make_limits(wallet, total=spent)
    with connect() as connection:
        assert {place(connection, member, 1)[0] for member in members} == {"quota_exceeded"}
    assert_ledger_clean()


def test_everything_at_once_keeps_every_window_exact(levels: list[Account]) -> None:
    wallet, one, two, *members = levels
    make_limits(wallet, hour=3_000, total=50_000)
    make_limits(one, day=2_000)
    make_limits(members[2], month=900)

    def spender(seed: int) -> None:
        chance = random.Random(seed)
        with connect() as web, connect(platform=True) as worker:
            for _ in range(6):
                placed = [place(web, chance.choice(members), chance.randint(2, 40)) for _ in range(8)]
                held = [hold_id for outcome, hold_id in placed if outcome == "held"]
                chance.shuffle(held)
                captured, released = held[:3], held[3:6]
                items = [{"hold_id": hold_id, "mtok": 1, "transfer_id": str(new_id())} for hold_id in captured]
                worker.execute("SELECT * FROM billing_capture_holds(%s, %s)", [json.dumps(items), NOW])
                worker.execute("SELECT * FROM billing_release_holds(%s::uuid[], 'released', %s)", [released, NOW])

    def setter() -> None:
        for _ in range(5):
            make_limits(two, hour=1_000, day=1_500)
            make_limits(two)

    def mover() -> None:
        for _ in range(6):
            with organization_scope(wallet.organization_id):
                allocations.allocate(
                    from_account_id=one.id, to_account_id=members[0].id, mtok=5, idempotency_key=str(new_id()), now=NOW
                )

    def sweeper() -> Any:
        for _ in range(8):
            expire_overdue_holds(now=NOW, limit=7)

    race([*(partial(spender, seed) for seed in range(8)), setter, mover, sweeper, sweeper])
    assert used(wallet)["hour"] <= 3_000
    assert used(one)["day"] <= 2_000
    assert_limits_clean()
    assert_ledger_clean()
