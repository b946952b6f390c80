"""What became of calls, over the API: a job can be read and cancelled by its own sub-token, listed, and summed up."""

from __future__ import annotations

import pytest
from django.utils import timezone

from detection.models import Job
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.detection.conftest import Caller, make_caller
from tests.detection.test_requests import _nobody_listens, code_of  # noqa: F401 a fixture

pytestmark = pytest.mark.django_db


def test_a_job_can_be_cancelled_once(caller: Caller) -> None:
    location = caller.send(prefer="respond-async")["Location"]
    assert caller.balance().available_mtok == 9300
    cancelled = caller.post(f"{location}/cancel")
    assert cancelled.status_code == 200
    assert (cancelled.json()["status"], cancelled.json()["usage"]["remaining_tokens"]) == ("cancelled", 10)
    again = caller.post(f"{location}/cancel")
    assert (again.status_code, code_of(again), again.json()["state"]) == (409, "conflict", "cancelled")
    with organization_scope(caller.organization_id):
        Job.objects.update(status="running")
    assert caller.post(f"{location}/cancel").json()["state"] == "running"


def test_a_stranger_s_job_is_not_there(caller: Caller, outsider: Caller, alpha: Organization) -> None:
    location = caller.send(prefer="respond-async")["Location"]
    nowhere = "/v1/jobs/01a1fd1f-d397-721b-9702-9b90c4a9e875"
    for stranger in (outsider, make_caller(alpha)):
        for path in ("", "/cancel"):
            call = stranger.post if path else stranger.get
            there, not_there = call(location + path), call(nowhere + path)
            assert there.status_code == not_there.status_code == 404
            volatile = {"request_id": ""}
            assert there.json() | volatile == not_there.json() | volatile
        assert stranger.get("/v1/jobs").json() == {"data": [], "next_cursor": None}
        assert stranger.get("/v1/usage").json()["total"]["calls"] == 0
    assert caller.get(location).status_code == 200


def test_the_list_of_jobs_comes_in_pages(caller: Caller) -> None:
    ids = [caller.send(prefer="respond-async").json()["id"] for _ in range(5)]
    first = caller.get("/v1/jobs", limit=2).json()
    second = caller.get("/v1/jobs", limit=2, cursor=first["next_cursor"]).json()
    third = caller.get("/v1/jobs", limit=2, cursor=second["next_cursor"]).json()
    assert [job["id"] for page in (first, second, third) for job in page["data"]] == ids[::-1]
    assert third["next_cursor"] is None
    assert caller.get("/v1/jobs", status="succeeded").json()["data"] == []
    assert len(caller.get("/v1/jobs", status="queued", model="blank-n").json()["data"]) == 5
    for query in ({"limit": "0"}, {"limit": "x"}, {"cursor": "x"}, {"status": "lost"}):
        assert code_of(caller.get("/v1/jobs", **query)) == "validation_error"


def test_usage_is_summed_up_by_what_is_asked(caller: Caller) -> None:
    caller.send(prefer="respond-async", tags='{"line": "1", "shift": "a"}')
    caller.send(prefer="respond-async")
    with organization_scope(caller.organization_id):
        Job.objects.filter(tags={}).update(status="succeeded", charged_mtok=700, finished_at=timezone.now())
        Job.objects.exclude(tags={}).update(status="cancelled", finished_at=timezone.now())
    report = caller.get("/v1/usage", group_by="model,tag").json()
    assert report["total"] == {"calls": 2, "succeeded": 1, "failed": 0, "cached": 0, "tokens": 0.7}
    assert [(row["model"], row["tag"], row["calls"], row["tokens"]) for row in report["data"]] == [
        ("blank-n", "line=1", 1, 0), ("blank-n", "shift=a", 1, 0), ("blank-n", None, 1, 0.7),
    ]  # fmt: skip
    (row,) = caller.get("/v1/usage", group_by="sub_token,team,day").json()["data"]
    assert row["sub_token"] == {"id": str(caller.sub_token.id), "name": caller.sub_token.name}
    assert row["team"] is None
    assert caller.get("/v1/usage", to="2026-01-31", **{"from": "2026-01-01"}).json()["total"]["calls"] == 0
    for query in (
        {"group_by": "colour"},
        {"group_by": "day,day"},
        {"from": "x"},
        {"from": "9990-01-01"},
        {"to": "9999-99-99"},
        {"from": "0001-01-01T00:00:00+23:59"},
        {"to": "9999-12-31T23:59:59-23:59"},
    ):
        assert code_of(caller.get("/v1/usage", **query)) == "validation_error"


@pytest.mark.parametrize("offset", ["-20:58", "+23:59"])
def test_usage_takes_times_of_any_offset(caller: Caller, offset: str) -> None:
    query = {"from": f"2026-01-01T00:00:00{offset}", "to": f"2026-01-02T00:00:00{offset}"}
    response = caller.get("/v1/usage", **query)
    assert (response.status_code, response.json()["total"]["calls"]) == (200, 0)
