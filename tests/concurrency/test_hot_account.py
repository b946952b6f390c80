"""Thirty-two connections spend one account to its last thousandth, and the same race without locks as control."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from functools import partial

import psycopg
import pytest

from billing.models import Account, Hold
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.concurrency.racing import connect, place, race
from tests.factories.billing import (
    assert_ledger_clean,
    balance_of,
    make_capped_account,
    make_grant,
    make_hold,
    make_wallet,
)

pytestmark = [pytest.mark.concurrency, pytest.mark.slow]
CLIENTS = 32


def hammer(account: Account, mtok: int, times: int, spend: Callable[..., str]) -> Counter[str]:
    """Let every client try `times` times to spend `mtok`, and count the outcomes."""
    ready = threading.Barrier(CLIENTS)

    def client() -> tuple[str, ...]:
        with connect() as connection:
            ready.wait(timeout=60)
            return tuple(spend(connection, account, mtok) for _ in range(times))

    return Counter(outcome for outcomes in race([client] * CLIENTS).elements() for outcome in outcomes)


def spend_with_the_ledger(connection: psycopg.Connection, account: Account, mtok: int) -> str:
    return place(connection, account, mtok)[0]


def spend_by_reading_first(
    connection: psycopg.Connection, account: Account, mtok: int, *, all_have_read: threading.Barrier
) -> str:
    """Read, check, write: what the ledger would be without its locks (and without its constraint)."""
    (held,) = connection.execute("SELECT held FROM control WHERE id = %s", [account.id]).fetchone()
    all_have_read.wait(timeout=60)
    if 10_007 - held < mtok:
        return "insufficient_tokens"
    connection.execute("UPDATE control SET held = %s WHERE id = %s", [held + mtok, account.id])
    return "held"


def test_one_account_to_its_last_thousandth(committed_db: None, alpha: Organization) -> None:
    wallet = make_wallet(alpha, 10_007)
    outcomes = hammer(wallet, 101, 5, spend_with_the_ledger)
    assert outcomes == {"held": 99, "insufficient_tokens": CLIENTS * 5 - 99}
    left = balance_of(wallet)
    assert (left.available_mtok, left.held_mtok) == (8, 99 * 101)
    outcomes = hammer(wallet, 1, 1, spend_with_the_ledger)
    assert outcomes == {"held": 8, "insufficient_tokens": CLIENTS - 8}
    assert balance_of(wallet).available_mtok == 0
    assert_ledger_clean()


def test_the_race_is_real(committed_db: None, alpha: Organization) -> None:
    """The negative control: the same clients, all reading before the first writes, spend what is not there."""
    wallet = make_wallet(alpha, 10_007)
    with connect() as connection, connect(owner=True) as owner:
        owner.execute("CREATE TABLE control (id uuid PRIMARY KEY, held bigint NOT NULL)")
        owner.execute("GRANT SELECT, INSERT, UPDATE ON control TO tokensight_app")
        try:
            connection.execute("INSERT INTO control VALUES (%s, 0)", [wallet.id])
            spend = partial(spend_by_reading_first, all_have_read=threading.Barrier(CLIENTS))
            outcomes = hammer(wallet, 101, 5, spend)
        finally:
            owner.execute("DROP TABLE control")
    assert outcomes["held"] > 99


def test_nested_caps_are_exact_together(committed_db: None, alpha: Organization) -> None:
    """Two members under one team's cap, beside the wallet's own spending: no ceiling is passed, each is reached.

    Whose Tokens are gone when the wallet is empty depends on who came first; once it has more, the team's cap decides.
    """
    wallet = make_wallet(alpha, 10_000)
    team = make_capped_account(wallet, 3_000, kind="team_pool")
    members = [make_capped_account(team, 2_000), make_capped_account(team, None)]

    def client(account: Account) -> tuple[str, str]:
        with connect() as connection:
            outcomes = Counter(place(connection, account, 100)[0] for _ in range(12))
        return str(account.id), str(outcomes["held"])

    counted: Counter[str] = Counter()

    def spend_at_once(accounts: list[Account]) -> tuple[int, int, int]:
        for (account_id, held), times in race([partial(client, account) for account in accounts]).items():
            counted[account_id] += int(held) * times
        one, two, own = (counted[str(account.id)] for account in (*members, wallet))
        assert one <= 20
        assert one + two <= 30
        assert balance_of(team).drawn_mtok == (one + two) * 100
        assert [balance_of(member).drawn_mtok for member in members] == [one * 100, two * 100]
        return one, two, own

    assert sum(spend_at_once([members[0], members[1], wallet, members[0]] * (CLIENTS // 4))) == 100
    assert balance_of(wallet).available_mtok == 0
    make_grant(alpha, 3_000)
    one, two, own = spend_at_once([members[0], members[1]] * (CLIENTS // 4))
    assert one + two == 30
    assert balance_of(wallet).available_mtok == 13_000 - (30 + own) * 100
    assert_ledger_clean()


def test_one_key_from_sixteen_connections_is_one_hold(committed_db: None, alpha: Organization) -> None:
    wallet = make_wallet(alpha, 10_000)

    def client() -> str:
        with connect() as connection:
            return place(connection, wallet, 700, key="job-1")[0]

    assert race([client] * 16) == {"held": 1, "duplicate": 15}
    assert balance_of(wallet).held_mtok == 700
    with organization_scope(alpha.id):
        assert Hold.objects.count() == 1
    assert_ledger_clean()


def test_one_key_through_the_service_is_one_hold(committed_db: None, alpha: Organization) -> None:
    wallet = make_wallet(alpha, 10_000)
    owner = wallet.id
    placed = race([lambda: make_hold(wallet, 700, key="job-1", owner_id=owner).hold_id] * 8)
    assert list(placed.values()) == [8]
    assert balance_of(wallet).held_mtok == 700
