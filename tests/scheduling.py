"""Which tests stay together on one worker, and which are begun first, when several workers share a run.

Of xdist's own ways, `loadgroup` would do this by marks; with pytest 9.2 it ignores them
(https://github.com/pytest-dev/pytest-xdist/issues/1386).
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# By the beginning of a test's id. The product is started once for all browser tests, and no two of these start
# everything and kill it at the same time. Groups come first, the largest before the others: what takes long is not
# begun last, while the other worker has nothing left to do.
GROUPS = {"tests/e2e/": "browser", "tests/chaos/": "processes", "tests/portal/test_run.py": "processes"}


class Scheduling(LoadScopeScheduling):
    """Each test by itself to whoever is free, but groups whole."""

    def _split_scope(self, nodeid: str) -> str:
        return next((group for beginning, group in GROUPS.items() if nodeid.startswith(beginning)), nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return Scheduling(config, log)
