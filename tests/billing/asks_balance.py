"""A process of its own that asks for its balance until it is refused; run by callers.py.

Arguments: a sub-token's secret. Prints `ready` after the first answer, then, when it is refused, one line of JSON: when
it was last answered and first refused (when it asked, and when it was told; seconds of the shared monotonic clock), and
the refusal's code.
"""

from __future__ import annotations

import json
import sys
import time

import django
from django.test import Client

PAUSE_SECONDS = 0.02
PATIENCE_SECONDS = 60.0


def main(secret: str) -> None:
    client = Client()
    answered_at = None
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        asked_at = time.monotonic()
        response = client.get("/v1/balance", headers={"Authorization": f"Bearer {secret}"})
        if response.status_code != 200:
            times = {"answered_at": answered_at, "refused_at": asked_at, "told_at": time.monotonic()}
            print(json.dumps({**times, "code": response.json()["code"]}))
            return
        if answered_at is None:
            print("ready", flush=True)
        answered_at = asked_at
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    django.setup()
    main(sys.argv[1])
