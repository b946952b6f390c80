"""The pages of alerts and webhooks: what they show, what they do, and who may not."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.formats import date_format

from billing.enums import AlertRule
from billing.models import Alert, AlertMute, WebhookDelivery, WebhookEndpoint
from billing.services.alert_settings import settings_of
from billing.services.alerts import raise_alert
from tenants.models import Organization, User
from tenants.scope import organization_scope
from tests.factories.billing import make_wallet

pytestmark = pytest.mark.django_db
FORM = {"name": "ERP", "kind": "signed", "url": "https://hooks.example/x"}


@pytest.fixture
def alerted(alpha: Organization) -> Organization:
    """Alpha, with one alert that Alice was told of."""
    make_wallet(alpha, 10_000, now=timezone.now())
    with organization_scope(alpha.id):
        raise_alert(
            organization_id=alpha.id,
            rule=AlertRule.TOKENS_EXHAUSTED,
            subject_kind="organization",
            subject_id=alpha.id,
            level=100,
            period="1",
            facts={"used_mtok": 10_000, "whole_mtok": 10_000},
            now=timezone.now(),
        )
    return alpha


@pytest.fixture
def alice_s(client: Client, alice: User, alerted: Organization) -> Client:
    client.force_login(alice)
    return client


def text_of(client: Client, path: str) -> str:
    answer = client.get(f"/o/alpha/{path}")
    assert answer.status_code == HTTPStatus.OK
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content  # type: ignore[attr-defined]
    return content.decode()


def alert_of(organization: Organization) -> Alert:
    with organization_scope(organization.id):
        return Alert.objects.get()


def test_the_inbox_and_its_bell(alice_s: Client, alerted: Organization) -> None:
    page = text_of(alice_s, "alerts/")
    assert "Alpha has no Tokens left" in page
    assert 'data-unread="1"' in page
    assert 'data-unread="1"' in text_of(alice_s, "alerts/bell/")
    alert = alert_of(alerted)
    alice_s.post(f"/o/alpha/alerts/{alert.id}/read/")
    assert 'data-unread="0"' in text_of(alice_s, "alerts/")
    assert "Nothing matches" in text_of(alice_s, "alerts/?show=unread")
    alice_s.post(f"/o/alpha/alerts/{alert.id}/read/", {"unread": "1"})
    alice_s.post("/o/alpha/alerts/read/", {"next": "/o/alpha/alerts/?show=all"})
    assert 'data-unread="0"' in text_of(alice_s, "alerts/bell/")
    assert "tokens_exhausted" in text_of(alice_s, "alerts/csv/")


def test_reading_leads_nowhere_else(alice_s: Client) -> None:
    answer = alice_s.post("/o/alpha/alerts/read/", {"next": "https://elsewhere.example/"})
    assert answer["Location"] == "/o/alpha/alerts/"


def test_a_member_s_inbox_is_their_own(client: Client, bob: User, alerted: Organization) -> None:
    client.force_login(bob)
    assert "No alerts" in text_of(client, "alerts/")
    assert "Alpha has no Tokens left" in text_of(client, "alerts/?show=all")
    assert client.post(f"/o/alpha/alerts/{alert_of(alerted).id}/read/").status_code == HTTPStatus.NOT_FOUND
    for path in ("alerts/rules/", "webhooks/", "webhooks/new/"):
        assert client.get(f"/o/alpha/{path}").status_code == HTTPStatus.FORBIDDEN


def test_muting(alice_s: Client, alerted: Organization) -> None:
    said = alice_s.post(f"/o/alpha/alerts/{alert_of(alerted).id}/mute/", {"days": "7"}, follow=True)
    until = date_format(timezone.localtime(timezone.now() + timedelta(days=7)), "DATE_FORMAT")
    assert f"You will not hear of this until {until}" in said.content.decode()
    with organization_scope(alerted.id):
        muted = AlertMute.objects.get()
    assert muted.rule == AlertRule.TOKENS_EXHAUSTED
    assert "Unmute" in text_of(alice_s, "alerts/mine/")
    alice_s.post(f"/o/alpha/alerts/mutes/{muted.id}/end/")
    assert "Nothing is muted" in text_of(alice_s, "alerts/mine/")


def test_levels(alice_s: Client, alerted: Organization) -> None:
    form = {"levels": "50, 90%", "error_run": "5", "burn_score": "4", "rules": list(AlertRule.values)[1:]}
    assert alice_s.post("/o/alpha/alerts/rules/", form).status_code == HTTPStatus.FOUND
    with organization_scope(alerted.id):
        changed = settings_of(alerted.id)
    assert (changed.levels, changed.error_run, changed.rules_off) == ([50, 90], 5, [AlertRule.values[0]])
    for wrong in ("", "eighty", "0", "101", "1,2,3,4,5,6,7,8,9,10,11"):
        assert alice_s.post("/o/alpha/alerts/rules/", form | {"levels": wrong}).status_code == HTTPStatus.OK


def test_preferences(alice_s: Client) -> None:
    form = {
        "pool_used-inbox": "on",
        "quiet_from": "22:00",
        "quiet_until": "07:00",
        "time_zone": "Asia/Shanghai",
        "digest_at": "09:30",
        "daily_digest": "on",
    }
    assert alice_s.post("/o/alpha/alerts/mine/", form).status_code == HTTPStatus.FOUND
    page = text_of(alice_s, "alerts/mine/")
    assert 'value="22:00"' in page
    assert 'value="Asia/Shanghai" selected' in page
    assert page.count(" checked") == 2, "one alert in the portal, and the digest"
    assert alice_s.post("/o/alpha/alerts/mine/", form | {"quiet_until": ""}).status_code == HTTPStatus.OK


def test_an_endpoint_from_making_to_deleting(alice_s: Client, alerted: Organization) -> None:
    made = alice_s.post("/o/alpha/webhooks/new/", FORM)
    assert made.status_code == HTTPStatus.OK
    assert "tsw_" in made.content.decode()
    assert "no-store" in made["Cache-Control"]
    with organization_scope(alerted.id):
        endpoint = WebhookEndpoint.objects.get()
    path = f"webhooks/{endpoint.id}/"
    assert "ERP" in text_of(alice_s, "webhooks/")
    assert "Nothing was sent yet" in text_of(alice_s, path)
    assert "tsw_" not in text_of(alice_s, path)
    alice_s.post(f"/o/alpha/{path}test/")
    assert "test" in text_of(alice_s, path)
    with organization_scope(alerted.id):
        delivery = WebhookDelivery.objects.get()
    assert alice_s.post(f"/o/alpha/webhooks/deliveries/{delivery.id}/resend/").status_code == HTTPStatus.FOUND
    assert str(delivery.id) in text_of(alice_s, f"{path}csv/")
    assert alice_s.post(f"/o/alpha/{path}change/", FORM | {"name": "ERP 2"}).status_code == HTTPStatus.FOUND
    assert "Off" in text_of(alice_s, path), "the box was not ticked"
    assert "tsw_" in alice_s.post(f"/o/alpha/{path}rotate/").content.decode()
    alice_s.post(f"/o/alpha/{path}delete/", {"confirm_name": "wrong"})
    assert "1 delivery is deleted with it" in text_of(alice_s, path)
    alice_s.post(f"/o/alpha/{path}delete/", {"confirm_name": "ERP 2"})
    assert "No endpoint yet" in text_of(alice_s, "webhooks/")


def test_an_address_that_cannot_be_called_is_refused(alice_s: Client) -> None:
    answer = alice_s.post("/o/alpha/webhooks/new/", FORM | {"url": "https://user:pw@hooks.example/"})
    assert "This address cannot be called" in answer.content.decode()
