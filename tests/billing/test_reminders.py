"""Whoever made a sub-token, and the admins, are reminded 7 days and 1 day before it ends, once each."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import Alert, SubToken
from billing.services.reminders import next_reminder, remind_of_ends
from billing.services.sub_token_life import change_sub_token, revoke_sub_token, suspend_sub_tokens
from billing.services.sub_tokens import create_sub_token
from tenants.actors import Actor, user_actor
from tenants.models import Organization, OutboxMail, Role, User
from tenants.scope import organization_scope, platform_scope
from tests.concurrency.racing import race
from tests.factories.billing import make_wallet
from tests.factories.tenants import make_membership, make_user

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def create(alpha: Organization, maker: User, now: datetime, *, life: timedelta) -> SubToken:
    make_wallet(alpha)
    with organization_scope(alpha.id):
        return create_sub_token(
            organization_id=alpha.id, name="Line 1", mtok=0, expires_at=now + life, actor=actor(maker), now=now
        ).sub_token


def actor(user: User) -> Actor:
    return user_actor(user.id, user.email)


def mails() -> list[str]:
    with platform_scope("test"):
        return sorted(OutboxMail.objects.values_list("recipient", flat=True))


def test_a_reminder_a_week_before_and_one_the_day_before(alpha: Organization, alice: User, now: datetime) -> None:
    create(alpha, alice, now, life=30 * DAY)
    told = [(days, remind_of_ends(now + days * DAY)) for days in range(31)]
    assert [days for days, count in told if count] == [23, 29]
    assert mails() == ["alice@alpha.example"] * 2
    with organization_scope(alpha.id):
        assert {alert.facts["expires_at"][:10] for alert in Alert.objects.all()} == {f"{now + 30 * DAY:%Y-%m-%d}"}


def test_whoever_made_it_is_told_whatever_their_role_is_now(alpha: Organization, alice: User, now: datetime) -> None:
    maker, other = make_user("maker@alpha.example"), make_user("other@alpha.example")
    for viewer in (maker, other):
        make_membership(alpha, viewer, Role.VIEWER)
    create(alpha, maker, now, life=30 * DAY)
    remind_of_ends(now + 23 * DAY)
    assert mails() == ["alice@alpha.example", "maker@alpha.example"]


def test_somebody_who_has_left_is_not_told(alpha: Organization, alice: User, charlie: User, now: datetime) -> None:
    create(alpha, charlie, now, life=30 * DAY)
    remind_of_ends(now + 23 * DAY)
    assert mails() == ["alice@alpha.example"]


@pytest.mark.parametrize(("life", "reminders"), [(3 * DAY, 1), (timedelta(hours=2), 0), (8 * DAY, 2)])
def test_a_short_life_brings_only_what_lies_ahead(
    alpha: Organization, alice: User, now: datetime, life: timedelta, reminders: int
) -> None:
    create(alpha, alice, now, life=life)
    for hours in range(0, 8 * 24, 6):
        remind_of_ends(now + timedelta(hours=hours))
    assert len(mails()) == reminders


def test_a_scheduler_that_stood_still_says_it_once(alpha: Organization, alice: User, now: datetime) -> None:
    create(alpha, alice, now, life=30 * DAY)
    assert remind_of_ends(now + 29.5 * DAY) == 1
    assert remind_of_ends(now + 29.6 * DAY) == 0
    assert len(mails()) == 1


def test_one_that_ended_meanwhile_is_past_reminding(alpha: Organization, alice: User, now: datetime) -> None:
    create(alpha, alice, now, life=30 * DAY)
    assert remind_of_ends(now + 31 * DAY) == 0
    assert mails() == []


def test_an_extended_one_is_reminded_of_anew(alpha: Organization, alice: User, now: datetime) -> None:
    sub_token = create(alpha, alice, now, life=30 * DAY)
    remind_of_ends(now + 23 * DAY)
    with organization_scope(alpha.id):
        change_sub_token(
            sub_token_id=sub_token.id,
            changes={"expires_at": now + 60 * DAY},
            actor=actor(alice),
            now=now + 24 * DAY,
        )
    assert remind_of_ends(now + 29 * DAY) == 0
    assert remind_of_ends(now + 53 * DAY) == 1
    assert len(mails()) == 2


def test_a_suspended_one_is_reminded_of_and_a_revoked_one_not(alpha: Organization, alice: User, now: datetime) -> None:
    suspended, revoked = (create(alpha, alice, now, life=30 * DAY) for _ in range(2))
    with organization_scope(alpha.id):
        suspend_sub_tokens(sub_token_ids=[suspended.id], actor=actor(alice), now=now)
        revoke_sub_token(sub_token_id=revoked.id, actor=actor(alice), now=now)
    assert remind_of_ends(now + 23 * DAY) == 1
    with organization_scope(alpha.id):
        assert Alert.objects.get().subject_id == suspended.id


@pytest.mark.parametrize(("ahead", "lead"), [(30 * DAY, 7), (7 * DAY, 1), (2 * DAY, 1), (DAY, None), (-DAY, None)])
def test_the_next_reminder(now: datetime, ahead: timedelta, lead: int | None) -> None:
    assert next_reminder(now + ahead, now) == (None if lead is None else now + ahead - lead * DAY)


@pytest.mark.concurrency
@pytest.mark.usefixtures("committed_db")
def test_two_schedulers_say_it_once(alpha: Organization, alice: User) -> None:
    now = timezone.now()
    for _ in range(10):
        create(alpha, alice, now, life=30 * DAY)

    def remind() -> Any:
        return remind_of_ends(now + 23 * DAY)

    found = race([remind] * 4)
    assert sum(count * times for count, times in found.items()) == 10
    assert len(mails()) == 10
