"""What load balancers and Prometheus are told."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection
from django.test import Client
from pytest_django.fixtures import Settings

from detection.services import liveness
from portal import health

pytestmark = pytest.mark.django_db


def test_the_process_answers_without_database_or_redis(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_CHECKS", {"database": lambda: 1 / 0})
    assert client.get("/healthz").json() == {"status": "ok"}


def test_not_ready_without_a_worker(client: Client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["checks"] == {
        "database": "ok",
        "redis": "ok",
        "worker": "unavailable",
        "model": "unavailable",
    }


def test_not_ready_until_a_worker_has_loaded_a_model(client: Client) -> None:
    liveness.report("one", {"models": []}, seconds=3600)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["checks"]["worker"] == "ok"
    assert response.json()["checks"]["model"] == "unavailable"


def test_ready_with_a_worker_that_reports_a_model(client: Client) -> None:
    liveness.report("one", {"models": [], "warm": False}, seconds=3600)
    assert client.get("/readyz").status_code == 503
    liveness.report("two", {"models": ["pcb-defect-n"], "warm": False}, seconds=3600)
    response = client.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (200, "ready")


def test_ready_where_no_model_is_to_be_warm(client: Client) -> None:
    liveness.report("one", {"models": [], "warm": True}, seconds=3600)
    response = client.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (200, "ready")


def test_not_ready_on_a_database_that_takes_no_calls(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
    assert client.get("/readyz").json()["checks"]["database"] == "unavailable"


def test_the_reason_is_not_told_to_the_caller(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> bool:
        raise DatabaseError("password authentication failed for user app at db.internal")

    monkeypatch.setattr(health, "_CHECKS", {"database": broken})
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "db.internal" not in response.content.decode()


def test_metrics_tell_of_requests_queue_and_ledger(client: Client) -> None:
    client.get("/healthz")
    text = client.get("/metrics").content.decode()
    for line in (
        'tokensight_request_seconds_count{method="GET",route="healthz",status="200"}',
        'tokensight_jobs{state="queued"} 0.0',
        "tokensight_tokens_captured_total 0.0",
        "tokensight_workers 0.0",
    ):
        assert line in text, line


def test_metrics_are_for_the_bearer_of_their_token(client: Client, settings: Settings) -> None:
    settings.METRICS_TOKEN = "a-token"
    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer a-token"}).status_code == 200
    settings.METRICS_TOKEN, settings.DEVELOPMENT = "", False
    assert client.get("/metrics").status_code == 404
