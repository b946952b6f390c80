"""Processes that ask for their balance until they are refused; run by callers.py.

Arguments: a sub-token's secret, and how many processes. They are forked when the product is imported and nothing of it
was used, so that each knows only what it has found out itself. Each writes `ready` after its first answer, then, when
it is refused, one line of JSON: when it was last answered and first refused (when it asked, and when it was told;
seconds of the shared monotonic clock), and the refusal's code.
"""

from __future__ import annotations

import json
import os
import sys
import time

import django
from django.test import Client
from django.urls import get_resolver

PAUSE_SECONDS = 0.02
PATIENCE_SECONDS = 60.0


def say(line: str) -> None:
    """Write a line in one piece: the others write to the same pipe."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def ask(secret: str) -> None:
    client = Client()
    answered_at = None
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        asked_at = time.monotonic()
        response = client.get("/v1/balance", headers={"Authorization": f"Bearer {secret}"})
        if response.status_code != 200:
            times = {"answered_at": answered_at, "refused_at": asked_at, "told_at": time.monotonic()}
            say(json.dumps({**times, "code": response.json()["code"]}))
            return
        if answered_at is None:
            say("ready")
        answered_at = asked_at
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
