"""Kills the product's processes at random points under load, and proves afterwards that no Token is lost or invented.

    python -m tests.chaos.rounds [--rounds 50] [--callers 6] [--seed 1]

Exits with 1 and a reason if anything is off. docs/proof.md has the numbers of a long run.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import django
from django.db import Error, connections

from tests.chaos.callers import Callers
from tests.chaos.stack import VICTIMS, Stack

# A lease (6 s) may run out for each of three attempts before a job is given up, and the machine is busy.
FINISH_SECONDS = 120


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--callers", type=int, default=6)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    stack = Stack()
    try:
        django.setup()
        stack.migrate()
        people = prepare(stack.directory)
        connections.close_all()  # the storm would only break them
        stack.start()
        stack.wait_until(stack.ready, "the product is ready", 180)
        callers = Callers(port=stack.port, **people)
        callers.start(options.callers, options.seed)
        began = time.monotonic()
        storm(stack, options.rounds, options.seed)
        ready = stack.wait_until(stack.ready, "ready again after the last kill", 120)
        lasted = time.monotonic() - began
        callers.stop()
        try:
            finished = stack.wait_until(nothing_under_way, "every job is over", FINISH_SECONDS)
        except RuntimeError:
            with suppress(Error):
                print(f"under way: {under_way()}")
            raise
        from tests.chaos import checks

        findings = checks.everything(callers)
        print(f"{sum(stack.kills.values())} kills in {lasted:.0f} s (seed {options.seed}): {dict(stack.kills)}")
        print(f"ended by themselves and started again: {dict(stack.ended_alone)}")
        print(f"ready {ready:.1f} s after the last kill, all jobs over {finished:.1f} s after the last answer")
        print(f"requests: {dict(callers.attempts.most_common())}")
        print(f"answers: {dict(Counter(answer.status for answer in callers.answers))},"
              f" given up: {len(callers.unanswered)}, allocations: {len(callers.moved)}")  # fmt: skip
        print(f"jobs: {checks.summary()}")
        for key, outcomes in callers.unanswered.items():
            print(f"never answered: {key}, {len(outcomes)} requests, the last {outcomes[-5:]}")
        for finding in findings:
            print(f"OFF: {finding}")
        if findings:
            print(stack.logs())
        else:
            print("Nothing lost, nothing charged twice, nothing held.")
        return 1 if findings else 0
    finally:
        stack.stop()


def storm(stack: Stack, rounds: int, seed: int) -> None:
    """Kill `rounds` times something, each victim about as often, not waiting for what was killed to serve again."""
    chance = random.Random(seed)
    while sum(stack.kills.values()) < rounds:
        order = chance.sample(VICTIMS, len(VICTIMS))
        for victim in order[: rounds - sum(stack.kills.values())]:
            time.sleep(chance.uniform(0.3, 5))
            stack.look_after()
            if stack.kill(victim, chance):
                print(f"killed {victim}", flush=True)


def nothing_under_way() -> bool:
    try:
        return not under_way()
    except Error:  # still recovering from the last kill
        connections.close_all()
        return False


def under_way() -> list[dict[str, Any]]:
    """Return what is known of the jobs that are not over."""
    from detection.enums import FINISHED
    from detection.models import Job
    from tenants.scope import platform_scope

    columns = ("id", "status", "wait", "attempts", "worker", "created_at", "claimed_at", "lease_expires_at")
    with platform_scope("test"):
        return list(Job.objects.exclude(status__in=FINISHED).values(*columns))


def prepare(directory: Path) -> dict[str, Any]:
    """Make an organization with Tokens, a sub-token and a management key; return what the callers need of them."""
    from django.utils import timezone

    from benchmarks.overhead import install
    from benchmarks.stack import plan_without_bounds
    from billing.enums import GrantSource
    from billing.services.accounts import open_wallet
    from billing.services.grants import issue_grant
    from billing.services.sub_tokens import create_sub_token
    from detection.services import catalogue
    from tenants.actors import PLATFORM
    from tenants.models import Organization
    from tenants.permissions import MANAGEMENT_KEY_SCOPES, Permission
    from tenants.scope import organization_scope, platform_scope
    from tenants.services.management_keys import create_management_key

    catalogue.sync()
    now = timezone.now()
    organization = Organization(id=uuid.uuid4(), name="Storm", slug="storm")
    with platform_scope("test"):
        install(directory)
        organization.save(force_insert=True)
    open_wallet(organization.id, plan=plan_without_bounds())
    issue_grant(
        organization_id=organization.id, tokens_mtok=100_000_000, source=GrantSource.MANUAL, idempotency_key="storm",
        now=now,
    )  # fmt: skip
    with organization_scope(organization.id):
        issued = create_sub_token(
            organization_id=organization.id, name="Line 1", mtok=50_000_000, actor=PLATFORM, now=now
        )
        _, key = create_management_key(
            organization_id=organization.id, name="Automation", scopes=MANAGEMENT_KEY_SCOPES,
            allowed=frozenset(Permission), actor=PLATFORM, now=now,
        )  # fmt: skip
    return {"secret": issued.secret, "management_key": key, "sub_token_id": str(issued.sub_token.id)}


if __name__ == "__main__":
    sys.exit(main())
