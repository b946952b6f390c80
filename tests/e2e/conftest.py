"""One running product and one browser for all browser tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.e2e.browsing import launch
from tests.e2e.stack import Stack, running_stack
from tests.e2e.staffing import staff_cookies


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/e2e/" in str(item.path):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def stack(migrated_dump: Path) -> Iterator[Stack]:
    with running_stack(migrated_dump) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = launch(playwright)
        yield started
        started.close()


@pytest.fixture(scope="session")
def staff(browser: Browser, stack: Stack) -> list[Any]:
    """The cookies of somebody of the staff."""
    return staff_cookies(browser, stack)
