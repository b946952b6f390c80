"""The real web server, as production runs it, on the test's database and Redis."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import psutil
from django.conf import settings
from django.db import connections

from portal import processes
from tests.ports import free_port


@dataclass(frozen=True)
class Server:
    """A running gunicorn with one worker process."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def resident_bytes(self) -> int:
        """Return the memory that the web processes have."""
        master = psutil.Process(self.pid)
        return sum(process.memory_info().rss for process in [master, *master.children(recursive=True)])


@contextmanager
def live_server(directory: Path, **environment: str) -> Iterator[Server]:
    """Run gunicorn until the block ends; its log is printed, which pytest shows if the test fails."""
    port = free_port()
    database = connections["default"].get_connection_params()
    host = quote(str(database.get("host", "")), safe="")
    environment = {
        **os.environ,
        "DATABASE_URL": f"postgresql://{database['user']}@/{database['dbname']}?host={host}",
        "REDIS_URL": settings.REDIS_URL,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "WEB_WORKERS": "1",
        "DETECT_WAIT_SECONDS": "120",
        **environment,
    }
    command = [sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py", "portal.wsgi"]
    log = directory / "web.log"
    with log.open("wb") as output:
        process = processes.start(command, env=environment, output=output)
    try:
        _wait_for(f"http://127.0.0.1:{port}/healthz")
        yield Server(port, process.pid)
    finally:
        processes.stop(process)
        print(log.read_text(errors="replace")[-4_000:])


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            if httpx.get(url, timeout=60, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, f"{url} does not answer"
        time.sleep(0.1)
