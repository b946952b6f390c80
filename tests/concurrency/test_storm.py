"""Everything that moves Tokens at once, and the books of all who took part against the ledger.

    STORM_SECONDS=60 python -m pytest tests/concurrency/test_storm.py -s

runs as long as wanted; docs/proof.md has the numbers of a minute.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
import pytest
from django.db.models import Sum

from billing.enums import SYSTEM_KINDS, HoldStatus
from billing.models import Account, Hold, LimitWindow
from billing.services.expiry import expire_grants
from billing.services.holds import expire_overdue_holds
from billing.services.verify import verify_ledger
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.concurrency.racing import connect, race
from tests.concurrency.storm import make_storm
from tests.factories.billing import make_wallet
from tests.factories.limits import assert_limits_clean

pytestmark = [pytest.mark.concurrency, pytest.mark.slow]
SECONDS = float(os.environ.get("STORM_SECONDS", "8"))
HAPPENS = {
    "held", "captured", "released", "allocate", "reclaim", "move_sideways", "holds expired", "rotate", "ceiling",
    "already_captured", "proof", "expiry",
}  # fmt: skip
SHORT = {"quota_exceeded", "insufficient_tokens"}


def below(root: Account, accounts: Iterable[Account]) -> set[Any]:
    """Return the ids of an account and of all below it."""
    found = {root.id}
    for account in accounts:  # each after the one that it hangs below
        if account.parent_id in found:
            found.add(account.id)
    return found


def test_the_books_of_all_say_what_the_ledger_says(
    committed_db: None, alpha: Organization, fresh_process: None
) -> None:
    """Nor do they wait in a circle: of a deadlock one of them would be the victim, and the storm raises what it met."""
    storm = make_storm(alpha, make_wallet(alpha))
    storm.credit(20_000, seconds=5)
    storm.credit(2_000, seconds=10_000)
    storm.rage(SECONDS, until=lambda happened: all(map(happened, HAPPENS)) and any(map(happened, SHORT)))
    book = storm.book
    while expire_overdue_holds(now=datetime.max.replace(tzinfo=UTC)):
        pass
    book.mtok["expired"] += expire_grants(now=datetime.now(UTC))
    print(dict(book.counts.most_common()), f"{storm.granted_mtok} mtok granted, {book.mtok['expired']} expired")
    assert book.counts.keys() >= HAPPENS
    assert book.counts.keys() & SHORT, "nothing was ever short"
    assert max(book.resolved.values()) == 1, "a hold was resolved twice"
    report = verify_ledger(now=datetime.now(UTC))
    assert report.passed, report.off
    assert_limits_clean()
    spent = {account_id: mtok for account_id, mtok in book.mtok.items() if account_id != "expired"}
    with organization_scope(alpha.id):
        kinds = dict(Account.objects.values_list("kind").annotate(mtok=Sum("posted_mtok")))
        left = sum(mtok for kind, mtok in kinds.items() if kind not in SYSTEM_KINDS)
        assert kinds["consumed"] == sum(spent.values())
        assert kinds["expired"] == book.mtok["expired"]
        assert storm.granted_mtok == left + sum(spent.values()) + book.mtok["expired"]
        assert not Hold.objects.filter(status=HoldStatus.HELD).exists()
        captured = Hold.objects.filter(status=HoldStatus.CAPTURED).count()
        assert captured == book.counts["captured"]
        for account in storm.limited:
            mine = sum(spent.get(account_id, 0) for account_id in below(account, storm.limited))
            window = LimitWindow.objects.get(account=account, period="total")
            assert mine == window.used_mtok <= storm.ceilings[account.id]


def spend_by_reading_first(
    connection: psycopg.Connection, path: list[str], mtok: int, all_have_read: threading.Barrier
) -> int:
    """Read what is left on every level, and write it where all have room: what the ledger would be without locks."""
    rows = connection.execute("SELECT id::text, room FROM control WHERE id = ANY (%s::uuid[])", [path]).fetchall()
    all_have_read.wait(timeout=60)
    if min(room for _id, room in rows) < mtok:
        return 0
    for account_id, room in rows:
        connection.execute("UPDATE control SET room = %s WHERE id = %s", [room - mtok, account_id])
    return mtok


def test_the_race_is_real(committed_db: None, alpha: Organization) -> None:
    """The negative control: as many clients, all reading before the first writes, overspend the same levels."""
    storm, all_have_read = make_storm(alpha, make_wallet(alpha)), threading.Barrier(64)
    parents = {account.id: account.parent_id for account in storm.limited}

    def path_of(account: Account) -> list[str]:
        path, at = [], account.id
        while at is not None:
            path.append(str(at))
            at = parents.get(at)
        return path

    paths = [path_of(sub_token.account) for sub_token in storm.sub_tokens]
    assert max(len(path) for path in paths) == 4, "three levels below the wallet"

    def client(number: int) -> tuple[str, int]:
        path = paths[number % len(paths)]
        with connect() as connection:
            return path[0], sum(spend_by_reading_first(connection, path, 7, all_have_read) for _ in range(4))

    clients: list[Callable[[], Any]] = [partial(client, number) for number in range(64)]
    with connect(owner=True) as owner:
        owner.execute("CREATE TABLE control (id uuid PRIMARY KEY, room bigint NOT NULL)")
        owner.execute("GRANT SELECT, UPDATE ON control TO tokensight_app")
        try:
            for account in storm.limited:
                owner.execute("INSERT INTO control VALUES (%s, 700)", [account.id])
            counted: Counter[str] = Counter()
            for (account_id, mtok), times in race(clients).items():
                counted[account_id] += mtok * times
        finally:
            owner.execute("DROP TABLE control")
    assert sum(counted.values()) > 700
