"""What the portal reads about the running product itself."""

from __future__ import annotations

from typing import Any

from detection.services import liveness


def live_workers() -> dict[str, Any]:
    """Return what each worker last reported (within the last ten seconds), by its id."""
    return liveness.reports()
