"""Webhooks over real connections: signed, retried, never to where they must not lead."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from billing.enums import AlertRule, DeliveryStatus, WebhookKind
from billing.errors import AddressRefused, EndpointUnknown, TooManyEndpoints
from billing.gateways import webhooks as gateway
from billing.models import WebhookDelivery, WebhookEndpoint
from billing.services import webhooks
from billing.services.alerts import raise_alert
from tenants.actors import PLATFORM
from tenants.models import AuditEvent, Organization
from tenants.scope import organization_scope, platform_scope
from tests.concurrency.racing import race
from tests.factories.tenants import make_organization
from tests.ports import free_port
from tests.receiving import Receiver
from tests.tenants.outbox.test_sending import Clock

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
PATIENCE_SECONDS = 60.0


@pytest.fixture
def organization(committed_db: None) -> Organization:
    return make_organization("Alpha")


@pytest.fixture(autouse=True)
def _no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy machine answer late: only who is meant to hang is hung up on."""
    monkeypatch.setattr(gateway, "CONNECT_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(gateway, "DEADLINE_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().running() as receiver:
        yield receiver


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make_endpoint(organization: Organization, url: str, **fields: Any) -> tuple[WebhookEndpoint, str]:
    with organization_scope(organization.id):
        values = {"name": "ERP", "kind": WebhookKind.SIGNED, "url": url, "actor": PLATFORM, "now": NOW} | fields
        return webhooks.create_endpoint(organization_id=organization.id, **values)


def raise_one(organization: Organization, rule: AlertRule = AlertRule.TOKENS_EXHAUSTED, period: str = "1") -> None:
    with organization_scope(organization.id):
        assert raise_alert(
            organization_id=organization.id,
            rule=rule,
            subject_kind="organization",
            subject_id=organization.id,
            level=100,
            period=period,
            facts={"used_mtok": 1, "whole_mtok": 1},
            now=NOW,
        )


def deliveries() -> list[WebhookDelivery]:
    with platform_scope("look"):
        return list(WebhookDelivery.objects.order_by("id"))


def test_an_alert_is_delivered_once_and_signed(organization: Organization, receiver: Receiver, clock: Clock) -> None:
    _endpoint, secret = make_endpoint(organization, receiver.url)
    raise_one(organization)
    assert [webhooks.send_due_webhooks(clock=clock), webhooks.send_due_webhooks(clock=clock)] == [1, 0]
    (call,) = receiver.received
    assert call.is_signed_with(secret)
    assert not call.is_signed_with(secret + "x"), "the control: another secret does not verify"
    assert f"t={int(NOW.timestamp())}," in call.headers["Tokensight-Signature"]
    assert call.path == "/hooks?from=tokensight"
    (delivery,) = deliveries()
    assert call.json["id"] == call.headers["Tokensight-Event-Id"] == str(delivery.event_id)
    assert call.json["type"] == "alert.raised"
    assert call.json["data"]["rule"] == "tokens_exhausted"
    assert call.json["data"]["title"] == "Alpha has no Tokens left"
    assert delivery.status == DeliveryStatus.DELIVERED
    assert delivery.log[0]["status"] == 200
    assert delivery.log[0]["excerpt"] == "thanks"


def test_a_receiver_that_fails_and_then_works(organization: Organization, receiver: Receiver, clock: Clock) -> None:
    make_endpoint(organization, receiver.url)
    receiver.statuses = [500, 503, 200]
    raise_one(organization)
    waits = []
    while deliveries()[0].status == DeliveryStatus.QUEUED:
        webhooks.send_due_webhooks(clock=clock)
        waits.append((deliveries()[0].due_at - clock.now).total_seconds())
        clock.now = max(clock.now, deliveries()[0].due_at)
    assert 8 <= waits[0] <= 10
    assert 32 <= waits[1] <= 40
    (delivery,) = deliveries()
    assert [entry["status"] for entry in delivery.log] == [500, 503, 200]
    assert len({call.json["id"] for call in receiver.received}) == 1, "a receiver can tell that it is the same event"
    clock.passes(days=4)
    assert webhooks.send_due_webhooks(clock=clock) == 0
    assert len(receiver.received) == 3


def test_a_receiver_that_is_away_is_given_up_after_three_days(organization: Organization, clock: Clock) -> None:
    make_endpoint(organization, f"http://127.0.0.1:{free_port()}/")
    raise_one(organization)
    while deliveries()[0].status == DeliveryStatus.QUEUED:
        webhooks.send_due_webhooks(clock=clock)
        clock.now = max(clock.now + timedelta(seconds=1), deliveries()[0].due_at)
    (delivery,) = deliveries()
    assert delivery.status == DeliveryStatus.FAILED
    assert timedelta(days=3) < clock.now - NOW < timedelta(days=3, hours=7)
    assert 10 < delivery.attempts < 40
    assert "ConnectionRefusedError" in delivery.log[-1]["error"]
    with organization_scope(organization.id):
        webhooks.resend(delivery_id=delivery.id, actor=PLATFORM, now=clock.now)
    assert deliveries()[0].status == DeliveryStatus.QUEUED


def test_two_senders_at_once_call_once(organization: Organization, receiver: Receiver, clock: Clock) -> None:
    make_endpoint(organization, receiver.url)
    for number in range(6):
        raise_one(organization, period=str(number))
    race([lambda: webhooks.send_due_webhooks(clock=clock)] * 4)
    while webhooks.send_due_webhooks(clock=clock):
        pass
    assert len(receiver.received) == len({call.json["id"] for call in receiver.received}) == 6


def test_without_the_lease_two_senders_would_call_twice(
    organization: Organization, receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control."""
    make_endpoint(organization, receiver.url)
    raise_one(organization)
    receiver.gate.clear()
    monkeypatch.setattr(webhooks, "LEASE", timedelta(0))
    send = [lambda: webhooks.send_due_webhooks(clock=clock)]
    senders = [threading.Thread(target=race, args=(send,)) for _ in range(2)]
    for sender in senders:
        sender.start()
        assert receiver.arrivals.acquire(timeout=PATIENCE_SECONDS), "the second sender has what the first is sending"
    # The same, and no more of it before either has an answer: afterwards it may be anybody's again.
    assert len({call.json["id"] for call in receiver.received}) == 1
    assert len(receiver.received) == 2
    receiver.gate.set()
    for sender in senders:
        sender.join()


def test_an_endpoint_that_hangs_delays_its_own_deliveries_only(
    organization: Organization, receiver: Receiver, clock: Clock
) -> None:
    with Receiver().running() as slow:
        slow.gate.clear()
        make_endpoint(organization, slow.url, name="slow")
        raise_one(organization, period="1")
        raise_one(organization, period="2")
        hanging = threading.Thread(target=lambda: race([lambda: webhooks.send_due_webhooks(clock=clock)]))
        hanging.start()
        assert slow.arrivals.acquire(timeout=PATIENCE_SECONDS)
        make_endpoint(organization, receiver.url, name="quick")
        raise_one(organization, period="3")
        assert webhooks.send_due_webhooks(clock=clock) == 1
        assert (len(slow.received), len(receiver.received)) == (1, 1)
        slow.gate.set()
        hanging.join()


def test_slack_gets_one_line_that_names_cannot_break(
    organization: Organization, receiver: Receiver, clock: Clock
) -> None:
    with organization_scope(organization.id):
        Organization.objects.update(name="<!channel> & Co")
    make_endpoint(organization, receiver.url, kind=WebhookKind.SLACK)
    raise_one(organization)
    webhooks.send_due_webhooks(clock=clock)
    (call,) = receiver.received
    assert set(call.json) == {"text"}
    assert "&lt;!channel&gt; &amp; Co has no Tokens left" in call.json["text"]
    assert "<!channel>" not in call.json["text"]
    assert "Tokensight-Signature" not in call.headers


def test_an_endpoint_gets_what_it_asked_for(organization: Organization, receiver: Receiver, clock: Clock) -> None:
    make_endpoint(organization, receiver.url, rules=[AlertRule.UNUSUAL_BURN])
    endpoint, _ = make_endpoint(organization, receiver.url, name="off")
    with organization_scope(organization.id):
        webhooks.change_endpoint(endpoint_id=endpoint.id, enabled=False, actor=PLATFORM, now=NOW)
    raise_one(organization)
    assert deliveries() == []


def test_after_a_rotation_both_secrets_verify_for_a_day(
    organization: Organization, receiver: Receiver, clock: Clock
) -> None:
    endpoint, old = make_endpoint(organization, receiver.url)
    with organization_scope(organization.id):
        _, new, _ = webhooks.rotate_secret(endpoint_id=endpoint.id, actor=PLATFORM, now=NOW)
    raise_one(organization)
    webhooks.send_due_webhooks(clock=clock)
    clock.passes(hours=24)
    raise_one(organization, period="2")
    webhooks.send_due_webhooks(clock=clock)
    in_grace, after = receiver.received
    assert (in_grace.is_signed_with(old), in_grace.is_signed_with(new)) == (True, True)
    assert (after.is_signed_with(old), after.is_signed_with(new)) == (False, True)


def test_secrets_are_not_readable_in_the_database(organization: Organization, receiver: Receiver) -> None:
    _, secret = make_endpoint(organization, receiver.url)
    with platform_scope("look"):
        assert secret not in str(WebhookEndpoint.objects.values().get())
        assert secret not in str(list(AuditEvent.objects.values()))


def test_a_test_reaches_an_endpoint_that_is_off(organization: Organization, receiver: Receiver, clock: Clock) -> None:
    endpoint, secret = make_endpoint(organization, receiver.url)
    with organization_scope(organization.id):
        webhooks.change_endpoint(endpoint_id=endpoint.id, enabled=False, actor=PLATFORM, now=NOW)
        webhooks.send_test(endpoint_id=endpoint.id, actor=PLATFORM, now=NOW)
    assert webhooks.send_due_webhooks(clock=clock) == 1
    assert receiver.received[0].json["type"] == "test"
    assert receiver.received[0].is_signed_with(secret)


def test_a_redirect_is_not_followed(organization: Organization, receiver: Receiver, clock: Clock) -> None:
    with Receiver().running() as inside:
        receiver.statuses, receiver.location = [302], inside.url
        make_endpoint(organization, receiver.url)
        raise_one(organization)
        assert webhooks.send_due_webhooks(clock=clock) == 0
        assert inside.received == []
    assert deliveries()[0].log[0]["error"] == "answered 302"


INSIDE = [
    "127.0.0.1",
    "127.8.8.8",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[fe80::1]",
    "[fc00::1]",
    "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
]


@pytest.mark.parametrize("host", INSIDE)
def test_in_production_no_address_inside_is_called(host: str, settings: Settings) -> None:
    settings.WEBHOOKS_ANYWHERE = False
    with pytest.raises(AddressRefused):
        gateway.check_address(f"https://{host}/hook")
    assert "not public" in gateway.post(f"https://{host}/hook", b"{}", {}).error


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/x",
        "ftp://hooks.example/x",
        "https://user:secret@hooks.example/",
        "https:///x",
        "https://hooks.example:0/",
        "https://hooks.example:99999/",
        "https://hooks.example/\r\nX: y",
        "https://hooks.example/" + "x" * 500,
        "javascript:alert(1)",
    ],
)
def test_in_production_no_other_address_is_taken(url: str, settings: Settings) -> None:
    settings.WEBHOOKS_ANYWHERE = False
    with pytest.raises(AddressRefused):
        gateway.check_address(url)


@pytest.mark.parametrize("address", ["127.0.0.1", "2130706433", "0x7f000001", "017700000001"])
def test_a_name_that_leads_inside_is_refused_when_it_is_looked_up(
    address: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when only one of its addresses is inside, and however an address is spelled."""
    settings.WEBHOOKS_ANYWHERE = False
    real = socket.getaddrinfo

    def answer(host: str, port: int, **options: Any) -> Any:
        found = real(address, port, **options)
        return [*found, *real("93.184.216.34", port, **options)] if host == "rebound.example" else found

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    for host in ("rebound.example", address):
        assert "not public" in gateway.post(f"https://{host}/", b"{}", {}).error


def test_the_connection_goes_to_the_address_that_was_looked_at(
    receiver: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that answers differently the second time gains nothing: it is asked once."""
    settings.WEBHOOKS_ANYWHERE = True
    port = int(receiver.url.split(":")[2].split("/")[0])
    asked = []
    real = socket.getaddrinfo

    def answer(host: str, *arguments: Any, **options: Any) -> Any:
        if host == "rebound.example":
            asked.append(host)
            return real("127.0.0.1" if len(asked) == 1 else "10.0.0.1", *arguments, **options)
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    assert gateway.post(f"http://rebound.example:{port}/", b"{}", {}).status == 200
    assert asked == ["rebound.example"]
    assert receiver.received[0].headers["Host"] == f"rebound.example:{port}"


def test_whoever_answers_too_slowly_is_hung_up_on(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver.gate.clear()
    monkeypatch.setattr(gateway, "DEADLINE_SECONDS", 0.3)
    answer = gateway.post(receiver.url, b"{}", {})
    assert (answer.status, answer.excerpt) == (None, "")
    assert answer.error
    assert not receiver.gate.is_set(), "nobody has let it answer"


def test_an_outsider_touches_no_endpoint(organization: Organization, receiver: Receiver) -> None:
    endpoint, _ = make_endpoint(organization, receiver.url)
    beta = make_organization("Beta")
    acts = (
        lambda: webhooks.change_endpoint(endpoint_id=endpoint.id, name="mine", actor=PLATFORM, now=NOW),
        lambda: webhooks.rotate_secret(endpoint_id=endpoint.id, actor=PLATFORM, now=NOW),
        lambda: webhooks.send_test(endpoint_id=endpoint.id, actor=PLATFORM, now=NOW),
        lambda: webhooks.delete_endpoint(endpoint_id=endpoint.id, actor=PLATFORM, now=NOW),
    )
    for act in acts:
        with pytest.raises(EndpointUnknown), organization_scope(beta.id):
            act()


def test_endpoints_are_bounded(organization: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MOST_ENDPOINTS", 1)
    make_endpoint(organization, "https://hooks.example/")
    with pytest.raises(TooManyEndpoints):
        make_endpoint(organization, "https://hooks.example/")
