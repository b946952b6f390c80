"""Raising alerts, exactly once, and telling whoever wants to know.

An alert is a row whose key is its rule, subject, level and period. Whoever writes it first tells of it, in the same
transaction: into members' inboxes, as mails into the outbox, and as deliveries to webhook endpoints. Nothing is sent
from here, so nothing that is away can lose or double it.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django.db.models import Model

from billing.enums import AlertRule, Severity
from billing.models import Account, Alert, AlertNotice, AlertSettings, Grant, SubToken
from billing.queries.alert_people import Listener, listeners
from billing.services.webhook_events import queue_alert
from tenants.identifiers import new_id
from tenants.languages import language_of
from tenants.models import Organization, Team
from tenants.scope import platform_scope
from tenants.services.outbox import queue_mail

FULL = 100
KEPT = timedelta(days=365)
MODEL_OF_SUBJECT: dict[str, type[Model]] = {
    "sub_token": SubToken,
    "team": Team,
    "organization": Organization,
    "account": Account,
}
CRITICAL_RULES = frozenset({AlertRule.TOKENS_EXHAUSTED, AlertRule.PAYMENT_DISPUTED, AlertRule.DEBT_INCURRED})

INSERT = """
INSERT INTO billing_alert (id, org_id, created_at, rule, subject_kind, subject_id, subject_name, level, period,
    severity, facts, announced)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""


def raise_alert(
    *,
    organization_id: uuid.UUID,
    rule: str,
    subject_kind: str,
    subject_id: uuid.UUID,
    level: int | None,
    period: str,
    facts: Mapping[str, Any],
    now: datetime,
    subject_name: str = "",
    also_told: Collection[uuid.UUID] = (),
) -> bool:
    """Raise an alert and tell of it, unless it was raised before; return whether it is new.

    Exactly once per organization, rule (an AlertRule), subject, level (percent, or None) and period (any text; "" for
    what happens once in the subject's life), also when two transactions race: one waits for the other. `facts` are what
    `billing.alert_words` says of the rule. `subject_kind` is grant, sub_token, team, organization, payment or account;
    `subject_name` is looked up when it is not given. `also_told` are members who are told by default whatever their
    role; they can unsubscribe as everybody. Told of if and only if the surrounding transaction commits. Needs
    the organization's scope, or the platform's.
    """
    return raise_levels(
        organization_id=organization_id,
        rule=rule,
        subject_kind=subject_kind,
        subject_id=subject_id,
        levels=[level],
        period=period,
        facts=facts,
        now=now,
        subject_name=subject_name,
        also_told=also_told,
    )


def raise_levels(
    *,
    organization_id: uuid.UUID,
    rule: str,
    subject_kind: str,
    subject_id: uuid.UUID,
    levels: Sequence[int | None],
    period: str,
    facts: Mapping[str, Any],
    now: datetime,
    subject_name: str = "",
    also_told: Collection[uuid.UUID] = (),
) -> bool:
    """Raise one alert for several levels that were passed at once; return whether the highest is new.

    Every level is recorded, and one message is sent: the highest says all. Otherwise as `raise_alert`.
    """
    rule = AlertRule(rule)
    if rule in rules_off(organization_id):
        return False
    name = subject_name or _name_of(subject_kind, subject_id)
    *passed, highest = sorted(levels, key=lambda level: level or 0)
    with transaction.atomic():
        alert = Alert(
            id=new_id(),
            organization_id=organization_id,
            created_at=now,
            rule=rule,
            subject_kind=subject_kind,
            subject_id=subject_id,
            subject_name=name[:200],
            level=highest,
            period=period,
            severity=Severity.CRITICAL if highest == FULL or rule in CRITICAL_RULES else Severity.WARNING,
            facts=dict(facts),
        )
        for level in passed:
            _insert(alert, alert_id=new_id(), level=level, announced=False)
        new = _insert(alert, alert_id=alert.id, level=highest, announced=True)
        if new:
            alert.refresh_from_db(fields=["facts"])
            _tell(alert, also_told, now)
    return new


def rules_off(organization_id: uuid.UUID) -> set[str]:
    """Return the rules that the organization does not want."""
    found = AlertSettings.objects.filter(organization_id=organization_id).first()
    return set(found.rules_off) if found else set()


def forget_old_alerts(now: datetime) -> int:
    """Delete alerts older than a year with their notices, and return how many. Through the platform's door."""
    with platform_scope("forget old alerts"):
        old = Alert.objects.filter(created_at__lt=now - KEPT)
        AlertNotice.objects.filter(alert__in=old).delete()
        return old.delete()[0]


def _insert(alert: Alert, *, alert_id: uuid.UUID, level: int | None, announced: bool) -> bool:
    facts = DjangoJSONEncoder(ensure_ascii=False).encode(alert.facts)
    with connection.cursor() as cursor:
        cursor.execute(
            INSERT,
            [
                alert_id,
                alert.organization_id,
                alert.created_at,
                alert.rule,
                alert.subject_kind,
                alert.subject_id,
                alert.subject_name,
                level,
                alert.period,
                alert.severity,
                facts,
                announced,
            ],
        )
        return cursor.rowcount == 1


def _tell(alert: Alert, also_told: Collection[uuid.UUID], now: datetime) -> None:
    organization = Organization.objects.get(id=alert.organization_id)
    told = listeners(alert, now, also_told=also_told)
    AlertNotice.objects.bulk_create(
        AlertNotice(
            organization_id=alert.organization_id,
            created_at=now,
            user=listener.user,
            alert=alert,
            in_inbox=listener.in_inbox,
            for_digest=listener.for_digest,
        )
        for listener in told
        if listener.in_inbox or listener.for_digest
    )
    for listener in told:
        if listener.mail_at is not None:
            _mail(alert, organization, listener, now)
    queue_alert(alert, organization, now)


def _mail(alert: Alert, organization: Organization, listener: Listener, now: datetime) -> None:
    queue_mail(
        organization_id=alert.organization_id,
        to=listener.user.email,
        kind="alert",
        context={"organization": organization.name, "alert": told_alert(alert, organization)},
        dedupe_key=f"alert:{alert.id}:{listener.user.id}",
        language=language_of(listener.user),
        now=now,
        due_at=listener.mail_at,
    )


def told_alert(alert: Alert, organization: Organization) -> dict[str, Any]:
    """Return what `billing.alert_words.words` needs, as JSON can say it."""
    return {
        "rule": alert.rule,
        "level": alert.level,
        "subject_kind": alert.subject_kind,
        "subject_id": str(alert.subject_id),
        "subject_name": alert.subject_name,
        "facts": alert.facts,
        "slug": organization.slug,
    }


def _name_of(subject_kind: str, subject_id: uuid.UUID) -> str:
    """Return what people call a subject now."""
    if subject_kind == "grant":
        grant = Grant.objects.filter(id=subject_id).first()
        return (grant.reason or grant.reference or str(grant.id)[-12:]) if grant else ""
    found = MODEL_OF_SUBJECT[subject_kind]._default_manager.filter(pk=subject_id).first()
    return str(found) if found else ""
