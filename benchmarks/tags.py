"""What tags cost a settlement: batches of calls without tags beside batches with them.

    python -m benchmarks.tags [--rounds 60]

Starts its own PostgreSQL on disk with fsync on, and its own Redis. Each turn admits a batch, claims it, and settles it;
only the settlement's time counts. All kinds take turns within one run, on sums that grow alike, and the median of the
rounds counts. Afterwards the sums of usage must be what the calls say, and the ledger must add up.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import uuid
from datetime import timedelta
from pathlib import Path

from benchmarks.admission import PRICE_MTOK, SUB_TOKENS, prepare
from benchmarks.ledger import prepare_server
from benchmarks.table import print_table
from portal.embedded import EmbeddedPostgres, EmbeddedRedis

BATCHES = (1, 4, 16)
KINDS = ("no tags", "1 tag, alike", "3 tags, alike", "3 tags, all different")
WORKER = "benchmark"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tokensight-bench-") as directory:
        servers = EmbeddedPostgres(Path(directory) / "postgres"), EmbeddedRedis(Path(directory) / "redis")
        try:
            os.environ["REDIS_URL"] = servers[1].url()
            prepare_server(servers[0], Path(directory))
            return compare(options.rounds)
        finally:
            for server in servers:
                server.stop()


def compare(rounds: int) -> int:
    """Let the kinds take turns, print the table, and return 1 if the sums or the ledger are off."""
    organization_id, sub_token_ids, version_id = prepare("neither")
    taken: dict[tuple[int, str], list[float]] = {(batch, kind): [] for batch in BATCHES for kind in KINDS}
    for number in range(rounds + 5):
        for batch in BATCHES:
            for kind in KINDS if number % 2 else reversed(KINDS):
                seconds = turn(organization_id, sub_token_ids, version_id, batch, kind)
                if number >= 5:  # the first rounds fill caches and plans
                    taken[batch, kind].append(seconds * 1000)
    rows = []
    for batch in BATCHES:
        bare = statistics.median(taken[batch, KINDS[0]])
        for kind in KINDS:
            times = sorted(taken[batch, kind])
            middle = statistics.median(times)
            quarters = f"{times[len(times) // 4]:.2f} to {times[3 * len(times) // 4]:.2f}"
            more = (f"{(middle - bare) * 1000:.0f}", f"{middle / bare:.2f}")
            rows.append([f"{batch} call{'s' * (batch > 1)}, {kind}", f"{middle:.2f}", quarters, *more])
    title = f"tags: one settlement, {SUB_TOKENS} sub-tokens, {rounds} rounds, {os.cpu_count()} CPUs"
    print_table(title, ["", "ms, p50", "middle half", "more, µs", "times no tags"], rows)
    return check()


def turn(organization_id: str, sub_token_ids: list[str], version_id: str, batch: int, kind: str) -> float:
    """Admit and claim `batch` calls of different sub-tokens, and return the seconds that settling them takes."""
    from django.utils import timezone

    from billing.queries.credentials import credential_for_sub_token
    from detection.models import Job
    from detection.services import admission, queue, settlement
    from detection.services.settlement import Outcome
    from tenants.identifiers import new_id
    from tenants.scope import organization_scope

    for number in range(batch):
        sub_token_id = uuid.UUID(sub_token_ids[number % len(sub_token_ids)])
        with organization_scope(organization_id):
            credential = credential_for_sub_token(uuid.UUID(organization_id), sub_token_id)
        assert credential, "it was made for this"
        job = Job(
            id=new_id(), created_at=timezone.now(), organization_id=credential.organization_id,
            sub_token_id=sub_token_id, model_version_id=version_id, task="detect", img_size=640, parameters={},
            tags=tags_of(kind, number), price_mtok=PRICE_MTOK, price_book=1, request_hash="", input_sha256="",
            image_width=640, image_height=640,
        )  # fmt: skip
        admission.admit(credential, job)
    claims = queue.claim(
        version_id=uuid.UUID(version_id), img_size=640, limit=batch, worker=WORKER, lease=timedelta(minutes=5),
        now=timezone.now(),
    )  # fmt: skip
    outcomes = [Outcome(claim.job_id, claim.attempt, [], 640, 640, 1.0) for claim in claims]
    started = time.perf_counter()
    documents = settlement.settle(outcomes=outcomes, worker=WORKER, now=timezone.now())
    seconds = time.perf_counter() - started
    if len(documents) != batch:
        raise SystemExit(f"{len(documents)} of {batch} calls were settled")
    return seconds


def tags_of(kind: str, number: int) -> dict[str, str]:
    """Return the tags of a batch's call: the same values for all calls, or values that no other call of it has."""
    if kind == KINDS[0]:
        return {}
    if kind == KINDS[1]:
        return {"site": "Ulm"}
    one_of = f" {number}" if kind == KINDS[3] else ""
    return {"site": f"Ulm{one_of}", "line": f"A{one_of}", "shift": f"night{one_of}"}


def check() -> int:
    """Return 0 if usage and ledger are exact, else 1."""
    from django.utils import timezone

    from billing.services.verify import verify_ledger
    from detection.services.verify_usage import verify_usage

    off = verify_usage(now=timezone.now())
    passed = verify_ledger(now=timezone.now()).passed
    print("\nThe sums are what the calls say, and the ledger adds up." if passed and not off else f"\nOff: {off}")
    return int(bool(off) or not passed)


if __name__ == "__main__":
    sys.exit(main())
