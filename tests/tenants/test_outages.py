"""A database that is away is told as such, over the API and on pages; what is wrong with a statement stays a 500."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import Error, connection, connections
from django.db.utils import DatabaseErrorWrapper
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path
from rest_framework.decorators import api_view
from rest_framework.test import APIClient

from tenants.api.handler import AWAY
from tenants.outages import is_outage

pytestmark = pytest.mark.django_db


def ask(statement: str, *, hung_up: bool = False) -> None:
    """Ask on a connection of its own, which the server may have ended before; errors come as Django has them."""
    with DatabaseErrorWrapper(connection), psycopg.connect(**connection.get_connection_params()) as asking:
        if hung_up:
            with psycopg.connect(**connections["owner"].get_connection_params(), autocommit=True) as owner:
                owner.execute("SELECT pg_terminate_backend(%s, 60000)", [asking.info.backend_pid])
        asking.execute(statement)


def knock_at_a_closed_door() -> None:
    with DatabaseErrorWrapper(connection):
        psycopg.connect(host="127.0.0.1", port=9, connect_timeout=2)


AWAY_WAYS: dict[str, Callable[[], None]] = {
    "hung up": lambda: ask("SELECT 1", hung_up=True),
    "closed door": knock_at_a_closed_door,
    "read only": lambda: ask("SET TRANSACTION READ ONLY; DELETE FROM tenants_team"),
    "full": lambda: ask("DO $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$"),
    "a lock for too long": lambda: ask("DO $$ BEGIN RAISE EXCEPTION 'lock' USING ERRCODE = '55P03'; END $$"),
}
WRONG_WAYS: dict[str, Callable[[], None]] = {
    "a slip": lambda: ask("SELECT nothing"),
    "a division": lambda: ask("SELECT 1 / 0"),
    "too slow": lambda: ask("SET statement_timeout = '20ms'; SELECT pg_sleep(5)"),
    "not ours": lambda: (_ for _ in ()).throw(ValueError("not the database's")),
}
WAYS = AWAY_WAYS | WRONG_WAYS


def act(request: HttpRequest, way: str) -> HttpResponse:
    WAYS[way]()
    raise AssertionError("it was to raise")


@api_view(["GET", "POST"])
def api(request: Any, way: str) -> HttpResponse:
    return act(request, way)


handler500 = "portal.views.trouble.server_error"
urlpatterns = [path("v1/away/<way>", api), path("away/<way>", act), path("", include("portal.urls"))]


@pytest.mark.parametrize("way", AWAY_WAYS)
def test_what_is_an_outage(way: str) -> None:
    with pytest.raises(Error) as caught:
        WAYS[way]()
    assert is_outage(caught.value)


@pytest.mark.parametrize("way", WRONG_WAYS)
def test_what_is_none(way: str) -> None:
    with pytest.raises(Exception) as caught:
        WAYS[way]()
    assert not is_outage(caught.value)
    assert not is_outage(None)


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("way", AWAY_WAYS)
def test_the_api_says_when_to_come_again(way: str) -> None:
    response = APIClient(raise_request_exception=False).post(f"/v1/away/{way}", {}, format="json")
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert (body["code"], body["detail"], body["status"]) == ("service_unavailable", AWAY, 503)
    assert body["request_id"] == response["X-Request-Id"]


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("way", AWAY_WAYS)
def test_a_page_says_when_to_come_again(way: str) -> None:
    response = Client(raise_request_exception=False).get(f"/away/{way}")
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert "We will be back in a moment" in response.content.decode()


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("way", WRONG_WAYS)
def test_what_is_our_fault_is_a_500(way: str) -> None:
    client = APIClient(raise_request_exception=False)
    response = client.get(f"/v1/away/{way}")
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    response = client.get(f"/away/{way}")
    assert response.status_code == 500
    assert "Retry-After" not in response
    assert "Something went wrong on our side" in response.content.decode()


@pytest.mark.urls(__name__)
def test_a_session_that_cannot_be_read_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails on the way to a page, before any view."""
    monkeypatch.setattr(SessionStore, "load", lambda _self: knock_at_a_closed_door())
    client = Client(raise_request_exception=False)
    client.cookies["sessionid"] = "x" * 32
    response = client.get("/organizations/")
    assert response.status_code == 503
    assert "We will be back in a moment" in response.content.decode()
