"""A change of plan, and a boost, act within a second in a web process that knows nothing of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from django.utils import timezone

from billing.models import Boost, Plan
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
# One call in a thousand seconds: once its bucket is used up it stays so for as long as this takes.
SLOW = Decimal("0.001")
PATIENCE_SECONDS = 60.0


@pytest.fixture
def caller(alpha: Organization, version: ModelVersion) -> Caller:
    """A sub-token of Alpha whose Tokens do not run out, however many calls a quick machine makes in a second."""
    return make_caller(alpha, 100_000_000, requests_per_second=1000, burst=1000)


@pytest.fixture
def call(caller: Caller, version: ModelVersion, tmp_path: Path) -> Iterator[Callable[[], int]]:
    with (
        live_server(tmp_path) as running,
        httpx.Client(base_url=running.url, timeout=PATIENCE_SECONDS, trust_env=False) as client,
    ):
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
        assert asked_at < PATIENCE_SECONDS, "it never acted"
        if call() == status:
            return last
        last = asked_at


@pytest.fixture
def slow(caller: Caller, call: Callable[[], int]) -> Plan:
    """A plan that Alpha is on, and whose bucket its calls have used up: under it each is refused."""
    plan = make_plan("slow", requests_per_second=SLOW, now=timezone.now())
    put_on(organization_of(caller), plan, now=timezone.now())
    seconds_until(call, 429)
    return plan


def test_a_change_of_plan(caller: Caller, call: Callable[[], int], slow: Plan) -> None:
    organization = organization_of(caller)
    free = make_plan("free of ceilings", now=timezone.now())
    for plan, status in ((free, 202), (slow, 429), (free, 202)):
        put_on(organization, plan, now=timezone.now())
        assert seconds_until(call, status) <= WITHIN_SECONDS
        assert [call() for _ in range(5)] == [status] * 5


def test_a_boost(caller: Caller, call: Callable[[], int], slow: Plan) -> None:
    boost = make_boost(organization_of(caller), "9000", starts_at=timezone.now() - timedelta(hours=1), hours=24)
    assert seconds_until(call, 202) <= WITHIN_SECONDS
    ends_at = timezone.now() + timedelta(seconds=3)
    with organization_scope(caller.organization_id):
        Boost.objects.filter(id=boost.id).update(paid_until=ends_at, ends_at=ends_at)
    # By then the process has it in memory, and nobody tells it anything from here on.
    call_until(call, timezone.now() + timedelta(seconds=WITHIN_SECONDS))
    call_until(call, ends_at)
    assert [call() for _ in range(5)] == [429] * 5


def call_until(call: Callable[[], int], moment: datetime) -> None:
    while timezone.now() < moment:
        call()
