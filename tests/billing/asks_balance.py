"""Processes that ask for their balance until they are refused; run by callers.py.

Arguments: a sub-token's secret, and how many processes. They are forked when the product is imported and nothing of it
was used, so that each knows only what it has found out itself. Each writes `ready` after its first answer, then, when
it is refused, one line of JSON: when it asked for its last answer and for the refusal (`answered_at`, `refused_at`;
seconds of the shared monotonic clock), the first of these and when it was told of the refusal by the calendar
(`answered_on`, `told_on`), and the refusal's code.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime

import django
from django.test import Client
from django.urls import get_resolver

PAUSE_SECONDS = 0.02
PATIENCE_SECONDS = 120.0


def say(line: str) -> None:
    """Write a line in one piece: the others write to the same pipe."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def ask(secret: str) -> None:
    client = Client()
    answered_at = answered_on = None
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        asked_at, asked_on = time.monotonic(), datetime.now(UTC).isoformat()
        response = client.get("/v1/balance", headers={"Authorization": f"Bearer {secret}"})
        if response.status_code != 200:
            times = {"answered_at": answered_at, "refused_at": asked_at}
            dates = {"answered_on": answered_on, "told_on": datetime.now(UTC).isoformat()}
            say(json.dumps({**times, **dates, "code": response.json()["code"]}))
            return
        if answered_at is None:
            say("ready")
        answered_at, answered_on = asked_at, asked_on
        time.sleep(PAUSE_SECONDS)


def main(secret: str, count: int) -> None:
    django.setup()
    assert get_resolver().url_patterns
    children = []
    for _ in range(count):
        if not (child := os.fork()):
            ask(secret)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
