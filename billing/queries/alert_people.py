"""Who is told of an alert, how, and when. Needs the organization's scope, or the platform's."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from billing.enums import AlertChannel, AlertRule, Severity
from billing.models import Alert, AlertMute, AlertPreferences, AlertSubscription
from tenants.models import Membership, Role, User

# Without a subscription of their own, a member hears of what their role is there for, by every channel.
ADMINS = frozenset({Role.OWNER, Role.ADMIN})
ROLES_TOLD: dict[AlertRule, frozenset[Role]] = {rule: ADMINS | {Role.BILLING} for rule in AlertRule} | {
    AlertRule.SUB_TOKEN_EXPIRING: ADMINS | {Role.DEVELOPER},
    AlertRule.ERRORS_IN_A_ROW: ADMINS | {Role.DEVELOPER},
}


@dataclass(frozen=True)
class Listener:
    """A member who wants to know. Mail goes out at `mail_at` (None: no mail), or with the digest."""

    user: User
    in_inbox: bool
    mail_at: datetime | None
    for_digest: bool


def wants_by_default(role: str, rule: str) -> bool:
    """Return whether a role is told of a rule unless its member says otherwise."""
    return Role(role) in ROLES_TOLD[AlertRule(rule)]


def listeners(alert: Alert, now: datetime, *, also_told: Collection[uuid.UUID] = ()) -> list[Listener]:
    """Return the members who are to be told of an alert now: subscribed, by default or by choice, and not muted.

    `also_told` are told by default whatever their role.
    """
    organization_id = alert.organization_id
    members = Membership.objects.filter(organization_id=organization_id, user__is_active=True).select_related("user")
    chosen = {
        (user_id, channel): wanted
        for user_id, channel, wanted in AlertSubscription.objects.filter(
            organization_id=organization_id, rule=alert.rule
        ).values_list("user_id", "channel", "wanted")
    }
    preferences = {found.user_id: found for found in AlertPreferences.objects.filter(organization_id=organization_id)}
    muted = _muted(alert, now)
    found = []
    for member in members.order_by("id"):
        if member.user_id in muted:
            continue
        default = member.user_id in also_told or wants_by_default(member.role, alert.rule)
        wants = {channel: chosen.get((member.user_id, channel), default) for channel in AlertChannel.values}
        if not any(wants.values()):
            continue
        own = preferences.get(member.user_id) or AlertPreferences()
        at_once = alert.severity == Severity.CRITICAL and own.critical_passes
        waits = own.daily_digest and not at_once
        found.append(
            Listener(
                user=member.user,
                in_inbox=wants[AlertChannel.INBOX],
                mail_at=None if waits or not wants[AlertChannel.MAIL] else now if at_once else end_of_quiet(own, now),
                for_digest=waits and wants[AlertChannel.MAIL],
            )
        )
    return found


def end_of_quiet(preferences: AlertPreferences, now: datetime) -> datetime:
    """Return when a member may be written to: now, or the end of the quiet hours that `now` lies in.

    Quiet hours are local: a night in which the clocks change is as long as it is.
    """
    begins, ends = preferences.quiet_from, preferences.quiet_until
    if begins is None or ends is None or begins == ends:
        return now
    zone = ZoneInfo(preferences.time_zone)
    local = now.astimezone(zone)
    quiet = begins <= local.time() < ends if begins < ends else local.time() >= begins or local.time() < ends
    if not quiet:
        return now
    day = local.date() if local.time() < ends else local.date() + timedelta(days=1)
    return datetime.combine(day, ends, zone)


def _muted(alert: Alert, now: datetime) -> set[uuid.UUID]:
    mutes = AlertMute.objects.filter(organization_id=alert.organization_id, until__gt=now)
    return {
        mute.user_id for mute in mutes if mute.rule in {"", alert.rule} and mute.subject_id in {None, alert.subject_id}
    }
