"""The log of calls and the playground: what they show, and who may not look."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.test import Client

from detection.views.drawing import drawing
from tenants.models import Organization, Role, User
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
