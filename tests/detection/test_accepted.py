"""Jobs whose callers were answered 202: they count as calls at a time until they are over."""

from __future__ import annotations

import datetime as dt

import psycopg
import pytest
from django.conf import settings as ours
from django.db import connections
from django.utils import timezone

from detection.models import Job, ModelVersion
from detection.services import doorbell, liveness, queue
from tenants.models import Organization
from tenants.scope import platform_scope
from tests.detection.conftest import Caller, make_caller
from tests.detection.images import picture
from tests.detection.machine import ALIVE_SECONDS, until, worker

pytestmark = pytest.mark.usefixtures("committed_db")

FRESH = {"Cache-Control": "no-cache"}


@pytest.fixture(autouse=True)
def _nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "call", lambda *_: None)


@pytest.fixture
def narrow(alpha: Organization, version: ModelVersion) -> Caller:
    """A sub-token that may have two calls at a time."""
    return make_caller(alpha, requests_per_second=1000, burst=1000, concurrency=2)


def accepted(caller: Caller) -> str:
    response = caller.send(prefer="respond-async", headers=FRESH)
    assert response.status_code == 202
    return response["Location"]


def is_full(caller: Caller) -> bool:
    response = caller.send(prefer="respond-async", headers=FRESH)
    assert response.status_code in (202, 429)
    return response.status_code == 429 and response.json()["code"] == "concurrency_limited"


def test_they_fill_the_sub_token_until_one_is_cancelled(narrow: Caller) -> None:
    first, _ = accepted(narrow), accepted(narrow)
    assert is_full(narrow)
    assert narrow.balance().held_mtok == 2 * 700
    assert narrow.post(f"{first}/cancel").status_code == 200
    accepted(narrow)
    assert is_full(narrow)


def test_a_job_whose_caller_no_longer_waits_counts_too(narrow: Caller) -> None:
    liveness.report("busy", {}, seconds=ALIVE_SECONDS)
    assert [narrow.send(prefer="wait=1", headers=FRESH).status_code for _ in range(2)] == [202, 202]
    assert is_full(narrow)


def test_a_worker_makes_room(narrow: Caller, version: ModelVersion) -> None:
    locations = [accepted(narrow), accepted(narrow)]
    assert is_full(narrow)
    with worker(version):
        until(lambda: all(narrow.get(where).json()["status"] == "succeeded" for where in locations))
    accepted(narrow)
    accepted(narrow)
    assert is_full(narrow)


def test_a_job_that_nobody_ran_in_its_time_makes_room(narrow: Caller) -> None:
    accepted(narrow)
    accepted(narrow)
    assert queue.fail_overdue(now=timezone.now() + dt.timedelta(seconds=ours.JOB_LIFE_SECONDS + 1)) == 2
    assert not is_full(narrow)


def test_the_same_call_again_takes_no_room(narrow: Caller) -> None:
    accepted(narrow)
    for _ in range(4):
        narrow.send(prefer="respond-async", headers=FRESH | {"Idempotency-Key": "one"})
    assert is_full(narrow)
    with platform_scope("test"):
        assert Job.objects.count() == 2


def test_a_job_that_a_crash_of_the_database_took_costs_nothing(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        # The row was not on disk yet. No role of ours may delete one, so the owner does, past the triggers.
        with psycopg.connect(**connections["owner"].get_connection_params(), autocommit=True) as owner:
            owner.execute("SET session_replication_role = replica")
            owner.execute("DELETE FROM detection_job")

    monkeypatch.setattr(doorbell, "call", crash)
    response = caller.send(picture())
    assert (response.status_code, response.json()["code"]) == (503, "no_capacity")
    assert "nothing was charged" in response.json()["detail"]
    assert (response["Retry-After"], response["Tokens-Used"]) == ("1", "0")
