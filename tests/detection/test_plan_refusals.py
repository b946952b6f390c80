"""What callers are told whom their organization's plan refuses, and that a change acts on the next call."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.utils import timezone

from billing.models import Crossing
from billing.queries.credentials import forget_credentials
from detection.models import Job, ModelVersion
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.detection.conftest import Caller
from tests.factories.plans import make_plan, put_on

pytestmark = pytest.mark.django_db(transaction=True)


def change(caller: Caller, **terms: object) -> None:
    with organization_scope(caller.organization_id):
        organization = Organization.objects.get(id=caller.organization_id)
    put_on(organization, make_plan(name="Small", now=timezone.now(), **terms), now=timezone.now())
    forget_credentials()


def test_tokens_per_hour(caller: Caller, version: ModelVersion) -> None:
    change(caller, tokens_per_hour_mtok=699)
    answer = caller.send(prefer="respond-async")
    said = answer.json()
    assert answer.status_code == 429
    assert (said["code"], said["level"], said["limit"]) == ("hourly_limit_exceeded", "organization", "tokens_per_hour")
    assert said["detail"].startswith("The limit of your plan, Small, 0.699 Tokens per hour, has no room for this call")
    assert said["upgrade_url"].endswith("/billing/plan/")
    assert said["plan"].startswith("plan-")
    assert said["resets_at"]
    assert "Retry-After" not in answer.headers, "the call costs more than the plan ever allows in an hour"
    with organization_scope(caller.organization_id):
        assert Crossing.objects.get(refused=True), "those who can buy a higher plan are told of it"
        assert not Job.objects.exists()
    change(caller, tokens_per_hour_mtok=700)
    assert caller.send(prefer="respond-async").status_code == 202


def test_requests_per_second(caller: Caller, version: ModelVersion) -> None:
    change(caller, requests_per_second=Decimal("0.001"))
    assert caller.send(prefer="respond-async").status_code == 202
    answer = caller.send(prefer="respond-async")
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert answer.json()["upgrade_url"].endswith("/billing/plan/")
    assert 500 < int(answer.headers["Retry-After"]) <= 1000
    change(caller, requests_per_second=Decimal("100"))
    assert caller.send(prefer="respond-async").status_code == 202, "the higher rate acts at once"


def test_models(caller: Caller, version: ModelVersion) -> None:
    change(caller, models=["yolo26n"])
    answer = caller.send()
    assert (answer.status_code, answer.json()["code"]) == (403, "model_not_allowed")
    assert answer.json()["allowed"] == ["yolo26n"]
    assert answer.json()["upgrade_url"].endswith("/billing/plan/")
    listed = caller.client.get("/v1/models", headers={"Authorization": f"Bearer {caller.secret}"}).json()["data"]
    assert {model["name"] for model in listed} == {"yolo26n"}
    assert caller.post("/v1/estimate", {"model": "blank-n"}).status_code == 403


def test_the_plans_weight_decides_the_share_of_workers(caller: Caller, version: ModelVersion) -> None:
    change(caller, weight=4)
    caller.send(prefer="respond-async")
    with organization_scope(caller.organization_id):
        assert Job.objects.get().virtual_finish == pytest.approx(700 / 4)
