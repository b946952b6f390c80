"""Processes of their own that use a sub-token all the time, for tests of how soon each of them sees a change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.db import connections


@dataclass(frozen=True)
class Callers:
    """Running processes, each a caller with the same secret."""

    processes: list[subprocess.Popen[str]]

    def wait_until_ready(self) -> None:
        """Return when each was answered for the first time."""
        for process in self.processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def refusals(self) -> list[dict[str, Any]]:
        """Wait until each was refused, and return what each says: `answered_at`, `refused_at`, `told_at`, `code`."""
        return [json.loads(process.communicate(timeout=60)[0]) for process in self.processes]


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
    command = [sys.executable, "-m", "tests.billing.asks_balance", secret]
    started = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    try:
        yield Callers(started)
    finally:
        for process in started:
            process.kill()
            process.communicate()
