"""A member's inbox of alerts. Every function needs the organization's scope, and touches that member's notices only."""

from __future__ import annotations

import uuid
from datetime import datetime

from billing.models import AlertNotice


def mark_read(*, user_id: uuid.UUID, alert_id: uuid.UUID, read: bool, now: datetime) -> bool:
    """Mark an alert in a member's inbox as read or unread; return whether it is there."""
    mine = AlertNotice.objects.filter(user_id=user_id, alert_id=alert_id, in_inbox=True)
    return mine.update(read_at=now if read else None) == 1


def mark_all_read(*, user_id: uuid.UUID, now: datetime) -> int:
    """Mark everything in a member's inbox as read, and return how many were not."""
    return AlertNotice.objects.filter(user_id=user_id, in_inbox=True, read_at__isnull=True).update(read_at=now)
