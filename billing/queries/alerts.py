"""Alerts as people and programs look at them. Needs the organization's scope."""

from __future__ import annotations

import uuid

from django.db.models import Exists, OuterRef, QuerySet, Subquery

from billing.models import Alert, AlertNotice


def alerts(*, rule: str = "", subject_id: uuid.UUID | None = None, announced: bool | None = None) -> QuerySet[Alert]:
    """Return alerts, latest first; those of one rule, about one subject, told of or passed over, if asked."""
    found = Alert.objects.order_by("-id")
    if rule:
        found = found.filter(rule=rule)
    if subject_id is not None:
        found = found.filter(subject_id=subject_id)
    return found if announced is None else found.filter(announced=announced)


def alerts_for(user_id: uuid.UUID, *, show: str = "mine", rule: str = "") -> QuerySet[Alert]:
    """Return the alerts that a member looks at, latest first: `unread`, `mine` (in their inbox), or `all`.

    Each has `is_mine`, and `read_at` (None while unread).
    """
    mine = AlertNotice.objects.filter(user_id=user_id, in_inbox=True, alert_id=OuterRef("id"))
    found = alerts(rule=rule, announced=True).annotate(
        is_mine=Exists(mine), read_at=Subquery(mine.values("read_at")[:1])
    )
    if show == "all":
        return found
    found = found.filter(is_mine=True)
    return found.filter(read_at__isnull=True) if show == "unread" else found


def unread_count(user_id: uuid.UUID) -> int:
    """Return how many alerts in a member's inbox they have not read."""
    return AlertNotice.objects.filter(user_id=user_id, in_inbox=True, read_at__isnull=True).count()
