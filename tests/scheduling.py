"""Which tests stay together on one worker, and which are begun first, when several workers share a run.

Of xdist's own ways, `loadgroup` would do this by marks; with pytest 9.2 it ignores them
(https://github.com/pytest-dev/pytest-xdist/issues/1386).
"""

from __future__ import annotations

import os

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# By the beginning of an id, tests that start a whole product each: one after the other, or they take the processors
# from each other. Within the group the browser tests share one product. Groups come first: what takes long is not begun
# when the other worker has nothing left to do.
WHOLE_PRODUCTS = ("tests/e2e/", "tests/chaos/", "tests/portal/test_run.py")


_makes_way = False


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a worker that runs other tests leave the processors to the one that has the whole products.

    For good, as only root may take more again; the group is what its worker begins with.
    """
    global _makes_way
    if "PYTEST_XDIST_WORKER" in os.environ and not _makes_way and not item.nodeid.startswith(WHOLE_PRODUCTS):
        os.nice(5)
        _makes_way = True


class Scheduling(LoadScopeScheduling):
    """Each test by itself to whoever is free, but groups whole."""

    def _split_scope(self, nodeid: str) -> str:
        return "whole products" if nodeid.startswith(WHOLE_PRODUCTS) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return Scheduling(config, log)
