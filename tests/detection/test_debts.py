"""An organization that owes Tokens is told so by its next call, and its waiting jobs run when that is settled."""

from __future__ import annotations

import math
import uuid
from typing import Any

import pytest
from django.utils import timezone

from billing.enums import DebtCause
from billing.models import Grant, Hold
from billing.services import holds
from billing.services.takebacks import take_back
from detection.models import Job, ModelVersion
from detection.services import doorbell, waiting_room
from detection.services.waiting_room import admit_waiting
from tenants.actors import PLATFORM
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.detection.conftest import Caller, make_caller, wallet_of
from tests.factories.billing import assert_ledger_clean, make_grant, make_hold

pytestmark = pytest.mark.usefixtures("committed_db", "fresh_process")
FRESH = {"Cache-Control": "no-cache"}


@pytest.fixture(autouse=True)
def _nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "call", lambda *_: None)
    monkeypatch.setattr(waiting_room, "ROUND_SECONDS", math.inf)


def owe(organization: Organization, mtok: int) -> None:
    """Let the organization spend a purchase, and get its money back."""
    now = timezone.now()
    grant = make_grant(organization, mtok, priority=1, now=now)
    wallet = wallet_of(organization)
    hold = make_hold(wallet, mtok, now=now)
    with platform_scope("test"):
        holds.capture_holds(captures=[holds.Capture(hold.hold_id, mtok, new_id())], now=now)
    with organization_scope(organization.id):
        grant = Grant.objects.get(id=grant.id)
        take_back(
            grant=grant, mtok=mtok, cause=DebtCause.DISPUTE, reference="dispute:1", reason="Lost", actor=PLATFORM,
            now=now,
        )  # fmt: skip


def send(caller: Caller, **options: Any) -> Any:
    return caller.send(headers=FRESH, prefer="respond-async", **options)


def test_a_call_is_refused_with_what_is_owed_and_where_to_top_up(alpha: Organization, version: ModelVersion) -> None:
    caller = make_caller(alpha, mtok=5_000)
    owe(alpha, 2_500)
    response = send(caller)
    body = response.json()
    assert (response.status_code, body["code"], body["debt_tokens"]) == (403, "debt_outstanding", 2.5)
    assert body["top_up_url"].startswith("http")
    assert f"/o/{alpha.slug}/" in body["top_up_url"]
    assert response["Tokens-Used"] == "0"
    assert "Retry-After" not in response
    balance = caller.get("/v1/balance").json()
    assert (balance["debt_tokens"], balance["available_tokens"]) == (2.5, 5)
    with platform_scope("test"):
        assert not Job.objects.exists()
        assert not Hold.objects.filter(status="held").exists()
    make_grant(alpha, 2_499, now=timezone.now())
    assert send(caller).json()["debt_tokens"] == 0.001
    make_grant(alpha, 1, now=timezone.now())
    assert send(caller).json()["status"] == "queued"
    assert_ledger_clean()


def test_another_organization_spends_on(alpha: Organization, beta: Organization, version: ModelVersion) -> None:
    caller = make_caller(beta, mtok=5_000)
    make_caller(alpha, mtok=1)
    owe(alpha, 2_500)
    assert send(caller).json()["status"] == "queued"


def test_jobs_that_may_wait_wait_for_the_debt_and_run_in_order_once_it_is_settled(
    alpha: Organization, version: ModelVersion
) -> None:
    caller = make_caller(alpha, mtok=1_400, on_exhausted="wait")
    owe(alpha, 300)
    ids = [send(caller).json()["id"] for _ in range(2)]
    assert admit_waiting(now=timezone.now()) == 0
    make_grant(alpha, 300, now=timezone.now())
    assert admit_waiting(now=timezone.now()) == 2
    with platform_scope("test"):
        turns = dict(Job.objects.filter(status="queued").values_list("id", "virtual_finish"))
    assert turns[uuid.UUID(ids[0])] < turns[uuid.UUID(ids[1])]
    assert_ledger_clean()
