"""How many callers of one organization a web process keeps on the line."""

from __future__ import annotations

import threading
import uuid

import pytest
from pytest_django.fixtures import Settings

from detection.models import ModelVersion
from detection.services import waiting
from tenants.models import Organization
from tests.detection.conftest import make_caller

pytestmark = pytest.mark.usefixtures("committed_db")


def test_beyond_its_places_a_call_is_answered_with_its_job(
    alpha: Organization, version: ModelVersion, settings: Settings
) -> None:
    settings.WAITING_CALLS_PER_ORGANIZATION = 1
    caller = make_caller(alpha)
    with waiting._seat(alpha.id) as seated:
        assert seated
        response = caller.send()
        assert (response.status_code, response.json()["status"]) == (202, "queued")
        with waiting._seat(uuid.uuid4()) as other:
            assert other
    assert alpha.id not in waiting._seated


def test_no_more_than_the_places_are_ever_taken(settings: Settings) -> None:
    settings.WAITING_CALLS_PER_ORGANIZATION = 3
    organization_id, taken, go = uuid.uuid4(), [], threading.Barrier(12)

    def call() -> None:
        go.wait()
        with waiting._seat(organization_id) as seated:
            taken.append(seated)
            go.wait()

    threads = [threading.Thread(target=call) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken.count(True) == 3
    assert organization_id not in waiting._seated
