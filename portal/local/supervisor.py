"""Runs the product's processes side by side: prefixed logs, restarts, and an end that leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType

from portal import processes
from portal.local.report import Failure, log_line, say

RESTARTS_A_MINUTE = 5
STOP_SECONDS = 15
_COLOURS = ("36", "35", "33", "34", "32")


class Interrupted(BaseException):
    """Ctrl-C, SIGTERM or the terminal's end: stop everything, cleanly."""


def _interrupt(number: int, _frame: FrameType | None) -> None:
    # A second Ctrl-C must not cut the stopping short: that would leave processes to the kernel's last resort.
    for later in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(later, signal.SIG_IGN)
    raise Interrupted(signal.Signals(number).name)


def interrupt_on_signals() -> None:
    """Turn the signals that end a program into Interrupted, raised once in the main thread."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


@dataclass
class _Child:
    label: str
    command: Sequence[str]
    colour: str
    process: subprocess.Popen[bytes] | None = None
    reader: threading.Thread | None = None
    restarts: deque[float] = field(default_factory=deque)


class Supervisor:
    """Starts processes, shows their logs, starts again what dies, and stops all of them at the end.

    A context manager: leaving it, for any reason, ends every process.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._children: list[_Child] = []

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, label: str, command: Sequence[str]) -> None:
        """Start a process whose log lines bear `label`."""
        child = _Child(label, command, _COLOURS[len(self._children) % len(_COLOURS)])
        self._children.append(child)
        self._launch(child)

    def require_alive(self) -> None:
        """Raise Failure when a process has ended: while starting up that is never repaired by trying again."""
        for child in self._children:
            if child.process and child.process.poll() is not None:
                if child.reader:
                    child.reader.join(1)
                raise Failure(
                    f"The {child.label} process ended with status {child.process.returncode};"
                    f" its own words stand above, behind '{child.label}'."
                )

    def watch(self) -> None:
        """Stay until a signal ends it; start again what dies. Raises Failure when a process keeps dying."""
        while True:
            time.sleep(0.5)
            for child in self._children:
                if child.process and child.process.poll() is not None:
                    self._restart(child)

    def stop(self) -> None:
        """End every process: all are asked at once, then what is left is killed."""
        running = [child for child in self._children if child.process]
        for child in running:
            if child.process and child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for child in running:
            if child.process:
                processes.stop(child.process, first=0, seconds=max(deadline - time.monotonic(), 0.1))
            if child.reader:
                child.reader.join(1)
            child.process = None

    def _launch(self, child: _Child) -> None:
        child.process = processes.start(child.command, env=self._env, output=subprocess.PIPE)
        child.reader = threading.Thread(target=_show, args=(child.process, child.label, child.colour), daemon=True)
        child.reader.start()

    def _restart(self, child: _Child) -> None:
        now = time.monotonic()
        status = child.process.returncode if child.process else None
        child.restarts.append(now)
        while child.restarts[0] < now - 60:
            child.restarts.popleft()
        if len(child.restarts) > RESTARTS_A_MINUTE:
            raise Failure(f"The {child.label} process keeps ending (status {status}): its own words stand above.")
        say(f"The {child.label} process ended with status {status}; starting it again.")
        if child.process:
            processes.stop(child.process)  # what it had started itself and left behind
        self._launch(child)


def _show(process: subprocess.Popen[bytes], label: str, colour: str) -> None:
    if process.stdout is None:
        return
    for line in process.stdout:
        if text := line.decode(errors="replace").rstrip():
            log_line(label, text, colour)


def python(*words: str) -> list[str]:
    """Return a command of this virtual environment's Python."""
    return [sys.executable, *words]
