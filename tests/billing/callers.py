"""Processes of their own that use a sub-token all the time, for tests of how soon each of them sees a change."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.db import connections


@dataclass(frozen=True)
class Callers:
    """Running processes, each a caller with the same secret, that write what they have to say to one pipe."""

    process: subprocess.Popen[str]
    count: int

    def wait_until_ready(self) -> None:
        """Return when each was answered for the first time."""
        assert self.process.stdout is not None
        for _ in range(self.count):
            assert self.process.stdout.readline() == "ready\n"

    def refusals(self) -> list[dict[str, Any]]:
        """Wait until each was refused, and return what each says: see asks_balance.py."""
        told = [json.loads(line) for line in self.process.communicate(timeout=150)[0].splitlines()]
        assert len(told) == self.count
        return told


@contextmanager
def callers(secret: str, count: int = 3) -> Iterator[Callers]:
    """Start processes that call with a secret until they are refused."""
    parameters = connections["default"].get_connection_params()
    host = f"?host={quote(parameters['host'], safe='')}" if parameters.get("host") else ""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "DATABASE_URL": f"postgresql://{parameters['user']}@/{parameters['dbname']}{host}",
        "REDIS_URL": settings.REDIS_URL,
    }
    command = [sys.executable, "-m", "tests.billing.asks_balance", secret, str(count)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield Callers(process, count)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
