"""How many calls a second are admitted under a plan and with limits on all levels, beside calls without any of both.

    python -m benchmarks.admission [--seconds 3] [--rounds 5]

Starts its own PostgreSQL on disk with fsync on, and its own Redis. An organization's sub-tokens draw on its wallet
through their team. With limits, organization, team and sub-token each have every limit that there is: Tokens per hour,
day, month and in all, requests per second and day, and calls at a time; a plan has every ceiling. All take turns
within one run, on a ledger and job log that grow alike; the median of the rounds counts. Afterwards every window must
say what its holds say.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from datetime import timedelta
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import django

from benchmarks.ledger import prepare_server
from benchmarks.table import print_table
from portal.embedded import EmbeddedPostgres, EmbeddedRedis

PROCESSES, CLIENTS, SUB_TOKENS = 2, 8, 16
PRICE_MTOK = 700
WANTED = 0.7
HOW = ("statement", "call")
KINDS = ("neither", "plan", "limits")
_CEILINGS = ("tokens_per_hour_mtok", "tokens_per_day_mtok", "tokens_per_month_mtok", "tokens_total_mtok")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3, help="length of each turn")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tokensight-bench-") as directory:
        servers = EmbeddedPostgres(Path(directory) / "postgres"), EmbeddedRedis(Path(directory) / "redis")
        try:
            os.environ["REDIS_URL"] = servers[1].url()
            prepare_server(servers[0], Path(directory))
            return compare(options)
        finally:
            for server in servers:
                server.stop()


def compare(options: argparse.Namespace) -> int:
    """Let the three take turns, print the table, and return 1 unless limits cost less than they may."""
    groups = {kind: prepare(kind) for kind in KINDS}
    processes = [Process() for _ in range(PROCESSES)]
    rates: dict[tuple[str, str], list[float]] = {(how, kind): [] for how in HOW for kind in KINDS}
    for number in range(options.rounds + 1):
        for how in HOW:
            for kind in KINDS if number % 2 else reversed(KINDS):
                for process in processes:
                    process.pipe.send((how, *groups[kind], options.seconds))
                admitted = sum(process.pipe.recv() for process in processes)
                if number:  # the first round fills caches and plans
                    rates[how, kind].append(admitted / options.seconds)
    for process in processes:
        process.pipe.send(None)
        process.process.join()
    check()
    rows, worst = [], 1.0
    for how in HOW:
        free, planned, bound = (statistics.median(rates[how, kind]) for kind in KINDS)
        worst = min(worst, bound / free)
        spread = f"{min(rates[how, 'limits']):.0f} to {max(rates[how, 'limits']):.0f}"
        shares = (f"{planned / free:.2f}", f"{bound / free:.2f}")
        rows.append([how, f"{free:.0f}", f"{planned:.0f}", f"{bound:.0f}", spread, *shares])
    title = f"admission: admitted a second, {PROCESSES * CLIENTS} clients, {SUB_TOKENS} sub-tokens of one team"
    print_table(title, ["", "neither", "plan", "all limits", "lowest to highest", "plan, share", "limits, share"], rows)
    print("\nstatement: limits, hold, place in the queue and job row; call: with the rate in Redis before it.")
    print(f"Every window says what its holds say. Wanted: at least {WANTED} of the rate without limits.")
    return int(worst < WANTED)


def prepare(kind: str) -> tuple[str, list[str], str]:
    """Make an organization with a team and its sub-tokens; return it, their ids and the model version's."""
    from django.utils import timezone

    from billing.enums import GrantSource, SubTokenMode
    from billing.models import Account
    from billing.queries.pools import pool_of
    from billing.services import accounts, grants
    from billing.services.limits import Ceilings, set_limits
    from billing.services.plans import PlanOffer, set_plan
    from billing.services.pools import open_pool
    from billing.services.sub_tokens import create_sub_token
    from detection.enums import Engine
    from detection.services import catalogue
    from tenants.actors import PLATFORM
    from tenants.models import Organization, Team
    from tenants.scope import organization_scope, platform_scope

    now, name = timezone.now(), kind
    with platform_scope("benchmark"):
        organization = Organization.objects.create(name=name, slug=name)
        metadata = {
            "name": "blank-n", "version": "1.0.0", "task": "detect", "letter": "n", "family": "Blank", "sha256": "",
            "classes": ["a"], "default_img_size": 640, "stride": 32, "end_to_end": True, "metrics": {},
        }  # fmt: skip
        version = catalogue.register_version(metadata, path="", engine=Engine.NULL)
    ceilings: dict[str, Any] = {"tokens_per_hour_mtok": 10**12, "requests_per_second": Decimal(900_000)}
    terms = {**ceilings, "concurrency": 10**5} if kind == "plan" else {}
    plan = set_plan(key=name, terms=PlanOffer(name=name, position=1000 + KINDS.index(kind), **terms), now=now)
    wallet = accounts.open_wallet(organization.id, plan=plan.key)
    grants.issue_grant(
        organization_id=organization.id, tokens_mtok=10**12, source=GrantSource.PURCHASE,
        expires_at=now + timedelta(days=365), idempotency_key="benchmark", now=now,
    )  # fmt: skip
    with organization_scope(organization.id):
        team = Team.objects.create(organization=organization, name="Team")
        open_pool(team_id=team.id, actor=PLATFORM, now=now)
        sub_tokens = [
            create_sub_token(
                organization_id=organization.id, name=f"Line {number}", mode=SubTokenMode.CAPPED, team_id=team.id,
                actor=PLATFORM, now=now,
            ).sub_token
            for number in range(SUB_TOKENS)
        ]  # fmt: skip
        if kind == "limits":
            everything: dict[str, Any] = dict.fromkeys(_CEILINGS, 10**12)
            everything |= {"requests_per_second": Decimal(900_000), "requests_per_day": 10**6, "concurrency": 10**5}
            pool = pool_of(team.id)
            assert pool, "it was opened above"
            for account in (wallet, pool, *Account.objects.filter(id__in=[token.account_id for token in sub_tokens])):
                set_limits(account_id=account.id, ceilings=Ceilings(**everything), actor=PLATFORM, now=now)
    return str(organization.id), [str(token.id) for token in sub_tokens], str(version.id)


class Process:
    """A process that runs its share of the clients whenever it is told to."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()


def _serve(pipe: Connection) -> None:
    django.setup()
    while turn := pipe.recv():
        pipe.send(_drive(*turn))


def _drive(how: str, organization_id: str, sub_token_ids: list[str], version_id: str, seconds: float) -> int:
    """Admit calls from `CLIENTS` threads for so many seconds; return how many were admitted."""
    import uuid

    from django.db import connections
    from django.utils import timezone

    from billing.queries.credentials import credential_for_sub_token
    from billing.services import rate
    from detection.models import Job
    from detection.services import admission
    from tenants.identifiers import new_id
    from tenants.scope import organization_scope

    with organization_scope(organization_id):
        found = [credential_for_sub_token(uuid.UUID(organization_id), uuid.UUID(id_)) for id_ in sub_token_ids]
    credentials = [credential for credential in found if credential]
    end = time.monotonic() + seconds
    counts: list[int] = []

    def client(start: int) -> None:
        admitted = 0
        while time.monotonic() < end:
            credential = credentials[(start + admitted) % len(credentials)]
            job = Job(
                id=new_id(), created_at=timezone.now(), organization_id=credential.organization_id,
                sub_token_id=credential.sub_token_id, model_version_id=version_id, task="detect", img_size=640,
                parameters={}, price_mtok=PRICE_MTOK, price_book=1, request_hash="", input_sha256="",
                image_width=640, image_height=640,
            )  # fmt: skip
            if how == "call":
                rate.admit(credential, str(job.id))
            admission.admit(credential, job)
            if how == "call":
                rate.release(credential, str(job.id))
            admitted += 1
        counts.append(admitted)
        connections.close_all()

    threads = [threading.Thread(target=client, args=(number * 2,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(counts) < CLIENTS:
        raise SystemExit("a client failed")
    return sum(counts)


def check() -> None:
    """Fail loudly unless every window has counted exactly what is held."""
    from django.db import connection

    from tenants.scope import platform_scope

    with platform_scope("benchmark"), connection.cursor() as cursor:
        cursor.execute(
            "SELECT o.slug, a.kind, w.period, sum(w.used_mtok), (SELECT sum(amount_mtok) FROM billing_hold h"
            " WHERE h.org_id = o.id) FROM billing_limitwindow w JOIN billing_account a ON a.id = w.account_id"
            " JOIN tenants_organization o ON o.id = w.org_id GROUP BY o.id, o.slug, a.kind, w.period"
        )
        rows = cursor.fetchall()
    off = [row for row in rows if row[3] != row[4]]
    if off or len(rows) != 13:
        raise SystemExit(f"windows are off: {off or rows}")


if __name__ == "__main__":
    sys.exit(main())
