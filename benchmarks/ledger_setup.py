"""What `benchmarks.ledger` works on, and what must be true of it afterwards. Import it with Django set up."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count as counter
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection

from benchmarks.ledger_contenders import CONTENDERS, NAIVE_TABLES, PLACE, PRICE_MTOK
from billing.enums import AccountKind, GrantSource
from billing.services import accounts, allocations, grants
from billing.services.verify import verify_ledger
from portal.embedded import EmbeddedPostgres
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope

FUNDS_MTOK = 10**10
_numbers = counter(1)


@dataclass
class Target:
    """Where the clients connect, and the accounts that they spend from."""

    url: str
    organization_id: uuid.UUID
    accounts: list[str]


def contenders(pgledger: Path | None) -> list[str]:
    return [name for name in CONTENDERS if name != "pgledger" or pgledger]


def prepare(server: EmbeddedPostgres, contender: str, count: int, pgledger: Path | None) -> Target:
    """Make fresh accounts, so that every run begins alike, and bring the server to rest."""
    if contender == "naive Django":
        target = _prepare_naive(server, count)
    elif contender == "pgledger":
        target = _prepare_pgledger(server, count, Path(pgledger))
    else:
        target = _prepare_tokensight(server, count, FUNDS_MTOK)
    with psycopg.connect(server.url("tokensight"), autocommit=True) as owner:
        owner.execute("VACUUM ANALYZE")
        owner.execute("CHECKPOINT")
    return target


def _prepare_tokensight(server: EmbeddedPostgres, count: int, mtok: int) -> Target:
    number = next(_numbers)
    with platform_scope("benchmark"):
        organization = Organization.objects.create(name=f"Bench {number}", slug=f"bench-{number}")
    wallet = accounts.open_wallet(organization.id, plan="enterprise")
    now = datetime.now(UTC)
    grants.issue_grant(
        organization_id=organization.id, tokens_mtok=mtok * count, source=GrantSource.PURCHASE,
        expires_at=now + timedelta(days=365), idempotency_key="benchmark", now=now,
    )  # fmt: skip
    ids = []
    with organization_scope(organization.id):
        for index in range(count):
            account = accounts.open_account(kind=AccountKind.SUB_TOKEN, parent_id=wallet.id)
            allocations.allocate(
                from_account_id=wallet.id, to_account_id=account.id, mtok=mtok, idempotency_key=f"{index}", now=now
            )
            ids.append(str(account.id))
    return Target(server.url("tokensight", role="tokensight_app"), organization.id, ids)


def _prepare_naive(server: EmbeddedPostgres, count: int) -> Target:
    ids = [str(new_id()) for _ in range(count)]
    with psycopg.connect(server.url("tokensight"), autocommit=True) as owner:
        owner.execute("DROP TABLE IF EXISTS naive_entry, naive_hold, naive_account")
        owner.execute(NAIVE_TABLES)
        owner.execute("GRANT ALL ON naive_entry, naive_hold, naive_account TO tokensight_app")
        for account_id in ids:
            owner.execute("INSERT INTO naive_account VALUES (%s, %s, 0)", [account_id, FUNDS_MTOK])
    return Target(server.url("tokensight", role="tokensight_app"), uuid.uuid4(), ids)


def _prepare_pgledger(server: EmbeddedPostgres, count: int, directory: Path) -> Target:
    with psycopg.connect(server.url("postgres"), autocommit=True) as owner:
        owner.execute("DROP DATABASE IF EXISTS pgledger")
        owner.execute("CREATE DATABASE pgledger")
    url = server.url("pgledger")
    create = "SELECT id FROM pgledger_create_account(%s, 'XTK', allow_negative_balance => %s)"
    with psycopg.connect(url, autocommit=True) as owner:
        for name in (
            "vendor/scoville-pgsql-ulid/uuid-to-ulid.sql",
            "vendor/scoville-pgsql-ulid/ulid-to-uuid.sql",
            "pgledger.sql",
        ):
            owner.execute((directory / name).read_text())
        (issued,) = owner.execute(create, ["issued", True]).fetchone()
        (consumed,) = owner.execute(create, ["consumed", True]).fetchone()
        triples = []
        for index in range(count):
            (available,) = owner.execute(create, [f"available {index}", False]).fetchone()
            (held,) = owner.execute(create, [f"held {index}", False]).fetchone()
            owner.execute("SELECT id FROM pgledger_create_transfer(%s, %s, %s)", [issued, available, FUNDS_MTOK])
            triples.append(f"{available} {held} {consumed}")
    return Target(url, uuid.uuid4(), triples)


def warm_up(server: EmbeddedPostgres, processes: list[Any], run: Callable[..., Any]) -> None:
    """Let every process open connections and load code once before anything counts."""
    for contender in ("naive Django", "tokensight"):
        run(processes, contender, prepare(server, contender, 10, None), 1)


def check(contender: str, target: Target, numbers: dict[str, float]) -> None:
    """Fail loudly unless what the clients counted is exactly what was spent."""
    spent = int(numbers["pairs"]) * PRICE_MTOK
    with psycopg.connect(target.url) as database:
        if contender == "naive Django":
            query = "SELECT sum(balance), sum(held), -(SELECT sum(amount) FROM naive_entry) FROM naive_account"
            left, held, entries = database.execute(query).fetchone()
            found = {"left": left + spent, "held": held, "entries": entries}
            wanted = {"left": FUNDS_MTOK * len(target.accounts), "held": 0, "entries": spent}
        elif contender == "pgledger":
            query = "SELECT sum(balance) FROM pgledger_accounts_view WHERE name = 'consumed'"
            found, wanted = database.execute(query).fetchone()[0], spent
        else:
            report = verify_ledger(now=datetime.now(UTC))
            if not report.passed:
                raise SystemExit(f"the ledger is off: {json.dumps(report.off[0].discrepancies[:5])}")
            with organization_scope(target.organization_id), connection.cursor() as cursor:
                cursor.execute("SELECT posted_mtok FROM billing_account WHERE kind = 'consumed'")
                (consumed,) = cursor.fetchone()
                cursor.execute("SELECT sum(held_mtok) FROM billing_account")
                (held,) = cursor.fetchone()
            found, wanted = {"consumed": consumed, "held": held}, {"consumed": spent, "held": 0}
    if found != wanted:
        raise SystemExit(f"{contender}: {found} where {wanted} was counted")


def check_last_thousandth(server: EmbeddedPostgres) -> None:
    """Let 32 clients empty an account that has Tokens for 1,000 holds, and a thousandth too few for one more."""
    target = _prepare_tokensight(server, 1, 1_001 * PRICE_MTOK - 1)
    held: list[int] = []

    def client() -> None:
        with psycopg.connect(target.url, autocommit=True) as client_connection:
            outcome, successes = "held", 0
            while outcome == "held":
                now = datetime.now(UTC)
                (outcome,) = client_connection.execute(
                    PLACE, [[new_id()], target.organization_id, target.accounts[0], PRICE_MTOK, now, now]
                ).fetchone()
                successes += outcome == "held"
            held.append(successes)

    threads = [threading.Thread(target=client) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if sum(held) != 1_000 or not verify_ledger(now=datetime.now(UTC)).passed:
        raise SystemExit(f"overspent: {sum(held)} holds where 1,000 were paid for")
    print(f"32 clients emptied an account to its last thousandth: {sum(held)} holds of 1,000 paid for.")
