"""Folders for servers that run as another user when the tests run as root.

pytest keeps its own temporary folders to the user who runs it, and makes them so again whenever another run starts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def server_folder() -> Iterator[Path]:
    """Give an empty folder, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="tokensight-") as folder:
        yield Path(folder)
