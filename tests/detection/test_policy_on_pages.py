"""The playground goes by a sub-token's policy as any program, and a waiting call can be taken back on its page."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from billing.models import Account, SubToken
from billing.queries import credentials
from detection.models import Job
from detection.services import doorbell
from tenants.models import AuditEvent, Organization, User
from tenants.scope import organization_scope
from tests.detection.conftest import Caller
from tests.detection.images import picture
from tests.factories.billing import assert_ledger_clean

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture(autouse=True)
def _nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "call", lambda *_: None)
    monkeypatch.setattr("detection.views.playground.WAIT_SECONDS", 0.0)


def run(browser: Client, caller: Caller, address: str) -> str:
    form = {
        "model": "blank-n",
        "img_size": "640",
        "sub_token": str(caller.sub_token.id),
        "file": SimpleUploadedFile("board.png", picture(), "image/png"),
    }
    return browser.post("/o/alpha/playground/run/", form, REMOTE_ADDR=address).content.decode()


def jobs(organization: Organization) -> list[Any]:
    with organization_scope(organization.id):
        return list(Job.objects.all())


def test_the_playground_keeps_to_the_ip_allow_list(
    client: Client, alpha: Organization, alice: User, caller: Caller
) -> None:
    with organization_scope(alpha.id):
        SubToken.objects.filter(id=caller.sub_token.id).update(ip_allow_list=["198.51.100.0/24"])
    client.force_login(alice)
    assert "may not be used from your address" in run(client, caller, "203.0.113.1")
    assert jobs(alpha) == []
    assert "may not be used" not in run(client, caller, "198.51.100.7")
    assert len(jobs(alpha)) == 1


def test_the_playground_offers_no_suspended_sub_token(
    client: Client, alpha: Organization, alice: User, caller: Caller
) -> None:
    with organization_scope(alpha.id):
        SubToken.objects.filter(id=caller.sub_token.id).update(suspended_at=timezone.now())
    client.force_login(alice)
    assert not client.get("/o/alpha/playground/").context["sub_tokens_there"]
    run(client, caller, "198.51.100.7")
    assert jobs(alpha) == []


def test_a_call_that_passes_with_an_old_copy_of_the_policy_is_told_why_it_is_refused(
    alpha: Organization, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "CACHE_SECONDS", math.inf)
    assert caller.get("/v1/balance").status_code == HTTPStatus.OK
    with organization_scope(alpha.id):
        SubToken.objects.filter(id=caller.sub_token.id).update(suspended_at=timezone.now())
        Account.objects.filter(id=caller.sub_token.account_id).update(closed_at=timezone.now())
    refused = caller.send()
    assert (refused.status_code, refused.json()["code"]) == (403, "suspended_token")


def test_a_waiting_call_is_taken_back(client: Client, alpha: Organization, alice: User, caller: Caller) -> None:
    job_id = caller.send(prefer="respond-async").json()["id"]
    client.force_login(alice)
    page = f"/o/alpha/calls/{job_id}/"
    assert "Take it back" in client.get(page).content.decode()
    assert caller.balance().held_mtok == 700
    client.post(f"{page}cancel/")
    assert (caller.balance().held_mtok, caller.balance().available_mtok) == (0, 10_000)
    assert "Take it back" not in client.get(page).content.decode()
    again = client.post(f"{page}cancel/", follow=True)
    assert "was not taken back" in again.content.decode()
    with organization_scope(alpha.id):
        assert AuditEvent.objects.filter(action="call.cancelled").count() == 1
    assert_ledger_clean()


def test_a_developer_takes_nothing_back(client: Client, bob: User, caller: Caller) -> None:
    job_id = caller.send(prefer="respond-async").json()["id"]
    client.force_login(bob)
    assert "Take it back" not in client.get(f"/o/alpha/calls/{job_id}/").content.decode()
    assert client.post(f"/o/alpha/calls/{job_id}/cancel/").status_code == HTTPStatus.FORBIDDEN
