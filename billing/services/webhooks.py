"""The organization's webhook endpoints, and sending what is owed to them.

Management functions need the organization's scope. Sending goes through the platform's door: a delivery is claimed for
a while (a lease), sent outside of any transaction, and its fate is written. One that was accepted just before its
sender died goes out again with the same `id`, by which receivers recognise it.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from billing.enums import AlertRule, DeliveryStatus, WebhookKind
from billing.errors import EndpointUnknown, TooManyEndpoints
from billing.gateways import webhooks as gateway
from billing.models import WebhookDelivery, WebhookEndpoint
from billing.services.webhook_events import TEST, poke, queue_event
from tenants.actors import Actor
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import platform_scope
from tenants.sealing import seal, unseal
from tenants.secrets import SecretKind, new_secret
from tenants.services import audit

log = structlog.get_logger(__name__)

MOST_ENDPOINTS = 20
# After a rotation both secrets sign for so long.
GRACE = timedelta(hours=24)
LEASE = timedelta(minutes=2)
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=10), timedelta(hours=6)
GIVEN_UP_AFTER = timedelta(days=3)
KEPT = timedelta(days=90)
ATTEMPTS_KEPT = 20
DELIVERIES_AT_ONCE = 100


def create_endpoint(
    *,
    organization_id: uuid.UUID,
    name: str,
    kind: str,
    url: str,
    rules: Sequence[str] = (),
    actor: Actor,
    now: datetime,
) -> tuple[WebhookEndpoint, str]:
    """Make an endpoint; return it and its signing secret, which must be shown now ("" for Slack, which takes none).

    `rules` are the alerts it wants, none means all. Raises AddressRefused, TooManyEndpoints.
    """
    gateway.check_address(url)
    if WebhookEndpoint.objects.count() >= MOST_ENDPOINTS:
        raise TooManyEndpoints(f"An organization has at most {MOST_ENDPOINTS} endpoints.")
    secret = new_secret(SecretKind.WEBHOOK) if kind == WebhookKind.SIGNED else ""
    with transaction.atomic():
        endpoint = WebhookEndpoint.objects.create(
            organization_id=organization_id,
            created_at=now,
            name=name,
            kind=kind,
            url=url,
            rules=_known(rules),
            sealed_secret=seal(secret) if secret else "",
            created_by=actor.name or str(actor),
        )
        _record(endpoint, "webhook_endpoint.created", actor, now, after=_facts(endpoint))
    return endpoint, secret


def change_endpoint(
    *,
    endpoint_id: uuid.UUID,
    name: str | None = None,
    url: str | None = None,
    rules: Sequence[str] | None = None,
    enabled: bool | None = None,
    actor: Actor,
    now: datetime,
) -> WebhookEndpoint:
    """Change what was given. Turned on again, it gets what waits. Locks it. Raises EndpointUnknown, AddressRefused."""
    if url is not None:
        gateway.check_address(url)
    with transaction.atomic():
        endpoint = find_endpoint(endpoint_id, locked=True)
        before = _facts(endpoint)
        endpoint.name = endpoint.name if name is None else name
        endpoint.url = endpoint.url if url is None else url
        endpoint.rules = endpoint.rules if rules is None else _known(rules)
        endpoint.enabled = endpoint.enabled if enabled is None else enabled
        after = _facts(endpoint)
        if after != before:
            endpoint.resting_until = None
            endpoint.save(update_fields=["name", "url", "rules", "enabled", "resting_until"])
            _record(endpoint, "webhook_endpoint.changed", actor, now, before=before, after=after)
            transaction.on_commit(poke)
    return endpoint


def delete_endpoint(*, endpoint_id: uuid.UUID, actor: Actor, now: datetime) -> int:
    """Delete an endpoint with all its deliveries, and return how many these were. Raises EndpointUnknown."""
    with transaction.atomic():
        endpoint = find_endpoint(endpoint_id, locked=True)
        deleted, _ = WebhookDelivery.objects.filter(endpoint=endpoint).delete()
        _record(endpoint, "webhook_endpoint.deleted", actor, now, before={**_facts(endpoint), "deliveries": deleted})
        endpoint.delete()
    return deleted


def rotate_secret(*, endpoint_id: uuid.UUID, actor: Actor, now: datetime) -> tuple[WebhookEndpoint, str, bool]:
    """Give an endpoint a new signing secret; for 24 hours the one before signs along. Locks the endpoint.

    Returns the endpoint, the secret to show, and whether there is one: Slack's addresses are not signed. Raises
    EndpointUnknown.
    """
    with transaction.atomic():
        endpoint = find_endpoint(endpoint_id, locked=True)
        if endpoint.kind != WebhookKind.SIGNED:
            return endpoint, "", False
        secret = new_secret(SecretKind.WEBHOOK)
        endpoint.sealed_previous, endpoint.sealed_secret = endpoint.sealed_secret, seal(secret)
        endpoint.previous_ends_at = now + GRACE
        endpoint.save(update_fields=["sealed_previous", "sealed_secret", "previous_ends_at"])
        _record(endpoint, "webhook_endpoint.rotated", actor, now, after={"name": endpoint.name})
    return endpoint, secret, True


def send_test(*, endpoint_id: uuid.UUID, actor: Actor, now: datetime) -> WebhookDelivery:
    """Owe an endpoint an event of type `test`, enabled or not. Raises EndpointUnknown."""
    with transaction.atomic():
        endpoint = find_endpoint(endpoint_id)
        organization = Organization.objects.get(id=endpoint.organization_id)
        data = {
            "title": f"Test from {organization.name}",
            "text": f"{actor.name or 'Somebody'} asked Tokensight to call this address. Nothing has happened.",
            "url": f"{settings.BASE_URL}/o/{organization.slug}/webhooks/{endpoint.id}/",
        }
        delivery = queue_event(endpoint, event_id=new_id(), event_type=TEST, data=data, now=now)
        _record(endpoint, "webhook_endpoint.tested", actor, now, after={"name": endpoint.name})
    return delivery


def resend(*, delivery_id: uuid.UUID, actor: Actor, now: datetime) -> WebhookDelivery:
    """Owe a delivery once more, same `id` and body, whatever became of it. Locks it. Raises EndpointUnknown."""
    with transaction.atomic():
        delivery = (
            WebhookDelivery.objects.select_for_update(of=("self",))
            .select_related("endpoint")
            .filter(id=delivery_id)
            .first()
        )
        if delivery is None:
            raise EndpointUnknown("There is no such delivery.")
        delivery.status, delivery.tried_since, delivery.due_at, delivery.attempts = DeliveryStatus.QUEUED, now, now, 0
        delivery.save(update_fields=["status", "tried_since", "due_at", "attempts"])
        WebhookEndpoint.objects.filter(id=delivery.endpoint_id).update(resting_until=None)
        _record(delivery.endpoint, "webhook_endpoint.resent", actor, now, after={"event": str(delivery.event_id)})
        transaction.on_commit(poke)
    return delivery


def find_endpoint(endpoint_id: uuid.UUID, *, locked: bool = False) -> WebhookEndpoint:
    """Return an endpoint of the organization in scope. Raises EndpointUnknown."""
    endpoints = WebhookEndpoint.objects.filter(id=endpoint_id)
    found = (endpoints.select_for_update() if locked else endpoints).first()
    if found is None:
        raise EndpointUnknown("There is no such endpoint.")
    return found


def send_due_webhooks(*, clock: Callable[[], datetime] = timezone.now, stop: Callable[[], bool] = lambda: False) -> int:
    """Call the endpoints for what is due, oldest first; return how many deliveries were accepted.

    Through the platform's door; call it outside of a transaction. Any number of senders may run at once: an endpoint
    has one call at a time, so one that hangs delays its own deliveries only. What fails is due again after 10 s, 40 s,
    160 s ... 6 h (each shortened by up to a fifth, so that not all come at once), for 3 days; meanwhile the endpoint's
    other deliveries wait too.
    """
    accepted = 0
    for _ in range(DELIVERIES_AT_ONCE):
        delivery = None if stop() else _claim(clock())
        if delivery is None:
            break
        accepted += _deliver(delivery, clock)
    return accepted


def is_webhook_due(now: datetime) -> bool:
    """Return whether a delivery could be sent now. Through the platform's door."""
    with platform_scope("look for webhook deliveries"):
        return _due(now).exists()


def forget_old_deliveries(now: datetime) -> int:
    """Delete deliveries older than 90 days, and return how many. Through the platform's door."""
    with platform_scope("forget old webhook deliveries"):
        return WebhookDelivery.objects.filter(created_at__lt=now - KEPT).delete()[0]


def _due(now: datetime) -> Any:
    busy = WebhookDelivery.objects.filter(claimed_until__gt=now).values("endpoint_id")
    ready = Q(endpoint__resting_until__isnull=True) | Q(endpoint__resting_until__lte=now)
    return (
        WebhookDelivery.objects.filter(ready, status=DeliveryStatus.QUEUED, due_at__lte=now)
        .filter(Q(endpoint__enabled=True) | Q(event_type=TEST))
        .exclude(endpoint_id__in=busy)
        .order_by("due_at", "id")
    )


def _claim(now: datetime) -> WebhookDelivery | None:
    """Have one delivery, and with it its endpoint, alone until the lease ends."""
    with platform_scope("send a webhook"):
        # The endpoint's lock decides between two senders that find it idle in the same moment.
        found = _due(now).select_related("endpoint").select_for_update(skip_locked=True, of=("self", "endpoint"))
        delivery: WebhookDelivery | None = found.first()
        if delivery is None or _is_busy(delivery.endpoint_id, now):
            return None
        delivery.attempts += 1
        delivery.claimed_until = now + LEASE
        delivery.save(update_fields=["attempts", "claimed_until"])
    return delivery


def _is_busy(endpoint_id: uuid.UUID, now: datetime) -> bool:
    return WebhookDelivery.objects.filter(endpoint_id=endpoint_id, claimed_until__gt=now).exists()


def _deliver(delivery: WebhookDelivery, clock: Callable[[], datetime]) -> bool:
    endpoint, now = delivery.endpoint, clock()
    body = orjson.dumps(delivery.body)
    headers = {"Content-Type": "application/json", "User-Agent": "Tokensight-Webhooks/1"}
    if endpoint.kind == WebhookKind.SIGNED:
        headers["Tokensight-Event-Id"] = str(delivery.event_id)
        headers[gateway.SIGNATURE] = gateway.signature(_secrets(endpoint, now), body, int(now.timestamp()))
    answer = gateway.post(endpoint.url, body, headers)
    _write_down(delivery, answer, began=now, now=clock())
    return answer.accepted


def _secrets(endpoint: WebhookEndpoint, now: datetime) -> list[str]:
    sealed = [endpoint.sealed_secret]
    if endpoint.previous_ends_at is not None and endpoint.previous_ends_at > now and endpoint.sealed_previous:
        sealed.append(endpoint.sealed_previous)
    return [unseal(secret) for secret in sealed]


def _write_down(delivery: WebhookDelivery, answer: gateway.Answer, *, began: datetime, now: datetime) -> None:
    entry = {
        "at": began.isoformat(),
        "status": answer.status,
        "took_ms": answer.took_ms,
        "error": answer.error,
        "excerpt": answer.excerpt,
    }
    with platform_scope("a webhook was sent"):
        # A lease that ran out, or a resend meanwhile, has made it another attempt's.
        mine = WebhookDelivery.objects.select_for_update().filter(id=delivery.id, attempts=delivery.attempts)
        found = mine.filter(status=DeliveryStatus.QUEUED).first()
        if found is None:
            return
        found.log = [*found.log, entry][-ATTEMPTS_KEPT:]
        found.claimed_until = None
        resting_until = None
        if answer.accepted:
            found.status, found.delivered_at = DeliveryStatus.DELIVERED, now
        elif now - found.tried_since > GIVEN_UP_AFTER:
            found.status = DeliveryStatus.FAILED
        else:
            wait = min(FIRST_WAIT * 4 ** min(found.attempts - 1, 10), LONGEST_WAIT)
            resting_until = found.due_at = now + wait * random.uniform(0.8, 1.0)  # noqa: S311 it spreads the load
        found.save(update_fields=["log", "claimed_until", "status", "delivered_at", "due_at"])
        WebhookEndpoint.objects.filter(id=delivery.endpoint_id).exclude(resting_until=resting_until).update(
            resting_until=resting_until
        )


def _known(rules: Sequence[str]) -> list[str]:
    return sorted({AlertRule(rule).value for rule in rules})


def _facts(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return {
        "name": endpoint.name,
        "kind": endpoint.kind,
        "url": endpoint.url,
        "rules": endpoint.rules,
        "enabled": endpoint.enabled,
    }


def _record(
    endpoint: WebhookEndpoint,
    action: str,
    actor: Actor,
    now: datetime,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    audit.record(
        organization_id=endpoint.organization_id,
        actor=actor,
        action=action,
        target_kind="webhook_endpoint",
        target_id=endpoint.id,
        before=before,
        after=after,
        now=now,
    )
