"""The log of calls and the playground: what they show, and who may not look."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.db import connection
from django.db.models import Func, QuerySet, TextField, Value
from django.test import Client

from detection.api import jobs as job_api
from detection.models import Job, ModelVersion
from detection.views import calls
from detection.views.drawing import drawing
from tenants.models import Organization, Role, User
from tenants.permissions import Permission
from tenants.queries.pages import TooMuchToRead, no_longer_than
from tests.api_client import body, manager_of
from tests.detection.conftest import version  # noqa: F401 a fixture
from tests.factories.jobs import make_spender, queue_job
from tests.factories.sub_tokens import make_sub_token
from tests.factories.tenants import make_membership, make_user

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("page", ["calls/", "calls.csv", "playground/"])
def test_a_page_opens_for_an_owner_and_is_not_there_for_an_outsider(
    client: Client, alice: User, charlie: User, alpha: Organization, page: str
) -> None:
    make_sub_token(alpha)
    client.force_login(alice)
    assert client.get(f"/o/{alpha.slug}/{page}").status_code == HTTPStatus.OK
    client.force_login(charlie)
    assert client.get(f"/o/{alpha.slug}/{page}").status_code == HTTPStatus.NOT_FOUND


def test_what_is_rare_among_millions_is_not_waited_for(
    client: Client,
    version: ModelVersion,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def slow(_form: object) -> QuerySet[Job]:
        return Job.objects.annotate(slept=Func(Value(60), function="pg_sleep", output_field=TextField()))

    sub_token = make_spender()
    queue_job(sub_token, version)
    manager = manager_of(sub_token.organization, Permission.CALLS_VIEW)
    client.force_login(make_membership(sub_token.organization).user)
    monkeypatch.setattr(calls.CallFilter, "jobs", slow)
    monkeypatch.setattr(calls, "LOOKED_FOR_SECONDS", 0.1)
    assert "Too many calls to look through" in client.get(f"/o/{sub_token.organization.slug}/calls/").content.decode()
    monkeypatch.setattr(job_api, "jobs", lambda **_: slow(None))
    monkeypatch.setattr(job_api, "LOOKED_FOR_SECONDS", 0.1)
    response = manager.get("/v1/jobs", status="cancelled")
    assert (response.status_code, body(response)["code"]) == (422, "validation_error")


def test_looking_no_longer_than_leaves_the_transaction_as_it_was(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout')")
        before = cursor.fetchone()
        with pytest.raises(TooMuchToRead), no_longer_than(0.05):
            cursor.execute("SELECT pg_sleep(60)")
        with no_longer_than(60):
            cursor.execute("SELECT 1")
        cursor.execute("SELECT current_setting('statement_timeout')")
        assert cursor.fetchone() == before


def test_a_viewer_sees_calls_and_runs_nothing(client: Client, alpha: Organization) -> None:
    client.force_login(make_membership(alpha, make_user(), Role.VIEWER).user)
    assert client.get(f"/o/{alpha.slug}/calls/").status_code == HTTPStatus.OK
    assert client.get(f"/o/{alpha.slug}/playground/").status_code == HTTPStatus.FORBIDDEN
    assert client.post(f"/o/{alpha.slug}/playground/run/").status_code == HTTPStatus.FORBIDDEN


def test_a_run_without_a_picture_says_what_is_missing_and_costs_nothing(
    client: Client, alice: User, alpha: Organization
) -> None:
    sub_token, _secret = make_sub_token(alpha)
    client.force_login(alice)
    answer = client.post(f"/o/{alpha.slug}/playground/run/", {"sub_token": str(sub_token.id)})
    assert "Nothing was charged" in answer.content.decode()


def test_the_surest_box_is_first_and_labels_stay_inside_the_picture() -> None:
    found = drawing(
        [
            {"class_id": 1, "class_name": "short", "confidence": 0.4, "bbox": [0, 0, 20, 10]},
            {"class_id": 9, "class_name": "open", "confidence": 0.9, "bbox": [10, 400, 30, 440]},
            {"class_id": 2, "class_name": "mouse_bite", "confidence": 0.2, "bbox": [600, 300, 639, 340]},
        ],
        width=640,
        height=640,
    )
    first, second, third = found.boxes
    assert (first.class_name, first.width, first.height, first.colour) == ("open", 20, 40, 1)
    assert first.label_y < 400
    assert second.label_y > 10
    assert (first.label_anchor, third.label_anchor, third.label_x) == ("start", "end", 639)


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "2026-01-01", "x"])
@pytest.mark.parametrize("page", ["calls/", "calls.csv", "ledger/", "ledger.csv"])
def test_every_day_can_be_asked_for(client: Client, alpha: Organization, alice: User, page: str, day: str) -> None:
    client.force_login(alice)
    response = client.get(f"/o/{alpha.slug}/{page}", {"since": day, "until": day})
    assert response.status_code == 200
    assert b"".join(response)
