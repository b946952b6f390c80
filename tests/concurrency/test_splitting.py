"""Moves, projects' ends, splits, rearrangements and reversals against holds: nothing is lost or invented."""

from __future__ import annotations

import json
import random
import threading
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import psycopg
import pytest

from billing import errors
from billing.models import Account, Transfer
from billing.queries.balances import organization_balance
from billing.services import splitting
from billing.services.corrections import correct_grant, reverse_transfer
from billing.services.limits import Ceilings, set_limits
from billing.services.rearranging import preview, rearrange
from billing.services.splits import Share, split
from billing.services.subtrees import reclaim_all
from billing.services.verify import verify_ledger
from tenants.actors import PLATFORM
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.concurrency.racing import connect, place, race
from tests.factories.billing import (
    NOW,
    assert_ledger_clean,
    balance_of,
    make_account,
    make_capped_account,
    make_grant,
    make_wallet,
)
from tests.factories.tenants import make_team

pytestmark = [pytest.mark.concurrency, pytest.mark.slow]
TURNS = 6


def make_pools(organization: Organization, parent: Account, mtok: int, count: int = 2) -> list[Account]:
    """Open pools of new teams below an account, each with Tokens of its own."""
    found = []
    for _ in range(count):
        pool = make_account(parent, mtok, kind="team_pool")
        with organization_scope(organization.id):
            Account.objects.filter(id=pool.id).update(team_id=make_team(organization).id)
        found.append(pool)
    return found


def again(
    organization: Organization, act: Callable[[random.Random], Any], seed: int, *, scoped: bool = True
) -> Callable[[], None]:
    """Do an act several times, each in a transaction of its own; what the ledger refuses is no failure."""

    def run() -> None:
        chance = random.Random(seed)
        for _ in range(TURNS):
            try:
                with organization_scope(organization.id) if scoped else nullcontext():
                    act(chance)
            except errors.LedgerError:
                continue

    return run


def spend(accounts: list[Account], seed: int) -> Callable[[], int]:
    """Hold on random accounts, capture some and release the others; return how much was captured."""

    def run() -> int:
        chance, captured = random.Random(seed), 0
        with connect() as web, connect(platform=True) as worker:
            for _ in range(TURNS):
                placed = [place(web, chance.choice(accounts), chance.randint(1, 40)) for _ in range(6)]
                held = [hold_id for outcome, hold_id in placed if outcome == "held"]
                items = [{"hold_id": hold_id, "mtok": 1, "transfer_id": str(new_id())} for hold_id in held[:3]]
                rows = worker.execute("SELECT outcome FROM billing_capture_holds(%s, %s)", [json.dumps(items), NOW])
                captured += sum(outcome == "captured" for (outcome,) in rows)
                worker.execute("SELECT * FROM billing_release_holds(%s::uuid[], 'released', %s)", [held[3:], NOW])
        return captured

    return run


def test_everything_that_splits_against_holds(committed_db: None, alpha: Organization) -> None:
    wallet = make_wallet(alpha, 40_000)
    mistaken = make_grant(alpha, 5_000, priority=90)
    outer = make_capped_account(wallet, 20_000, kind="team_pool")
    with organization_scope(alpha.id):
        Account.objects.filter(id=outer.id).update(team_id=make_team(alpha).id)
    one, two = make_pools(alpha, outer, 4_000)
    three, four = make_pools(alpha, wallet, 3_000)
    below = make_capped_account(one, None)
    spending = [wallet, outer, one, two, three, four, below]

    def sideways(chance: random.Random) -> None:
        source, target = chance.choice([(one, two), (two, one), (three, four), (four, three)])
        splitting.move(from_id=source.id, to_id=target.id, mtok=chance.randint(1, 900), actor=PLATFORM, now=NOW)

    def share_out(chance: random.Random) -> None:
        mtok = chance.randint(-800, 800)
        changes = {one.id: mtok, two.id: -mtok + chance.randint(-50, 50)}
        # In transactions of their own, as two requests have: see `preview`.
        with organization_scope(alpha.id):
            seen = preview(account_id=outer.id, changes=changes, actor=PLATFORM, now=NOW)
        with organization_scope(alpha.id):
            rearrange(account_id=outer.id, changes=changes, state=seen.state, actor=PLATFORM, now=NOW)

    def split_up(chance: random.Random) -> None:
        shares = [Share(f"Part {n}", chance.randint(1, 60)) for n in range(5)]
        split(organization_id=alpha.id, account_id=chance.choice([wallet, one, outer]).id, shares=shares,
              actor=PLATFORM, now=NOW)  # fmt: skip

    def end_project(chance: random.Random) -> None:
        reclaim_all(account_id=chance.choice([one, three]).id, revoke=chance.random() < 0.5, actor=PLATFORM, now=NOW)

    def give(chance: random.Random) -> None:
        splitting.give(account_id=chance.choice([one, two, three]).id, mtok=700, actor=PLATFORM, now=NOW)

    def take_back(chance: random.Random) -> None:
        if chance.random() < 0.5:
            correct_grant(
                organization_id=alpha.id, grant_id=mistaken.id, mtok=chance.randint(1, 400), reason="Too much",
                idempotency_key=str(uuid.uuid4()), actor=PLATFORM, now=NOW,
            )  # fmt: skip
            return
        transfer = Transfer.objects.filter(kind__in=["allocation", "move", "capture"]).order_by("-id").first()
        assert transfer
        reverse_transfer(
            organization_id=alpha.id, transfer_id=transfer.id, reason="By mistake", idempotency_key=str(uuid.uuid4()),
            actor=PLATFORM, now=NOW,
        )  # fmt: skip

    def verify() -> None:
        for _ in range(3):
            assert verify_ledger(now=NOW).passed

    acts = [sideways, share_out, split_up, end_project, give, take_back, sideways, share_out]
    race([
        *(again(alpha, act, seed, scoped=act is not share_out) for seed, act in enumerate(acts)),
        *(spend(spending, seed) for seed in range(8)),
        verify,
    ])  # fmt: skip
    assert_ledger_clean()
    with organization_scope(alpha.id):
        left = organization_balance(alpha.id, now=NOW)
        sunk = sum(Account.objects.filter(kind__in=["consumed", "refunded"]).values_list("posted_mtok", flat=True))
    assert left.available_mtok + left.held_mtok + sunk == 45_000


def hammer(move: Callable[[psycopg.Connection, int], None], clients: int = 16) -> None:
    def client(seed: int) -> Callable[[], None]:
        def run() -> None:
            with connect() as connection:
                for turn in range(10):
                    move(connection, seed + turn)

        return run

    race([client(seed) for seed in range(clients)])


def test_two_siblings_that_give_to_each_other_keep_what_they_have(committed_db: None, alpha: Organization) -> None:
    one, two = make_pools(alpha, make_wallet(alpha, 10_000), 5_000)

    def client(seed: int) -> Callable[[], None]:
        source, target = (one, two) if seed % 2 else (two, one)
        return again(
            alpha,
            lambda chance: splitting.move(
                from_id=source.id, to_id=target.id, mtok=chance.randint(1, 700), actor=PLATFORM, now=NOW
            ),
            seed,
        )

    race([client(seed) for seed in range(16)])
    assert balance_of(one).available_mtok + balance_of(two).available_mtok == 10_000
    assert_ledger_clean()


def test_the_race_is_real(committed_db: None) -> None:
    """The negative control: the same moves by reading and then writing, when all have read before the first writes."""
    all_have_read = threading.Barrier(16)
    with connect(owner=True) as owner:
        owner.execute("CREATE TABLE control (id int PRIMARY KEY, mtok bigint NOT NULL)")
        owner.execute("GRANT SELECT, INSERT, UPDATE ON control TO tokensight_app")
        try:
            owner.execute("INSERT INTO control VALUES (0, 5000), (1, 5000)")

            def move(connection: psycopg.Connection, _seed: int) -> None:
                amounts = dict(connection.execute("SELECT id, mtok FROM control").fetchall())
                all_have_read.wait(timeout=60)
                connection.execute("UPDATE control SET mtok = %s WHERE id = 0", [amounts[0] - 7])
                connection.execute("UPDATE control SET mtok = %s WHERE id = 1", [amounts[1] + 7])

            hammer(move, clients=16)
            (left,) = owner.execute("SELECT mtok FROM control WHERE id = 0").fetchone() or (None,)
        finally:
            owner.execute("DROP TABLE control")
    assert left is not None
    assert left > 5000 - 16 * 10 * 7, "moves were lost"


def test_a_project_ends_once_however_many_end_it(committed_db: None, alpha: Organization) -> None:
    wallet = make_wallet(alpha, 10_000)
    (pool,) = make_pools(alpha, wallet, 6_000, count=1)
    leaves = [make_account(pool, 500) for _ in range(6)]

    def end() -> int:
        with organization_scope(alpha.id):
            return reclaim_all(account_id=pool.id, revoke=False, actor=PLATFORM, now=NOW).reclaimed_mtok

    def hold() -> int:
        with connect() as web:
            return sum(place(web, leaf, 100)[0] == "held" for leaf in leaves)

    came_back = sum(mtok * times for mtok, times in race([end] * 8).items())
    assert came_back == 6_000
    race([*[end] * 4, *[hold] * 8])
    assert balance_of(wallet).available_mtok == 10_000
    assert_ledger_clean()


def test_only_one_of_two_previews_of_one_state_is_done(committed_db: None, alpha: Organization) -> None:
    wallet = make_wallet(alpha, 10_000)
    one, two = make_pools(alpha, wallet, 5_000)
    changes = {one.id: -100, two.id: 100}
    with organization_scope(alpha.id):
        state = preview(account_id=wallet.id, changes=changes, actor=PLATFORM, now=NOW).state

    def commit() -> str:
        try:
            with organization_scope(alpha.id):
                rearrange(account_id=wallet.id, changes=changes, state=state, actor=PLATFORM, now=NOW)
        except errors.StateChanged:
            return "stale"
        return "done"

    assert race([commit] * 8) == {"done": 1, "stale": 7}
    assert [balance_of(pool).available_mtok for pool in (one, two)] == [4_900, 5_100]


def test_splits_and_limits_do_not_wait_for_each_other(committed_db: None, alpha: Organization) -> None:
    """Whoever sets limits shuts the accounts first; who splits locks some and opens others below."""
    wallet = make_wallet(alpha, 100_000)

    def split_up(chance: random.Random) -> None:
        shares = [Share(f"Part {n}", chance.randint(1, 60)) for n in range(3)]
        split(organization_id=alpha.id, account_id=wallet.id, shares=shares, actor=PLATFORM, now=NOW)

    def limit(chance: random.Random) -> None:
        ceilings = Ceilings(tokens_per_hour_mtok=chance.randint(50_000, 90_000))
        set_limits(account_id=wallet.id, ceilings=ceilings, actor=PLATFORM, now=NOW)

    race([again(alpha, act, seed) for seed in range(6) for act in (split_up, limit)])  # a deadlock would be raised
    assert_ledger_clean()
