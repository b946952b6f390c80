"""What a person in front of `make run` reads: steps and their times, prefixed logs, failures that say what to do."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_COLOURED = sys.stdout.isatty() and "NO_COLOR" not in os.environ
_LABEL_WIDTH = 10


class Failure(Exception):
    """A step failed; the message says what happened and what to do, in a line or two."""


def colour(text: str, code: str) -> str:
    """Return `text` in an ANSI colour when a terminal shows it."""
    return f"\033[{code}m{text}\033[0m" if _COLOURED else text


def say(text: str = "") -> None:
    """Print lines that stay whole even while processes write their logs."""
    with _lock:
        print(text, flush=True)


def log_line(label: str, text: str, code: str) -> None:
    """Print one line of a process's log behind its name."""
    say(f"{colour(f'{label:<{_LABEL_WIDTH}}|', code)} {text}")


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print what is being done, and how long it took when it worked."""
    started = time.monotonic()
    try:
        yield
    except BaseException:
        say(f"  {colour('x', '31')} {name}")
        raise
    say(f"  {colour('✓', '32')} {name:<44} {time.monotonic() - started:5.1f} s")
