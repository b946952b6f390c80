"""What is checked before anything starts: the data folder, that nobody else uses it, and the port."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from portal.local.report import Failure

PROBE_BYTES = 100_000


def make_data_directory(path: Path) -> Path:
    """Return the absolute data folder, made when missing. Raises Failure when nothing can be written there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}"
        try:
            # An empty file can be made on a full disk too.
            probe.write_bytes(bytes(PROBE_BYTES))
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise Failure(
            f"Nothing can be written to {path} ({error.strerror})."
            " Give another folder: TOKENSIGHT_DATA_DIR=/path make run"
        ) from error
    return path.resolve()


@contextmanager
def sole_use(data: Path, port: int) -> Iterator[None]:
    """Hold the data folder for this process; the kernel lets go of it however the process ends."""
    with (data / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise Failure(
                f"Tokensight already runs on {data} ({lock.read().strip() or 'just starting'})."
                " Stop it first, or give this one its own folder and port: TOKENSIGHT_DATA_DIR=... PORT=... make run"
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, port {port}")
        lock.flush()
        yield
        lock.truncate(0)


def require_free_port(host: str, port: int, name: str = "PORT") -> None:
    """Raise Failure when nothing could listen there; `name` is the setting that gives another."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Failure(
                    f"Port {port} is taken by another program. Choose another: {name}={port + 1} make run"
                ) from error
            raise Failure(
                f"Cannot listen on {host}:{port} ({error.strerror}). Choose another: {name}=8080 make run"
            ) from error


def kept_secret(path: Path) -> str:
    """Return the secret kept in a file that only this user reads (mode 600), made on the first call."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
    except FileExistsError:
        pass
    return path.read_text().strip()


def empty_directory(path: Path) -> Path:
    """Return a directory that holds no files, made or emptied."""
    path.mkdir(exist_ok=True)
    for file in path.iterdir():
        file.unlink()
    return path


def require_redis(url: str) -> None:
    """Raise Failure when no Redis answers there."""
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        raise Failure(
            f"REDIS_URL cannot be used: {error}. Start that server or mend the address;"
            " without REDIS_URL an embedded one is started."
        ) from error
