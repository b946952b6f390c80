"""A change of plan, and a boost, act within a second in a web process that knows nothing of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from django.utils import timezone

from detection.models import ModelVersion
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.detection.conftest import Caller, make_caller
from tests.detection.images import picture
from tests.detection.live import live_server
from tests.factories.plans import make_boost, make_plan, put_on

pytestmark = [pytest.mark.usefixtures("committed_db"), pytest.mark.slow]
# A credential is believed for 0.8 s.
WITHIN_SECONDS = 1.0
SLOW = Decimal("0.01")


@pytest.fixture
def caller(alpha: Organization, version: ModelVersion) -> Caller:
    """A sub-token of Alpha whose Tokens do not run out, however many calls a quick machine makes in a second."""
    return make_caller(alpha, 100_000_000, requests_per_second=1000, burst=1000)


@pytest.fixture
def call(caller: Caller, version: ModelVersion, tmp_path: Path) -> Iterator[Callable[[], int]]:
    with live_server(tmp_path) as running, httpx.Client(base_url=running.url, timeout=30, trust_env=False) as client:
        headers = {"Authorization": f"Bearer {caller.secret}", "Content-Type": "image/png", "Prefer": "respond-async"}
        yield lambda: client.post("/v1/detect?model=blank-n", content=picture(), headers=headers).status_code


def organization_of(caller: Caller) -> Organization:
    with organization_scope(caller.organization_id):
        return Organization.objects.get(id=caller.organization_id)


def seconds_until(call: Callable[[], int], status: int) -> float:
    """Call until it is answered so, and return after how many seconds the last call was made that was not.

    How long the machine takes to answer that one says nothing about what the process believed.
    """
    began = time.monotonic()
    last = 0.0
    while True:
        asked_at = time.monotonic() - began
        assert asked_at < 10, "it never acted"
        if call() == status:
            return last
        last = asked_at


def test_a_change_of_plan(caller: Caller, call: Callable[[], int]) -> None:
    organization, now = organization_of(caller), timezone.now()
    assert call() == 202
    put_on(organization, make_plan("slow", requests_per_second=SLOW, now=now), now=now)
    assert seconds_until(call, 429) <= WITHIN_SECONDS
    assert [call() for _ in range(5)] == [429] * 5
    put_on(organization, "enterprise", now=timezone.now())
    assert seconds_until(call, 202) <= WITHIN_SECONDS


def test_a_boost(caller: Caller, call: Callable[[], int]) -> None:
    organization, now = organization_of(caller), timezone.now()
    put_on(organization, make_plan("slow", requests_per_second=SLOW, now=now), now=now)
    seconds_until(call, 429)
    begins_at = timezone.now() - timedelta(hours=1)
    make_boost(organization, "9000", starts_at=begins_at, hours=1 + 3 / 3600)
    assert seconds_until(call, 202) <= WITHIN_SECONDS
    ends_at = begins_at + timedelta(hours=1, seconds=3)
    while timezone.now() < ends_at:
        time.sleep(0.01)
    # The bucket of the plan itself is as it was: one call of the last hundred seconds.
    assert [call() for _ in range(5)] == [429] * 5
