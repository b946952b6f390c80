"""Refunding on the page, over the API and by staff: said in numbers first, confirmed by name, done once."""

from __future__ import annotations

import re
from http import HTTPStatus
from uuid import uuid4

import pytest
from django.test import Client

from billing.models import Refund
from tenants.models import Organization, User
from tenants.permissions import Permission
from tenants.scope import organization_scope
from tests.api_client import body, manager_of
from tests.billing.refunds.buying import buy, charge_of, hear
from tests.billing.refunds.test_refunds import available, spend
from tests.factories.billing import assert_ledger_clean
from tests.portal.conftest import sam, staff  # noqa: F401 fixtures
from tests.portal.staffing import act, events
from tests.stripe_standin import StandIn

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_process")]


@pytest.fixture
def page(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


def test_the_page_says_what_will_happen_and_does_it_once_it_is_confirmed(
    page: Client, standin: StandIn, alpha: Organization
) -> None:
    payment = buy(standin, alpha, 1_000)
    spend(alpha, 250_000)
    path = f"/o/alpha/billing/payments/{payment.id}/"
    assert f'href="{path}refund/"' in page.get(path).content.decode()
    seen = page.get(f"{path}refund/", {"tokens": "500"}).content.decode()
    assert "at most 750 of 1,000" in seen
    assert "Visa ···· 4242" in seen
    action = re.search(r'action="([^"]+refund/\?[^"]+)"', seen)
    assert action
    address = action[1].replace("&amp;", "&")
    refused = page.post(address, {"confirm_name": "Beta"})
    assert (refused.status_code, available(alpha)) == (HTTPStatus.OK, 750_000)
    for _ in range(2):
        done = page.post(address, {"confirm_name": "Alpha"}, follow=True).content.decode()
        assert "500 Tokens went back" in done
    assert available(alpha) == 250_000
    with organization_scope(alpha.id):
        assert Refund.objects.get().tokens_mtok == 500_000
    listed = page.get("/o/alpha/billing/refunds/").content.decode()
    assert "Paid back" in listed
    assert "Refunds and debts" in page.get("/o/alpha/billing/").content.decode()
    assert_ledger_clean()


def test_the_page_says_why_nothing_can_be_refunded(page: Client, standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    path = f"/o/alpha/billing/payments/{payment.id}/refund/"
    assert "Only 1,000 Tokens of it are unspent." in page.get(path, {"tokens": "1001"}).content.decode()
    spend(alpha, 1_000_000)
    assert "Nothing of it is unspent." in page.get(path).content.decode()


def test_a_dispute_is_on_the_pages(page: Client, standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    standin.control(f"charges/{charge_of(standin, payment)}/dispute")
    hear(standin.events("charge.dispute.created"))
    assert "Open: Tokens frozen" in page.get("/o/alpha/billing/refunds/").content.decode()
    assert "1,000 frozen by a dispute" in page.get("/o/alpha/grants/").content.decode()
    refused = page.get(f"/o/alpha/billing/payments/{payment.id}/refund/").content.decode()
    assert "is settled by the bank" in refused
    assert body(manager_of(alpha).get("/v1/balance"))["frozen_tokens"] == 1000
    (dispute,) = body(manager_of(alpha).get("/v1/disputes"))["data"]
    assert (dispute["status"], dispute["tokens"], dispute["reason"]) == ("open", 1000, "fraudulent")


def test_the_api_previews_and_refunds(standin: StandIn, alpha: Organization) -> None:
    payment = buy(standin, alpha, 1_000)
    api, path = manager_of(alpha), f"/v1/payments/{payment.id}/refund"
    seen = body(api.get(path, tokens="400"))
    assert (seen["tokens"], seen["unspent_tokens"], seen["method"]) == (400, 1000, "visa 4242")
    made = api.post(path, {"tokens": 400}, Idempotency_Key="once")
    assert made.status_code == HTTPStatus.CREATED, made.content
    first = body(made)
    assert (first["status"], first["amount_minor"]) == ("succeeded", seen["amount_minor"])
    again = api.post(path, {"tokens": 400}, Idempotency_Key="once")
    assert (body(again)["id"], again["Idempotent-Replayed"]) == (first["id"], "true")
    other = api.post(path, {"tokens": 401}, Idempotency_Key="once")
    assert (other.status_code, body(other)["code"]) == (422, "idempotency_mismatch")
    too_many = api.post(path, {"tokens": 601})
    assert (too_many.status_code, body(too_many)["code"]) == (429, "insufficient_tokens")
    for wrong in ("-1", "0.0001", "many", True):
        assert api.post(path, {"tokens": wrong}).status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert api.post(path, {}).status_code == HTTPStatus.CREATED
    over = api.post(path, {})
    assert (over.status_code, body(over)["code"]) in {(409, "refund_refused"), (429, "insufficient_tokens")}
    assert [refund["tokens"] for refund in body(api.get("/v1/refunds"))["data"]] == [600, 400]
    assert_ledger_clean()


def test_who_may_not_pay_may_not_refund(standin: StandIn, alpha: Organization, bob: User, client: Client) -> None:
    payment = buy(standin, alpha, 1_000)
    client.force_login(bob)
    path = f"/o/alpha/billing/payments/{payment.id}/refund/"
    assert client.get(path).status_code == HTTPStatus.FORBIDDEN
    assert client.post(path, {"confirm_name": "Alpha"}).status_code == HTTPStatus.FORBIDDEN
    seer = manager_of(alpha, Permission.GRANTS_VIEW)
    assert seer.post(f"/v1/payments/{payment.id}/refund", {}).status_code == HTTPStatus.FORBIDDEN
    assert available(alpha) == 1_000_000


def test_an_outsider_refunds_nothing(
    standin: StandIn, alpha: Organization, beta: Organization, charlie: User, client: Client
) -> None:
    payment = buy(standin, alpha, 1_000)
    buy(standin, beta, 1_000)
    client.force_login(charlie)
    for slug in ("alpha", "beta"):
        path = f"/o/{slug}/billing/payments/{payment.id}/refund/"
        assert client.get(path).status_code == HTTPStatus.NOT_FOUND
        assert client.post(path, {"confirm_name": "Beta"}).status_code == HTTPStatus.NOT_FOUND
    api = manager_of(beta)
    assert api.get(f"/v1/payments/{payment.id}/refund").status_code == HTTPStatus.NOT_FOUND
    assert api.post(f"/v1/payments/{payment.id}/refund", {}).status_code == HTTPStatus.NOT_FOUND
    assert body(api.get("/v1/refunds"))["data"] == []
    assert (available(alpha), available(beta)) == (1_000_000, 1_000_000)


def test_staff_refund_for_a_reason(staff: Client, standin: StandIn, alpha: Organization) -> None:  # noqa: F811
    payment = buy(standin, alpha, 1_000)
    numbers, done = act(staff, alpha, "refund", payment.id, tokens="300")
    assert "300 unspent Tokens of Alpha go back at once" in numbers
    assert "Paid back" in done
    (event,) = events(alpha, "refund.requested")
    assert event.actor_name == "sam@tokensight.example"
    assert available(alpha) == 700_000
    path = f"/staff/organizations/{alpha.id}/acts/refund/{payment.id}/"
    form = {"reason": "The customer asked for it", "key": str(uuid4()), "tokens": "5000", "confirmed": "1"}
    assert "Only 700" not in done
    staff.post(path, form, follow=True)
    assert available(alpha) == 700_000
    assert "Refunds" in staff.get(f"/staff/organizations/{alpha.id}/").content.decode()
