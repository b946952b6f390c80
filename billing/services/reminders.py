"""Reminding people, 7 days and 1 day before, that a sub-token ends.

Each row says when its next reminder is due; whoever is first to lock it then raises the alert and writes down the time
of the next in one transaction. So a reminder comes exactly once, and anew when the sub-token is extended. What a
scheduler that stood still has missed comes as one reminder, the last.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from billing.enums import AlertRule
from billing.models import SubToken
from billing.services.alerts import raise_alert
from tenants.models import User
from tenants.scope import platform_scope

REMIND_BEFORE = (timedelta(days=7), timedelta(days=1))
# So many in one transaction: what is left comes with the next round.
AT_ONCE = 200


def next_reminder(expires_at: datetime, now: datetime) -> datetime | None:
    """Return when somebody is to be reminded next that a sub-token ends; None when all those times are past.

    A life that is set shorter than a reminder's lead brings that reminder not late, but not at all.
    """
    return next((expires_at - lead for lead in REMIND_BEFORE if expires_at - lead > now), None)


def remind_of_ends(now: datetime) -> int:
    """Raise an alert for each sub-token that ends soon, told to whoever made it too, and return how many.

    For the scheduler, through the platform's door. Locks the sub-tokens; those that somebody else has locked wait for
    the next round.
    """
    with platform_scope("remind of sub-tokens that end"):
        due = list(
            SubToken.objects.filter(next_reminder_at__lte=now)
            .order_by("next_reminder_at")
            .select_for_update(skip_locked=True, no_key=True)[:AT_ONCE]
        )
        return sum(_remind(sub_token, now) for sub_token in due)


def _remind(sub_token: SubToken, now: datetime) -> bool:
    sub_token.next_reminder_at = next_reminder(sub_token.expires_at, now)
    sub_token.save(update_fields=["next_reminder_at"])
    if sub_token.revoked_at is not None or sub_token.expires_at <= now:
        return False
    days = next(lead.days for lead in reversed(REMIND_BEFORE) if sub_token.expires_at - lead <= now)
    return raise_alert(
        organization_id=sub_token.organization_id,
        rule=AlertRule.SUB_TOKEN_EXPIRING,
        subject_kind="sub_token",
        subject_id=sub_token.id,
        level=None,
        period=f"{days} days before {sub_token.expires_at.isoformat()}",
        facts={"expires_at": sub_token.expires_at},
        also_told=set(User.objects.filter(email=sub_token.created_by).values_list("id", flat=True)),
        now=now,
        subject_name=sub_token.name,
    )
