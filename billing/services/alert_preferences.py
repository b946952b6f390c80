"""What a member wants to be told of, how and when. Every function needs the organization's scope."""

from __future__ import annotations

import uuid
import zoneinfo
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any

from django.db import transaction

from billing.enums import AlertChannel, AlertRule
from billing.errors import AlertSettingsInvalid, EndpointUnknown
from billing.models import AlertMute, AlertPreferences, AlertSubscription
from billing.queries.alert_people import wants_by_default
from tenants.actors import Actor
from tenants.models import Membership
from tenants.services import audit

MOST_MUTES = 100
Wanted = dict[str, dict[str, bool]]


@dataclass(frozen=True)
class Choice:
    """All that a member has chosen, defaults filled in. `wanted` is rule -> channel -> yes or no."""

    wanted: Wanted
    preferences: AlertPreferences
    mutes: list[AlertMute]


def choice_of(member: Membership, *, now: datetime) -> Choice:
    """Return what a member has chosen, with the mutes that have not ended."""
    organization_id = member.organization_id
    chosen = {
        (rule, channel): wanted
        for rule, channel, wanted in AlertSubscription.objects.filter(user_id=member.user_id).values_list(
            "rule", "channel", "wanted"
        )
    }
    wanted = {
        rule: {
            channel: chosen.get((rule, channel), wants_by_default(member.role, rule)) for channel in AlertChannel.values
        }
        for rule in AlertRule.values
    }
    preferences = AlertPreferences.objects.filter(user_id=member.user_id).first()
    mutes = AlertMute.objects.filter(user_id=member.user_id, until__gt=now).order_by("until", "id")
    return Choice(
        wanted,
        preferences or AlertPreferences(organization_id=organization_id, user_id=member.user_id),
        list(mutes),
    )


def find_member(user_id: uuid.UUID) -> Membership:
    """Return a member of the organization in scope. Raises EndpointUnknown."""
    found = Membership.objects.select_related("user").filter(user_id=user_id).first()
    if found is None:
        raise EndpointUnknown("There is no such member.")
    return found


def change_choice(
    *,
    member: Membership,
    wanted: Mapping[str, Mapping[str, bool]] | None = None,
    quiet: tuple[time | None, time | None] | None = None,
    time_zone: str | None = None,
    critical_passes: bool | None = None,
    daily_digest: bool | None = None,
    digest_at: time | None = None,
    actor: Actor,
    now: datetime,
) -> Choice:
    """Change what was given, and leave the rest. `quiet` is (from, until), (None, None) for no quiet hours.

    Locks the member's preferences. Raises AlertSettingsInvalid.
    """
    with transaction.atomic():
        before = _facts(choice_of(member, now=now))
        if wanted is not None:
            _subscribe(member, wanted, now)
        AlertPreferences.objects.bulk_create(
            [AlertPreferences(organization_id=member.organization_id, user_id=member.user_id, created_at=now)],
            ignore_conflicts=True,
        )
        own = AlertPreferences.objects.select_for_update().get(user_id=member.user_id)
        if quiet is not None:
            own.quiet_from, own.quiet_until = quiet
        own.time_zone = own.time_zone if time_zone is None else time_zone
        own.critical_passes = own.critical_passes if critical_passes is None else critical_passes
        own.daily_digest = own.daily_digest if daily_digest is None else daily_digest
        own.digest_at = own.digest_at if digest_at is None else digest_at
        _check(own)
        own.save()
        found = choice_of(member, now=now)
        after = _facts(found)
        if after != before:
            audit.record(
                organization_id=member.organization_id,
                actor=actor,
                action="alert_preferences.changed",
                target_kind="user",
                target_id=member.user_id,
                before=before,
                after=after,
                now=now,
            )
    return found


def mute(
    *,
    member: Membership,
    rule: str = "",
    subject_id: uuid.UUID | None = None,
    subject_name: str = "",
    until: datetime,
    actor: Actor,
    now: datetime,
) -> AlertMute:
    """Tell a member nothing of a rule ("" for any) about a subject (None for any) until a time.

    A mute of the same is replaced. Raises AlertSettingsInvalid.
    """
    if rule and rule not in AlertRule.values:
        raise AlertSettingsInvalid("rule", "There is no such rule.")
    if until <= now:
        raise AlertSettingsInvalid("until", "The end must lie ahead.")
    with transaction.atomic():
        mine = AlertMute.objects.filter(user_id=member.user_id)
        mine.filter(rule=rule, subject_id=subject_id).delete()
        mine.filter(until__lte=now).delete()
        if mine.count() >= MOST_MUTES:
            raise AlertSettingsInvalid("rule", f"There are {MOST_MUTES} mutes already; end some of them first.")
        muted = AlertMute.objects.create(
            organization_id=member.organization_id,
            user_id=member.user_id,
            created_at=now,
            rule=rule,
            subject_id=subject_id,
            subject_name=subject_name[:200],
            until=until,
        )
        _record_mute(muted, "alert.muted", actor, now)
    return muted


def unmute(*, member: Membership, mute_id: uuid.UUID, actor: Actor, now: datetime) -> None:
    """End one of a member's mutes. Raises EndpointUnknown."""
    with transaction.atomic():
        found = AlertMute.objects.filter(user_id=member.user_id, id=mute_id).first()
        if found is None:
            raise EndpointUnknown("There is no such mute.")
        _record_mute(found, "alert.unmuted", actor, now)
        found.delete()


def time_zones() -> Iterable[str]:
    """Return the names of the time zones that this machine knows."""
    # What stands for the server's own zone, or for none, is no choice for a person.
    return sorted(zoneinfo.available_timezones() - {"localtime", "Factory"})


def _subscribe(member: Membership, wanted: Mapping[str, Mapping[str, bool]], now: datetime) -> None:
    rows = []
    for rule, channels in wanted.items():
        for channel, yes in channels.items():
            if rule not in AlertRule.values or channel not in AlertChannel.values:
                raise AlertSettingsInvalid("subscriptions", "There is no such rule or channel.")
            rows.append((rule, channel, yes))
    for rule, channel, yes in rows:
        AlertSubscription.objects.update_or_create(
            organization_id=member.organization_id,
            user_id=member.user_id,
            rule=rule,
            channel=channel,
            defaults={"wanted": yes},
            create_defaults={"wanted": yes, "created_at": now},
        )


def _check(own: AlertPreferences) -> None:
    if (own.quiet_from is None) != (own.quiet_until is None):
        raise AlertSettingsInvalid("quiet_until", "Give both ends of the quiet hours, or none.")
    if own.time_zone not in zoneinfo.available_timezones():
        raise AlertSettingsInvalid("time_zone", "There is no such time zone.")


def _facts(choice: Choice) -> dict[str, Any]:
    own = choice.preferences
    off = [
        f"{rule}:{channel}" for rule, channels in choice.wanted.items() for channel, yes in channels.items() if not yes
    ]
    return {
        "not_wanted": off,
        "quiet_from": own.quiet_from.isoformat("minutes") if own.quiet_from else None,
        "quiet_until": own.quiet_until.isoformat("minutes") if own.quiet_until else None,
        "time_zone": own.time_zone,
        "critical_passes": own.critical_passes,
        "daily_digest": own.daily_digest,
        "digest_at": own.digest_at.isoformat("minutes"),
    }


def _record_mute(muted: AlertMute, action: str, actor: Actor, now: datetime) -> None:
    audit.record(
        organization_id=muted.organization_id,
        actor=actor,
        action=action,
        target_kind="user",
        target_id=muted.user_id,
        after={"rule": muted.rule, "subject": muted.subject_name, "until": muted.until.isoformat()},
        now=now,
    )
