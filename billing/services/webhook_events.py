"""Owing an event to the organization's webhook endpoints. Nothing is sent from here."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.utils import translation
from kombu.exceptions import OperationalError as BrokerAway

from billing.alert_words import words
from billing.enums import WebhookKind
from billing.models import Alert, WebhookDelivery, WebhookEndpoint
from tenants.models import Organization

TASK = "billing.send_webhooks"
ALERT_RAISED, TEST = "alert.raised", "test"


def queue_alert(alert: Alert, organization: Organization, now: datetime) -> None:
    """Owe an alert to every enabled endpoint of its organization that wants its rule. Part of `raise_alert`."""
    for endpoint in WebhookEndpoint.objects.filter(organization_id=organization.id, enabled=True):
        if not endpoint.rules or alert.rule in endpoint.rules:
            queue_event(
                endpoint, event_id=alert.id, event_type="alert.raised", data=alert_data(alert, organization), now=now
            )


def queue_event(
    endpoint: WebhookEndpoint, *, event_id: uuid.UUID, event_type: str, data: Mapping[str, Any], now: datetime
) -> WebhookDelivery:
    """Owe an event to one endpoint, in the form that its kind asks for; sent when the transaction has committed."""
    body: dict[str, Any] = {"id": str(event_id), "type": event_type, "created_at": now.isoformat(), "data": dict(data)}
    if endpoint.kind == WebhookKind.SLACK:
        body = {"text": slack_text(data)}
    delivery = WebhookDelivery.objects.create(
        organization_id=endpoint.organization_id,
        created_at=now,
        endpoint=endpoint,
        event_id=event_id,
        event_type=event_type,
        body=body,
        tried_since=now,
        due_at=now,
    )
    transaction.on_commit(poke)
    return delivery


def alert_data(alert: Alert, organization: Organization) -> dict[str, Any]:
    """Return an alert as webhooks and the API say it: its facts, and what happened in English."""
    with translation.override("en"):
        said = words(
            rule=alert.rule,
            level=alert.level,
            subject_kind=alert.subject_kind,
            subject_id=alert.subject_id,
            subject_name=alert.subject_name,
            facts=alert.facts,
            slug=organization.slug,
        )
    return {
        "id": str(alert.id),
        "rule": alert.rule,
        "level": alert.level,
        "severity": alert.severity,
        "organization": {"id": str(organization.id), "name": organization.name},
        "subject": {"kind": alert.subject_kind, "id": str(alert.subject_id), "name": alert.subject_name},
        "period": alert.period,
        "title": said.title,
        "text": said.text,
        "url": f"{settings.BASE_URL}{said.path}",
        "created_at": alert.created_at.isoformat(),
    }


def slack_text(data: Mapping[str, Any]) -> str:
    """Return an event as one Slack message (mrkdwn); what names bring along cannot become markup or a mention."""
    title, text = (str(data[part]).translate({38: "&amp;", 60: "&lt;", 62: "&gt;"}) for part in ("title", "text"))
    return f"*{title}*\n{text}\n<{data['url']}|Open Tokensight>"


def poke() -> None:
    """Have the scheduler look at what is due now; without it the clock will."""
    try:
        current_app.send_task(TASK, queue="maintenance", ignore_result=True, retry=False, expires=60)
    except BrokerAway:
        return
