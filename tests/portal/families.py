"""Processes and what they started, any of which may end while one looks."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress

import psutil


def family(pid: int) -> dict[psutil.Process, str]:
    """Return a process and all below it, each with its command and its words."""
    root = psutil.Process(pid)
    found = {}
    for member in [root, *root.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            found[member] = f"{member.name()} {' '.join(member.cmdline())}"
    return found


def gone(processes: Iterable[psutil.Process], *, seconds: float = 120) -> bool:
    """Say whether all of them have ended within so many seconds."""
    deadline = time.monotonic() + seconds
    while any(_lives(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
