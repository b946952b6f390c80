"""Ports for the servers that tests start, and that nobody else takes in between.

A port that the kernel chose and that was let go again it may give to anybody, before a server listens there. These are
below what it chooses from, and a locked file says of each which process has it, of this run or of another.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import IO

from portal.local.payments import PORTS_BETWEEN

FIRST, LAST = 12_000, 30_000

# Locked until this process ends.
_mine: dict[int, IO[str]] = {}


def free_port() -> int:
    """Return a port of this machine that nobody listens on, and nobody will but who got it from here.

    The one that `make run` would take beside it, for the stand-in for Stripe, is never given to anybody.
    """
    blocks = range(FIRST, LAST, 2 * PORTS_BETWEEN)
    ports = [port for block in blocks for port in range(block, block + PORTS_BETWEEN) if port not in _mine]
    random.SystemRandom().shuffle(ports)
    return next(port for port in ports if _take(port))


def _take(port: int) -> bool:
    folder = Path(tempfile.gettempdir()) / f"tokensight-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    lock = (folder / str(port)).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for wanted in (port, port + PORTS_BETWEEN):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", wanted))
    except OSError:
        lock.close()
        return False
    _mine[port] = lock
    return True
