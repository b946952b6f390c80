"""Celery's command line for a worker that has its batches in hand until it is told to stop, and then finishes them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from celery.__main__ import main

from workers.engines.base import RawDetections
from workers.engines.null import NullEngine

_infer = NullEngine.infer


def infer_once_told_to_stop(self: NullEngine, images: Sequence[Any], *words: Any, **values: Any) -> list[RawDetections]:
    """Stand for the null engine's own."""
    from workers.machine import machine

    machine().stopping.wait()
    return _infer(self, images, *words, **values)


if __name__ == "__main__":
    NullEngine.infer = infer_once_told_to_stop  # type: ignore[method-assign]
    sys.exit(main())
