"""All operations at once on the same few accounts: no deadlock, nothing lost, nothing resolved twice."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from billing import errors
from billing.models import Account
from billing.services import allocations
from billing.services.expiry import expire_grants
from billing.services.holds import expire_overdue_holds
from billing.services.verify import verify_ledger
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

pytestmark = [pytest.mark.concurrency, pytest.mark.slow]


def spender(accounts: list[Account], seed: int) -> Callable[[], Any]:
    """Hold on random accounts, then capture or release the lot in one batch, whose items are in no order."""

    def run() -> None:
        chance = random.Random(seed)
        with connect() as web, connect(platform=True) as worker:
            for _ in range(6):
                placed = [place(web, chance.choice(accounts), chance.randint(1, 40)) for _ in range(8)]
                held = [hold_id for outcome, hold_id in placed if outcome == "held"]
                chance.shuffle(held)
                captured, released = held[:5], held[5:]
                items = [{"hold_id": hold_id, "mtok": 1, "transfer_id": str(new_id())} for hold_id in captured]
                worker.execute("SELECT * FROM billing_capture_holds(%s, %s)", [json.dumps(items), NOW])
                worker.execute("SELECT * FROM billing_release_holds(%s::uuid[], 'released', %s)", [released, NOW])

    return run


def mover(parent: Account, child: Account) -> Callable[[], Any]:
    """Allocate and reclaim, up and down."""

    def run() -> None:
        for _ in range(8):
            with organization_scope(parent.organization_id):
                try:
                    allocations.allocate(
                        from_account_id=parent.id,
                        to_account_id=child.id,
                        mtok=50,
                        idempotency_key=str(new_id()),
                        now=NOW,
                    )
                except (errors.InsufficientTokens, errors.QuotaExceeded):
                    continue
            with organization_scope(parent.organization_id):
                allocations.reclaim(account_id=child.id, idempotency_key=str(new_id()), now=NOW)

    return run


def caretaker() -> None:
    """Sweep, expire and verify, as the scheduler does; the proof holds at every moment, not only at rest."""
    for _ in range(6):
        expire_overdue_holds(now=NOW, limit=5)
        expire_grants(now=NOW)
        assert verify_ledger(now=NOW).passed


def test_everything_at_once(committed_db: None, alpha: Organization, beta: Organization) -> None:
    accounts, runners = [], []
    for organization in (alpha, beta):
        wallet = make_wallet(organization, 5_000)
        make_grant(organization, 3_000, expires_at=NOW, now=NOW - timedelta(days=1))
        pool = make_account(wallet, 1_000, kind="team_pool")
        team = make_capped_account(wallet, 2_000, kind="team_pool")
        fenced, member = make_account(team, 100), make_capped_account(team, 1_500)
        below = make_capped_account(pool, None)
        accounts += [wallet, pool, team, fenced, member, below]
        runners += [mover(wallet, pool), mover(team, fenced)]
    runners += [spender(accounts, seed) for seed in range(10)]
    race([*runners, caretaker, caretaker])
    assert_ledger_clean()


def test_a_hold_that_is_captured_released_and_swept_at_once_resolves_once(
    committed_db: None, alpha: Organization
) -> None:
    wallet = make_wallet(alpha, 10_000)
    with connect() as web:
        hold_ids = [place(web, wallet, 100)[1] for _ in range(30)]  # overdue at once

    def capture() -> int:
        items = [{"hold_id": hold_id, "mtok": 100, "transfer_id": str(new_id())} for hold_id in reversed(hold_ids)]
        with connect(platform=True) as worker:
            rows = worker.execute("SELECT outcome FROM billing_capture_holds(%s, %s)", [json.dumps(items), NOW])
            return sum(outcome == "captured" for (outcome,) in rows)

    def release() -> int:
        with connect(platform=True) as worker:
            sql = "SELECT outcome FROM billing_release_holds(%s::uuid[], 'released', %s)"
            return sum(outcome == "released" for (outcome,) in worker.execute(sql, [hold_ids, NOW]))

    def sweep() -> int:
        return expire_overdue_holds(now=NOW, limit=7)

    resolved = race([capture, release, sweep] * 4)
    assert sum(count * times for count, times in resolved.items()) == 30
    assert_ledger_clean()
