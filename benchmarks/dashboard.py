"""How long the pages take that people leave open, when an organization has millions of calls.

    python -m benchmarks.dashboard [--calls 10000000] [--rounds 60] [--data FOLDER]

Makes a tenth of the calls first and all of them then, in a database of its own, and asks for every page in this
process: server time, with the middleware, the queries and the templates. The folder takes about 2 GB for each million
calls; with `--data` it is kept, and used again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import django
from django.core.management import call_command

from benchmarks.clients import percentile
from benchmarks.table import print_table
from portal.embedded import EmbeddedPostgres, EmbeddedRedis
from portal.local.database import embedded_database

PAGES = {
    "overview": "",
    "usage by day": "usage/",
    "usage by sub-token": "usage/?by=sub_token",
    "usage by team and model": "usage/?by=team&also=model",
    "usage by tag": "usage/?by=tag",
    "usage by hour, 7 days": "usage/?by=hour&since={week}",
    "usage by day and model, 90 days": "usage/?by=day&also=model&since={quarter}",
    "balance pill": "balance/",
    "calls": "calls/",
    "ledger": "ledger/",
    "grants": "grants/",
    "sub-tokens": "sub-tokens/",
}
PROMISED_MS, PROMISED_GROWTH = 100, 1.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=60, help="how often each page is asked for")
    parser.add_argument("--data", type=Path, help="keep the database here, or use the one that is there")
    options = parser.parse_args()
    with database(options.data) as url:
        from benchmarks import dashboard_rows
        from tenants.models import Organization, User
        from tenants.scope import platform_scope

        few = options.calls // 10
        measured = {}
        with platform_scope("benchmark"):
            known = Organization.objects.filter(slug="benchmark").first()
        if known is None:
            print("Making the organization", flush=True)
            organization, user = dashboard_rows.prepare()
            dashboard_rows.add_calls(url, organization, first=1, last=few, of=few)
            measured[few] = measure(organization, user, options.rounds)
            dashboard_rows.add_calls(url, organization, first=few + 1, last=options.calls, of=options.calls)
        else:
            organization, user = known, User.objects.get(email="admin@benchmark.example")
        measured[options.calls] = measure(organization, user, options.rounds)
    report(measured)


@contextmanager
def database(kept: Path | None) -> Iterator[str]:
    """Start the servers, set Django up for them and migrate; yield the owner's address."""
    with ExitStack() as stack:
        directory = kept or Path(tempfile.mkdtemp(prefix="tokensight-dashboard-"))
        if kept is None:
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
        # Nothing here is worth a flush to the disk; reading is what is measured.
        postgres = EmbeddedPostgres(
            directory / "postgres",
            {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_wal_size": "4GB",
             "wal_level": "minimal", "max_wal_senders": "0", "autovacuum": "off"},
        )  # fmt: skip
        stack.callback(postgres.stop)
        redis = EmbeddedRedis(directory / "redis")
        stack.callback(redis.stop)
        urls = embedded_database(postgres)
        os.environ.update(
            DEVELOPMENT="1",
            DJANGO_SETTINGS_MODULE="portal.settings",
            DATABASE_URL=urls.app,
            DATABASE_OWNER_URL=urls.owner,
            REDIS_URL=redis.url(),
            TOKENSIGHT_DATA_DIR=str(directory),
            LOG_LEVEL="WARNING",
        )
        django.setup()
        call_command("migrate", database="owner", verbosity=0, interactive=False)
        yield urls.owner


def measure(organization: Any, user: Any, rounds: int) -> dict[str, list[float]]:
    """Return how many milliseconds each page took, every time that it was asked for."""
    from django.test import Client

    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    took: dict[str, list[float]] = {name: [] for name in PAGES}
    today = datetime.now(UTC).date()
    since = {"week": today - timedelta(days=6), "quarter": today - timedelta(days=89)}
    for number in range(rounds + 3):
        for name, path in PAGES.items():
            began = time.perf_counter()
            response = client.get(f"/o/{organization.slug}/{path.format(**since)}")
            duration = (time.perf_counter() - began) * 1000
            if response.status_code != 200:
                raise SystemExit(f"{name}: {response.status_code}")
            # The first rounds read templates and connect.
            if number >= 3:
                took[name].append(duration)
    return took


def report(measured: dict[int, dict[str, list[float]]]) -> None:
    (_, few), *more = sorted(measured.items())
    rows = []
    for name in PAGES:
        columns = [f"{percentile(took[name], p):.1f}" for _, took in sorted(measured.items()) for p in (50, 95)]
        growth = [f"{statistics.median(took[name]) / statistics.median(few[name]):.2f}" for _, took in more]
        rows.append([name, *columns, *growth])
    header = [f"{calls:,} calls p{p} ms" for calls in sorted(measured) for p in (50, 95)]
    print_table(
        f"pages of an organization with 1,000 sub-tokens, {os.cpu_count()} CPUs"
        f" (promised: p95 under {PROMISED_MS} ms, growth at most {PROMISED_GROWTH})",
        ["", *header, *(["growth"] * len(more))],
        rows,
    )


if __name__ == "__main__":
    main()
