"""The automatic top-up and saved cards on pages and over the API."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import Account, AutoTopUp
from tenants.models import AuditEvent, Organization, User
from tenants.permissions import Permission
from tenants.scope import organization_scope
from tests.api_client import body, manager_of
from tests.factories.auto_top_ups import give_card, row_of, turn_on
from tests.factories.billing import make_wallet
from tests.stripe_standin import StandIn
from tests.tenants.confirming import confirmed

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/o/alpha/billing/auto-top-up/"
FORM = {
    "enabled": "on",
    "threshold": "100",
    "buys": "amount",
    "tokens": "1000",
    "currency": "CNY",
    "ceiling": "500",
    "most_per_hour": "2",
    "most_per_day": "5",
}
BODY = {"enabled": True, "threshold": 100, "tokens": 1000, "currency": "CNY", "monthly_ceiling_minor": 50_000}


@pytest.fixture
def wallet(alpha: Organization) -> Account:
    return make_wallet(alpha, 150_000, now=timezone.now())


@pytest.fixture
def member(alice: User, wallet: Account) -> Client:
    """Alice's browser, in which she has just said who she is."""
    return confirmed(alice)


def test_it_says_in_numbers_what_will_happen_and_then_does_it(
    member: Client, alpha: Organization, standin: StandIn
) -> None:
    give_card(alpha, standin)
    page = member.post(PAGE, FORM).content.decode()
    for words in (
        "When spending leaves the wallet less than 100 Tokens, 1,000 Tokens are bought for",
        "At most 500.00 CNY in a calendar month",
        "More than 2 payments in an hour or 5 in a day stop it",
        "Visa ···· 4242 is charged while nobody is present.",
    ):
        assert words in page
    assert "at once" not in page, "there is enough"
    with organization_scope(alpha.id):
        assert not AutoTopUp.objects.exists(), "it was not done yet"
    done = member.post(PAGE, {**FORM, "confirmed": "1"}, follow=True).content.decode()
    assert "The automatic top-up is on." in done
    assert "Waits until the wallet has less than 100 Tokens" in done
    with organization_scope(alpha.id):
        event = AuditEvent.objects.get(action="auto_top_up.changed")
    assert (event.after["threshold_mtok"], event.after["ceiling"]) == (100_000, "500.00 CNY")
    assert "first purchase is made at once" in member.post(PAGE, {**FORM, "threshold": "200"}).content.decode()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"ceiling": "0.01"}, "a month must allow at least that"),
        ({"tokens": "1"}, "The least that can be bought"),
        ({"most_per_day": "1"}, "at least as many as in an hour"),
        ({"threshold": ""}, "This field is required"),
    ],
)
def test_what_does_not_fit_is_said_at_its_field(
    fields: dict[str, str], said: str, member: Client, alpha: Organization, standin: StandIn
) -> None:
    give_card(alpha, standin)
    page = member.post(PAGE, {**FORM, **fields}).content.decode()
    assert said in page
    assert "confirmed" not in page


def test_without_a_card_it_says_what_to_do(member: Client, standin: StandIn) -> None:
    assert "Save a card first" in member.post(PAGE, FORM).content.decode()


@pytest.mark.parametrize("path", ["", "resume/", "../cards/new/", "../cards/default/", "../cards/remove/"])
def test_whoever_changes_it_says_who_they_are_once_more(
    path: str, client: Client, alice: User, wallet: Account
) -> None:
    client.force_login(alice)
    address = PAGE + path if not path.startswith("..") else PAGE.replace("auto-top-up/", path.removeprefix("../"))
    answer = client.post(address, {**FORM, "confirmed": "1"})
    assert answer.status_code == HTTPStatus.FOUND
    assert answer["Location"].startswith("/accounts/reauthenticate/")


def test_one_that_stopped_says_why_and_goes_on(member: Client, alpha: Organization, standin: StandIn) -> None:
    give_card(alpha, standin)
    turn_on(alpha)
    with organization_scope(alpha.id):
        AutoTopUp.objects.update(status="stopped", stop_reason="velocity")
    page = member.get(PAGE).content.decode()
    assert "More payments in a short time than you allow" in page
    assert "More payments in a short time than you allow" in member.get("/o/alpha/billing/").content.decode()
    done = member.post(f"{PAGE}resume/", follow=True).content.decode()
    assert "The automatic top-up goes on." in done
    assert row_of(alpha).status == "on"
    assert "It has not stopped." in member.post(f"{PAGE}resume/", follow=True).content.decode()


@pytest.mark.parametrize("status", ["off", "on", "waiting", "confirm", "declined", "ceiling"])
def test_every_state_is_said(status: str, member: Client, alpha: Organization, standin: StandIn) -> None:
    give_card(alpha, standin)
    turn_on(alpha)
    with organization_scope(alpha.id):
        AutoTopUp.objects.update(status=status, due_at=timezone.now())
        shown = AutoTopUp.objects.get().get_status_display()
    assert shown in member.get(PAGE).content.decode()


def test_cards_are_listed_and_removed(member: Client, alpha: Organization, standin: StandIn) -> None:
    assert "No card is saved" in member.get("/o/alpha/billing/cards/").content.decode()
    give_card(alpha, standin)
    turn_on(alpha)
    page = member.get("/o/alpha/billing/cards/")
    (card,) = page.context["cards"]
    assert "the automatic top-up stops" in page.content.decode()
    done = member.post("/o/alpha/billing/cards/remove/", {"card": card.payment_method_id}, follow=True)
    assert "Visa ···· 4242 is removed." in done.content.decode()
    assert row_of(alpha).stop_reason == "no_card"
    again = member.post("/o/alpha/billing/cards/remove/", {"card": card.payment_method_id})
    assert again.status_code == HTTPStatus.NOT_FOUND


def test_stripe_that_is_away_breaks_no_page(member: Client, alpha: Organization, standin: StandIn) -> None:
    give_card(alpha, standin)
    standin.go_away(50)
    for path in ("cards/", "cards/saved/?session=cs_x", "auto-top-up/", ""):
        assert member.get(f"/o/alpha/billing/{path}").status_code == HTTPStatus.OK
    assert "does not answer" in member.get("/o/alpha/billing/cards/").content.decode()


def test_the_api_shows_and_sets_it(alpha: Organization, wallet: Account, standin: StandIn) -> None:
    manager = manager_of(alpha, Permission.BILLING_MANAGE)
    shown = body(manager.get("/v1/auto_topup"))
    assert (shown["enabled"], shown["status"], shown["card"]) == (False, "off", None)
    refused = body(put(manager, BODY))
    assert (refused["status"], list(refused["errors"])) == (422, ["enabled"])
    give_card(alpha, standin)
    done = body(put(manager, BODY))
    assert (done["enabled"], done["status"], done["threshold"], done["tokens"]) == (True, "on", 100, 1000)
    assert done["card"] == {"brand": "visa", "last4": "4242"}
    assert body(manager.get("/v1/auto_topup")) == done
    for wrong, name in (
        ({"monthly_ceiling_minor": 1}, "monthly_ceiling_minor"),
        ({"tokens": 1}, "tokens"),
        ({"tokens": None}, "package"),
        ({"most_per_hour": 11}, "most_per_hour"),
        ({"threshold": 0}, "threshold"),
    ):
        answer = body(put(manager, BODY | wrong))
        assert (answer["status"], list(answer["errors"])) == (422, [name]), wrong
    assert body(put(manager, BODY | {"enabled": False}))["status"] == "off"


def put(manager: Any, sent: dict[str, Any]) -> Any:
    return manager.raw("PUT", "/v1/auto_topup", json.dumps(sent).encode(), "application/json")
