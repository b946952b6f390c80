"""The ways of holding and capturing Tokens that `benchmarks.ledger` compares.

A contender is given one process's share, accounts and a number of client threads. It runs until its time is over, and
says how many pairs of hold and capture were completed. Every client has its own connection; nothing is shared but the
queue of holds to capture.
"""

from __future__ import annotations

import itertools
import json
import queue
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import psycopg
from django.db import connection as django_connection
from django.db import models, transaction

from tenants.combining import Combiner
from tenants.identifiers import new_id

PRICE_MTOK = 1_000
BATCH = 32
# As detection/services/admission.py has it.
TOGETHER = 16


@dataclass
class Share:
    """One process's part of a run: what to work on, and what came out."""

    url: str
    platform_role: str
    organization_id: uuid.UUID
    account_ids: Sequence[str]
    clients: int
    seconds: float
    pairs: int = 0
    refused: int = 0
    hold_ms: list[float] = field(default_factory=list)
    batches: int = 0
    errors: list[str] = field(default_factory=list)


def run_clients(share: Share, client: Callable[[Share, Sequence[str], Callable[[], bool]], None]) -> None:
    """Run the client in `share.clients` threads for `share.seconds`, each starting on another account."""
    end = time.perf_counter() + share.seconds
    running = lambda: time.perf_counter() < end  # noqa: E731

    def guarded(accounts: Sequence[str]) -> None:
        try:
            client(share, accounts, running)
        except Exception as error:
            share.errors.append(repr(error))

    offsets = [index * len(share.account_ids) // share.clients for index in range(share.clients)]
    threads = [
        threading.Thread(target=guarded, args=([*share.account_ids[at:], *share.account_ids[:at]],)) for at in offsets
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


PLACE = (
    "SELECT placed.outcome FROM unnest(%s::uuid[]) WITH ORDINALITY AS asked (hold, number), LATERAL"
    " billing_place_hold(%s, %s, asked.hold, %s, asked.hold::text, asked.hold, %s, %s) AS placed ORDER BY asked.number"
)
CAPTURE = "SELECT outcome FROM billing_capture_holds(%s, %s)"
# As tenants/durable.py has it.
ON_DISK = "SELECT pg_logical_emit_message(true, 'tokensight', '')"


def tokensight(share: Share, *, asynchronous_holds: bool = True) -> None:
    """Ours: holds of one account that gather in a process are placed together, each by its own billing_place_hold.

    That is how the product takes calls in (detection/services/admission.py). Holds commit asynchronously (their callers
    wait for the result and would ask again). What is held queues for one settler, which captures in batches; a batch
    counts when it is on disk, and as in the product its locks are freed before that.
    """
    held: queue.Queue[str | None] = queue.Queue(maxsize=BATCH * 2)
    organization, own = str(share.organization_id), threading.local()

    def together(account: str, hold_ids: Sequence[str]) -> list[str]:
        now = datetime.now(UTC)
        rows = own.connection.execute(
            PLACE, [list(hold_ids), organization, account, PRICE_MTOK, now + timedelta(minutes=5), now]
        ).fetchall()
        return [outcome for (outcome,) in rows]

    place = Combiner(together, most=TOGETHER)

    def client(share: Share, accounts: Sequence[str], running: Callable[[], bool]) -> None:
        took = []
        with psycopg.connect(share.url, autocommit=True, prepare_threshold=0) as own.connection:
            own.connection.execute(f"SET synchronous_commit = {'off' if asynchronous_holds else 'on'}")
            for account in itertools.cycle(accounts):
                if not running():
                    break
                hold_id = str(new_id())
                began = time.perf_counter()
                outcome = place(account, hold_id)
                took.append((time.perf_counter() - began) * 1000)
                if outcome == "held":
                    held.put(hold_id)
                else:
                    share.refused += 1
        share.hold_ms.extend(took)

    def settle() -> None:
        with psycopg.connect(share.url, prepare_threshold=0) as connection:
            for batch in iter(lambda: _next_batch(held), []):
                items = [{"hold_id": hold, "mtok": PRICE_MTOK, "transfer_id": str(new_id())} for hold in batch]
                with connection.transaction():
                    connection.execute(f"SET LOCAL ROLE {share.platform_role}")
                    connection.execute("SET LOCAL synchronous_commit = off")
                    rows = connection.execute(CAPTURE, [json.dumps(items), datetime.now(UTC)]).fetchall()
                connection.execute(ON_DISK)
                connection.commit()
                share.pairs += sum(outcome == "captured" for (outcome,) in rows)
                share.batches += 1

    settler = threading.Thread(target=settle)
    settler.start()
    run_clients(share, client)
    held.put(None)
    settler.join()


def _next_batch(held: queue.Queue[str | None]) -> list[str]:
    """Wait for a hold, then take what else is there, up to a batch; empty at the end."""
    batch = [held.get()]
    while len(batch) < BATCH and batch[-1] is not None:
        try:
            batch.append(held.get_nowait())
        except queue.Empty:
            break
    if batch[-1] is None:
        batch.pop()
        if batch:
            held.put(None)
    return [hold for hold in batch if hold is not None]


class NaiveAccount(models.Model):
    """One row with a balance, as most projects begin."""

    id = models.UUIDField(primary_key=True)
    balance = models.BigIntegerField()
    held = models.BigIntegerField(default=0)

    class Meta:
        app_label, managed, db_table = "benchmarks", False, "naive_account"

    def __str__(self) -> str:
        return str(self.id)


class NaiveHold(models.Model):
    id = models.UUIDField(primary_key=True, default=new_id)
    account = models.ForeignKey(NaiveAccount, on_delete=models.PROTECT)
    amount = models.BigIntegerField()
    status = models.CharField(max_length=10, default="held")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label, managed, db_table = "benchmarks", False, "naive_hold"

    def __str__(self) -> str:
        return str(self.id)


class NaiveEntry(models.Model):
    id = models.UUIDField(primary_key=True, default=new_id)
    account = models.ForeignKey(NaiveAccount, on_delete=models.PROTECT)
    amount = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label, managed, db_table = "benchmarks", False, "naive_entry"

    def __str__(self) -> str:
        return str(self.id)


NAIVE_TABLES = """
CREATE TABLE naive_account (
    id uuid PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0), held bigint NOT NULL CHECK (held >= 0)
);
CREATE TABLE naive_hold (
    id uuid PRIMARY KEY, account_id uuid NOT NULL REFERENCES naive_account, amount bigint NOT NULL,
    status varchar(10) NOT NULL, created_at timestamptz NOT NULL
);
CREATE INDEX ON naive_hold (account_id);
CREATE TABLE naive_entry (
    id uuid PRIMARY KEY, account_id uuid NOT NULL REFERENCES naive_account, amount bigint NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX ON naive_entry (account_id);
"""


def naive(share: Share) -> None:
    """Django by the book: `transaction.atomic`, `select_for_update`, change, `save`; one transaction each way."""

    def hold(account_id: str) -> NaiveHold | None:
        with transaction.atomic():
            account = NaiveAccount.objects.select_for_update().get(pk=account_id)
            if account.balance - account.held < PRICE_MTOK:
                return None
            account.held += PRICE_MTOK
            account.save()
            return NaiveHold.objects.create(account=account, amount=PRICE_MTOK)

    def capture(hold_id: uuid.UUID) -> None:
        with transaction.atomic():
            hold = NaiveHold.objects.select_for_update().get(pk=hold_id, status="held")
            account = NaiveAccount.objects.select_for_update().get(pk=hold.account_id)
            account.balance -= hold.amount
            account.held -= hold.amount
            account.save()
            hold.status = "captured"
            hold.save()
            NaiveEntry.objects.create(account=account, amount=-hold.amount)

    lock = threading.Lock()

    def client(share: Share, accounts: Sequence[str], running: Callable[[], bool]) -> None:
        pairs, took = 0, []
        for account in itertools.cycle(accounts):
            if not running():
                break
            began = time.perf_counter()
            held = hold(account)
            took.append((time.perf_counter() - began) * 1000)
            if held:
                capture(held.id)
                pairs += 1
        django_connection.close()
        with lock:
            share.pairs += pairs
            share.hold_ms.extend(took)

    run_clients(share, client)


def pgledger(share: Share) -> None:
    """pgledger's transfer function: a hold is a transfer to a second account, a capture one from there to a third."""
    transfer = "SELECT id FROM pgledger_create_transfer(%s, %s, %s)"
    lock = threading.Lock()

    def client(share: Share, accounts: Sequence[str], running: Callable[[], bool]) -> None:
        pairs, took = 0, []
        with psycopg.connect(share.url, autocommit=True, prepare_threshold=0) as connection:
            for account in itertools.cycle(accounts):
                if not running():
                    break
                available, held, consumed = account.split()
                began = time.perf_counter()
                connection.execute(transfer, [available, held, PRICE_MTOK])
                took.append((time.perf_counter() - began) * 1000)
                connection.execute(transfer, [held, consumed, PRICE_MTOK])
                pairs += 1
        with lock:
            share.pairs += pairs
            share.hold_ms.extend(took)

    run_clients(share, client)


def tokensight_synchronous(share: Share) -> None:
    """Ours, with holds committed synchronously as well."""
    tokensight(share, asynchronous_holds=False)


CONTENDERS: dict[str, Callable[[Share], None]] = {
    "tokensight": tokensight,
    "tokensight, holds synchronous too": tokensight_synchronous,
    "naive Django": naive,
    "pgledger": pgledger,
}
