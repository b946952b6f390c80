"""What a call costs: the table of PRODUCT.md, row by row, through the API and a worker."""

from __future__ import annotations

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from django.db import connection
from pytest_django.fixtures import Settings

from detection.models import Job, ModelVersion
from detection.services import blobs, doorbell, liveness, results, spare_inputs, waiting
from portal import settings as portal_settings
from tenants.models import Organization
from tenants.scope import platform_scope
from tests.detection.conftest import Caller, make_caller
from tests.detection.images import picture
from tests.detection.machine import ALIVE_SECONDS, FOUND, PATIENCE_SECONDS, Worker, until, worker
from tests.factories.billing import assert_ledger_clean

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture(autouse=True)
def _nobody_else_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "call", lambda *_: None)


@pytest.fixture
def machine(version: ModelVersion) -> Any:
    with worker(version) as running:
        yield running


def spent(caller: Caller, mtok: int) -> bool:
    """Say whether that is what the caller has spent, with nothing held and the ledger exact."""
    assert_ledger_clean()
    balance = caller.balance()
    return (balance.available_mtok, balance.held_mtok) == (10_000 - mtok, 0)


def test_success_costs_the_price(caller: Caller, machine: Worker) -> None:
    response = caller.send()
    assert response.status_code == 200
    body = response.json()
    assert list(body) == ["id", "model", "task", "image", "predictions", "count", "usage", "timing"]
    assert body["model"] == {"name": "blank-n", "version": "1.0.0"}
    assert body["task"] == "detect"
    assert (body["image"]["width"], body["image"]["height"]) == (64, 48)
    assert (body["predictions"], body["count"]) == (FOUND, 1)
    assert body["usage"] == {"tokens": 0.7, "remaining_tokens": 9.3, "cached": False, "price_book": 1}
    assert set(body["timing"]) == {"queue_ms", "inference_ms", "total_ms"}
    assert (response["Tokens-Used"], response["Tokens-Remaining"]) == ("0.7", "9.3")
    assert response["RateLimit"].startswith('"requests"')
    assert spent(caller, 700)
    stored = caller.get(f"/v1/jobs/{body['id']}").json()
    assert stored["status"] == "succeeded"
    assert stored["predictions"] == body["predictions"]


def test_the_same_again_costs_nothing(caller: Caller, machine: Worker) -> None:
    first, again = caller.send(), caller.send()
    assert again.json()["usage"] == {"tokens": 0, "remaining_tokens": 9.3, "cached": True, "price_book": 1}
    assert again.json()["predictions"] == first.json()["predictions"]
    assert again.json()["id"] != first.json()["id"]
    assert again["Tokens-Used"] == "0"
    assert spent(caller, 700)


def test_an_answer_made_without_waiting_is_kept_too(caller: Caller, machine: Worker) -> None:
    location = caller.send(prefer="respond-async")["Location"]
    until(lambda: caller.get(location).json()["status"] == "succeeded")
    assert caller.send().json()["usage"]["cached"]
    assert spent(caller, 700)


@pytest.mark.parametrize("change", ["conf", "image", "fresh", "stranger", "off"])
def test_something_else_costs_again(
    caller: Caller, outsider: Caller, machine: Worker, settings: Settings, change: str
) -> None:
    caller.send()
    if change == "off":
        settings.RESULT_CACHE_SECONDS = 0
    second = {
        "conf": lambda: caller.send(conf="0.3"),
        "image": lambda: caller.send(picture("PNG", (65, 48))),
        "fresh": lambda: caller.send(headers={"Cache-Control": "no-cache"}),
        "stranger": outsider.send,
        "off": caller.send,
    }[change]()
    assert second.json()["usage"]["cached"] is False
    assert second.json()["usage"]["tokens"] == 0.7


def test_a_colleague_s_answer_costs_nothing(caller: Caller, alpha: Organization, machine: Worker) -> None:
    caller.send()
    colleague = make_caller(alpha, 0)
    body = colleague.send().json()
    assert body["usage"] == {"tokens": 0, "remaining_tokens": 0, "cached": True, "price_book": 1}


def test_our_fault_costs_nothing(caller: Caller, version: ModelVersion) -> None:
    def fail(_: bytes) -> list:
        raise RuntimeError

    with worker(version, fail):
        response = caller.send()
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert (response["Tokens-Used"], response["Tokens-Remaining"]) == ("0", "10")
    assert spent(caller, 0)


def test_an_image_that_cannot_be_decoded_costs_nothing(caller: Caller, machine: Worker) -> None:
    broken = bytearray(picture("PNG"))
    broken[40:] = b"\0" * 40
    response = caller.send(bytes(broken))
    assert (response.status_code, response.json()["code"]) == (400, "invalid_image")
    assert spent(caller, 0)


def test_without_any_worker_a_call_is_given_up_soon(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    assert waiting.GRACE_SECONDS + waiting.ROW_SECONDS <= portal_settings.DETECT_WAIT_SECONDS / 5, "long before it ends"
    monkeypatch.setattr(waiting, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(waiting, "ROW_SECONDS", 0.0)
    response = caller.send()
    # At the end of the wait it would have been 202.
    assert (response.status_code, response.json()["code"]) == (503, "no_capacity")
    assert response["Retry-After"]
    assert spent(caller, 0)


def test_without_redis_a_call_is_refused_and_its_hold_goes_back(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise redis.ConnectionError("away")

    def full(*_: Any) -> None:
        raise spare_inputs.NoRoomError

    monkeypatch.setattr(blobs, "put_in", away)
    monkeypatch.setattr(spare_inputs, "put", full)
    response = caller.send()
    assert (response.status_code, response.json()["code"]) == (503, "no_capacity")
    assert spent(caller, 0)


def test_a_worker_that_came_unbidden_is_waited_for(
    caller: Caller, machine: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        assert machine.started.wait(PATIENCE_SECONDS)
        raise redis.ConnectionError("away")

    monkeypatch.setattr(doorbell, "call", away)
    response = caller.send()
    assert (response.status_code, response["Tokens-Used"]) == (200, "0.7")
    assert spent(caller, 700)


def test_a_call_that_our_server_drops_is_not_run(
    caller: Caller, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("detection.services.waiting.wait", broken)
    with pytest.raises(RuntimeError):
        caller.send()
    assert spent(caller, 0)
    with platform_scope("test"):
        assert Job.objects.get().status == "failed"


def test_a_result_that_redis_lost_is_found_in_the_database(
    caller: Caller, machine: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detection.services.results.wait", lambda _, timeout: time.sleep(timeout))
    response = caller.send()
    assert response.status_code == 200
    assert response.json()["predictions"] == FOUND


def test_a_wait_that_runs_out_is_answered_with_the_job(
    caller: Caller, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered, listen = threading.Event(), results.wait

    def slow(_: bytes) -> list:
        assert answered.wait(PATIENCE_SECONDS)
        return FOUND

    with worker(version, slow) as running:

        def listen_once_it_runs(job_id: uuid.UUID, timeout: float) -> dict[str, Any] | None:
            assert running.started.wait(PATIENCE_SECONDS)
            return listen(job_id, timeout)

        monkeypatch.setattr(results, "wait", listen_once_it_runs)
        response = caller.send(prefer="wait=1")
        answered.set()
        assert response.status_code == 202
        assert response.json()["status"] == "running"
        assert (response["Tokens-Used"], response["Tokens-Remaining"]) == ("0", "9.3")
        assert "Preference-Applied" not in response
        until(lambda: caller.get(response["Location"]).json()["status"] == "succeeded")
    assert spent(caller, 700)


def test_a_repeated_key_replays_the_answer(caller: Caller, machine: Worker) -> None:
    key = {"Idempotency-Key": "7"}
    first, again = caller.send(headers=key), caller.send(headers=key)
    assert first.json() == again.json()
    assert again["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first
    assert spent(caller, 700)


def test_a_repeated_key_waits_for_the_call_that_is_under_way(caller: Caller, version: ModelVersion) -> None:
    def slow(_: bytes) -> list:
        until(lambda: waiting._seated[caller.organization_id] == 3)
        return FOUND

    def call(_: int) -> Any:
        try:
            return caller.send(headers={"Idempotency-Key": "7"}).json()
        finally:
            connection.close()

    with worker(version, slow) as running, ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(call, range(3)))
    assert len({answer["id"] for answer in answers}) == 1
    assert all(answer["predictions"] == FOUND for answer in answers)
    assert running.batches == [1]
    assert spent(caller, 700)


def test_a_failure_is_not_replayed_but_tried_again(caller: Caller, version: ModelVersion) -> None:
    attempts = iter([RuntimeError(), None])

    def once(_: bytes) -> list:
        if error := next(attempts):
            raise error
        return FOUND

    key = {"Idempotency-Key": "7"}
    with worker(version, once):
        assert caller.send(headers=key).status_code == 500
        assert caller.send(headers=key).status_code == 200
    assert spent(caller, 700)


def test_a_cancelled_call_tells_who_waits_for_it(caller: Caller) -> None:
    def call() -> Any:
        try:
            return caller.send()
        finally:
            connection.close()

    # A worker that is busy with others': without any, the call would be given up by itself.
    liveness.report("busy", {}, seconds=ALIVE_SECONDS)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(call)
        until(lambda: waiting._seated[caller.organization_id])
        (job,) = caller.get("/v1/jobs").json()["data"]
        assert caller.post(f"/v1/jobs/{job['id']}/cancel").status_code == 200
        response = answer.result(PATIENCE_SECONDS)
    assert (response.status_code, response.json()["code"]) == (409, "conflict")
    assert spent(caller, 0)


def test_the_log_keeps_what_a_call_was(caller: Caller, machine: Worker) -> None:
    response = caller.send(headers={"X-Request-Id": "my-request-0001"})
    with platform_scope("test"):
        job = Job.objects.get(id=response.json()["id"])
    assert job.request_id == "my-request-0001"
    assert job.client_ip == "127.0.0.1"
    assert (job.img_size, job.charged_mtok, job.prediction_count, job.status) == (640, 700, 1, "succeeded")
