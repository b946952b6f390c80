"""Changing a plan over the API with an Idempotency-Key: whoever lost the answer asks again and gets it."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.errors import GatewayAway
from billing.services import plan_orders
from tenants.models import IdempotencyRecord
from tenants.scope import organization_scope
from tests.api_client import ApiClient, body, manager_of
from tests.billing.plans.buying import Customer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_process")]


@pytest.fixture
def manager(customer: Customer) -> ApiClient:
    customer.subscribe("basic")
    return manager_of(customer.organization)


def send(manager: ApiClient, path: str, key: str, sent: dict[str, Any]) -> Any:
    return manager.post(path, sent, Idempotency_Key=key)


@pytest.mark.parametrize(
    ("path", "sent", "before"),
    [
        ("/v1/plan", {"plan": "advanced"}, None),
        ("/v1/plan/cancel", {}, None),
        ("/v1/plan/resume", {}, "/v1/plan/cancel"),
    ],
)
def test_the_same_again_gets_the_first_answer(
    manager: ApiClient, path: str, sent: dict[str, Any], before: str | None
) -> None:
    if before:
        send(manager, before, "before", {})
    key = str(uuid.uuid4())
    first, again = send(manager, path, key, sent), send(manager, path, key, sent)
    assert (first.status_code, again.status_code) == (200, 200), body(again)
    assert body(first) == body(again)
    assert again["Idempotent-Replayed"] == "true"
    assert send(manager, path, str(uuid.uuid4()), sent).status_code == 409, "another key is another request"


def test_a_key_is_for_one_plan(manager: ApiClient, customer: Customer) -> None:
    send(manager, "/v1/plan", "k", {"plan": "advanced"})
    answer = send(manager, "/v1/plan", "k", {"plan": "basic"})
    assert (answer.status_code, body(answer)["code"]) == (422, "idempotency_mismatch")
    assert customer.state() == ("advanced", "active", None)


def test_what_failed_may_be_sent_again_with_its_key(
    manager: ApiClient, customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(**_: object) -> None:
        raise GatewayAway("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(plan_orders, "change_plan", away)
        assert send(manager, "/v1/plan", "k", {"plan": "advanced"}).status_code == 503
    assert send(manager, "/v1/plan", "k", {"plan": "advanced"}).status_code == 200
    assert customer.state()[0] == "advanced"


def test_a_request_that_is_under_way_is_waited_for_until_it_must_be_dead(
    manager: ApiClient, customer: Customer
) -> None:
    send(manager, "/v1/plan", "k", {"plan": "advanced"})
    with organization_scope(customer.id):
        kept = IdempotencyRecord.objects.filter(key="k")
        kept.update(status=None, created_at=timezone.now())
    answer = send(manager, "/v1/plan", "k", {"plan": "advanced"})
    assert (answer.status_code, answer["Retry-After"]) == (409, "1")
    assert "still being worked on" in body(answer)["detail"]
    with organization_scope(customer.id):
        kept.update(created_at=timezone.now() - timedelta(minutes=3))
    answer = send(manager, "/v1/plan", "k", {"plan": "advanced"})
    assert body(answer)["detail"] == "The organization is on this plan already.", "it was tried again"
