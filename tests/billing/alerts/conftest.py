"""A process that has noted no refused call yet, for every test of alerts."""

from __future__ import annotations

import pytest

from billing.services.exhaustion import forget_refusals


@pytest.fixture(autouse=True)
def _forgetful() -> None:
    forget_refusals()
