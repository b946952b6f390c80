"""Child processes that never outlive their parent, whatever ends it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: between fork and exec nothing may be imported.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent(signal_number: int) -> None:
    """Ask the kernel to send this process `signal_number` when its parent ends; only Linux can."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal_number)


def start(
    command: Sequence[str | Path],
    *,
    death_signal: int = signal.SIGTERM,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    output: int | IO[Any] | None = None,
    user: int | None = None,
    group: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own; it gets `death_signal` as soon as this process is gone.

    Call it from the main thread: the kernel counts the thread that started a child as its parent. With `user` and
    `group` (ids) a root process starts it as somebody else.
    """
    parent = os.getpid()

    def prepare() -> None:
        die_with_parent(death_signal)
        if os.getppid() != parent:  # the parent ended before the kernel was asked
            os._exit(1)

    return subprocess.Popen(  # noqa: S603 commands are ours
        [str(word) for word in command],
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        start_new_session=True,
        preexec_fn=prepare,
        user=user,
        group=group,
        extra_groups=[] if user is not None else None,
    )


def stop(process: subprocess.Popen[bytes], *, first: int = signal.SIGTERM, seconds: float = 10) -> None:
    """Send `first`, wait at most `seconds`, then kill what is left of the process's session."""
    if process.poll() is None:
        process.send_signal(first)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
