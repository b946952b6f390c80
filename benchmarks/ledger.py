"""How many hold + capture pairs a second: on one hot account and over 100, beside two other ways, on the same server.

    python -m benchmarks.ledger [--seconds 4] [--rounds 3] [--pgledger DIRECTORY]

Starts its own PostgreSQL on disk with fsync on. The contenders take turns, the median of the rounds counts, and after
every run of ours the whole ledger is verified. pgledger is compared if `--pgledger` (or PGLEDGER_DIR) names a checkout
of github.com/pgr0ss/pgledger.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import django
import psycopg

from portal.embedded import EmbeddedPostgres

CLIENTS = 32
PROCESSES = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4, help="length of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pgledger", type=Path, default=os.environ.get("PGLEDGER_DIR"), metavar="DIRECTORY")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tokensight-bench-") as directory:
        server = EmbeddedPostgres(Path(directory) / "postgres")
        try:
            prepare_server(server, Path(directory))
            compare(server, options)
        finally:
            server.stop()


def prepare_server(server: EmbeddedPostgres, directory: Path) -> None:
    """Make the database and its roles, migrate, and set Django up as the restricted role."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as owner:
        owner.execute("CREATE ROLE tokensight_app LOGIN NOBYPASSRLS")
        owner.execute("CREATE DATABASE tokensight")
    os.environ.update(
        DJANGO_SETTINGS_MODULE="portal.settings",
        DEVELOPMENT="1",
        TOKENSIGHT_DATA_DIR=str(directory),
        DATABASE_URL=server.url("tokensight", role="tokensight_app"),
        DATABASE_OWNER_URL=server.url("tokensight"),
        LOG_LEVEL="WARNING",
    )
    print("migrating ...", flush=True)
    subprocess.run([sys.executable, "manage.py", "migrate", "--database=owner", "--verbosity=0"], check=True)
    django.setup()


class Process:
    """A process that runs a share of the clients whenever it is told to."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        self._pipe.recv()

    def start(self, contender: str, share: Any) -> None:
        self._pipe.send((contender, share))

    def result(self) -> Any:
        return self._pipe.recv()

    def stop(self) -> None:
        self._pipe.send(None)
        self._process.join()


def _serve(pipe: Connection) -> None:
    django.setup()
    from benchmarks.ledger_contenders import CONTENDERS

    pipe.send("ready")
    while work := pipe.recv():
        contender, share = work
        CONTENDERS[contender](share)
        pipe.send(share)


def compare(server: EmbeddedPostgres, options: argparse.Namespace) -> None:
    """Run every contender on one account and on 100, in turns, and print the table."""
    from benchmarks import ledger_setup

    processes = [Process() for _ in range(PROCESSES)]
    results: dict[tuple[str, int], list[dict[str, float]]] = {}
    ledger_setup.warm_up(server, processes, run)
    for number in range(options.rounds):
        for count in (1, 100):
            for contender in ledger_setup.contenders(options.pgledger):
                target = ledger_setup.prepare(server, contender, count, options.pgledger)
                numbers = run(processes, contender, target, options.seconds)
                ledger_setup.check(contender, target, numbers)
                results.setdefault((contender, count), []).append(numbers)
                rate = f"{numbers['pairs_per_second']:>8.0f} pairs/s"
                print(f"round {number + 1}: {contender:<34} {count:>3} account(s) {rate}", flush=True)
    for process in processes:
        process.stop()
    ledger_setup.check_last_thousandth(server)
    print_table(server, results)


def run(processes: list[Process], contender: str, target: Any, seconds: float) -> dict[str, float]:
    """Let all processes drive one contender at the same time, and add up what they did."""
    from benchmarks.ledger_contenders import Share

    for process in processes:
        process.start(
            contender,
            Share(
                url=target.url,
                platform_role="tokensight_platform",
                organization_id=target.organization_id,
                account_ids=target.accounts,
                clients=CLIENTS // PROCESSES,
                seconds=seconds,
            ),
        )
    shares = [process.result() for process in processes]
    errors = [error for share in shares for error in share.errors]
    if errors:
        raise SystemExit(f"{contender}: {len(errors)} client(s) failed, the first with {errors[0]}")
    took = sorted(ms for share in shares for ms in share.hold_ms)
    pairs, batches = sum(share.pairs for share in shares), sum(share.batches for share in shares)
    return {
        "pairs": pairs,
        "pairs_per_second": pairs / seconds,
        "p50": took[len(took) // 2],
        "p99": took[len(took) * 99 // 100],
        "batch": pairs / batches if batches else 1,
    }


def print_table(server: EmbeddedPostgres, results: dict[tuple[str, int], list[dict[str, float]]]) -> None:
    with psycopg.connect(server.url("tokensight")) as owner:
        settings = {
            name: owner.execute(f"SHOW {name}").fetchone()[0]
            for name in ("server_version", "fsync", "synchronous_commit", "wal_sync_method", "shared_buffers")
        }
    clients = f"{CLIENTS} clients in {PROCESSES} processes, on {os.cpu_count()} cores"
    print(f"\nledger: hold + capture pairs a second, {clients}")
    print("PostgreSQL " + ", ".join(f"{name} {value}" for name, value in settings.items()))
    print(
        "tokensight: every hold is one call and one (asynchronous) commit; captures count when their batch is on disk"
    )
    print("the others: every hold and every capture is one synchronous commit\n")
    header = ("", "accounts", "pairs/s", "lowest", "highest", "hold p50", "p99 ms", "batch", "x naive")
    print("{:<34} {:>8} {:>8} {:>8} {:>8} {:>9} {:>8} {:>6} {:>8}".format(*header))
    for (contender, count), runs in sorted(results.items(), key=lambda item: item[0][1]):
        rates = [numbers["pairs_per_second"] for numbers in runs]
        baseline = statistics.median(n["pairs_per_second"] for n in results["naive Django", count])
        print(
            f"{contender:<34} {count:>8} {statistics.median(rates):>8.0f} {min(rates):>8.0f} {max(rates):>8.0f}"
            f" {statistics.median(n['p50'] for n in runs):>9.2f} {statistics.median(n['p99'] for n in runs):>8.1f}"
            f" {statistics.median(n['batch'] for n in runs):>6.1f} {statistics.median(rates) / baseline:>8.1f}"
        )
    print("\nAfter every run of ours: ledger verified, nothing overspent.")


if __name__ == "__main__":
    main()
