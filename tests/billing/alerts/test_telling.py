"""Who is told of an alert, how, when and in which language."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from threading import Barrier
from uuid import uuid4

import pytest
from django.utils import translation

from billing.alert_words import words
from billing.enums import AlertRule
from billing.models import Alert, AlertNotice
from billing.services import alert_preferences as preferences
from billing.services.alert_inbox import mark_all_read, mark_read
from billing.services.alerts import forget_old_alerts, raise_alert, raise_levels
from billing.services.digests import send_digests
from tenants.actors import PLATFORM
from tenants.models import Organization, OutboxMail, Role, User
from tenants.scope import organization_scope, platform_scope
from tenants.services.outbox import _plain
from tests.concurrency.racing import race
from tests.factories.tenants import make_membership, make_organization, make_user

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def ring(
    organization: Organization,
    *,
    rule: AlertRule = AlertRule.POOL_USED,
    level: int | None = 80,
    period: str = "1",
    now: datetime = NOW,
    subject_id: object = None,
) -> bool:
    with organization_scope(organization.id):
        return raise_alert(
            organization_id=organization.id,
            rule=rule,
            subject_kind="team",
            subject_id=subject_id or organization.id,
            subject_name="Line 1",
            level=level,
            period=period,
            facts={"used_mtok": 800, "whole_mtok": 1000},
            now=now,
        )


def mails() -> list[tuple[str, datetime]]:
    with platform_scope("look"):
        return list(OutboxMail.objects.order_by("created_at", "recipient", "id").values_list("recipient", "due_at"))


def inbox(user: User) -> int:
    with platform_scope("look"):
        return AlertNotice.objects.filter(user=user, in_inbox=True).count()


def choose(organization: Organization, user: User, **values: object) -> None:
    with organization_scope(organization.id):
        member = preferences.find_member(user.id)
        preferences.change_choice(member=member, **values, actor=PLATFORM, now=NOW)  # type: ignore[arg-type]


def test_an_alert_is_raised_once_per_level_and_period(alpha: Organization) -> None:
    assert [ring(alpha), ring(alpha), ring(alpha, level=95), ring(alpha, period="2")] == [True, False, True, True]
    assert len(mails()) == 3


def test_racing_workers_raise_one(committed_db: None) -> None:
    organization = make_organization("Alpha")
    assert race([lambda: ring(organization)] * 8) == {True: 1, False: 7}
    assert len(mails()) == 1
    with platform_scope("look"):
        assert Alert.objects.count() == AlertNotice.objects.count() == 1


def test_look_up_then_create_would_raise_several(committed_db: None) -> None:
    """The negative control: what others do (openmeter) instead of one unique key."""
    organization = make_organization("Alpha")
    looked = Barrier(8)
    assert race([lambda: looked_up(organization, looked)] * 8) == {True: 8}


def looked_up(organization: Organization, looked: Barrier) -> bool:
    with organization_scope(organization.id):
        found = Alert.objects.filter(rule=AlertRule.POOL_USED).exists()
        looked.wait(timeout=60)
        if found:
            return False
        Alert.objects.create(
            organization=organization,
            rule=AlertRule.POOL_USED,
            subject_kind="team",
            subject_id=uuid4(),
            level=80,
            severity="warning",
            facts={},
        )
        return True


def test_several_levels_at_once_are_one_mail(alpha: Organization, alice: User) -> None:
    with organization_scope(alpha.id):
        raise_levels(
            organization_id=alpha.id,
            rule=AlertRule.POOL_USED,
            subject_kind="team",
            subject_id=alpha.id,
            subject_name="Line 1",
            levels=[100, 80, 95],
            period="1",
            facts={"used_mtok": 1000, "whole_mtok": 1000},
            now=NOW,
        )
        assert list(Alert.objects.order_by("level").values_list("level", "announced")) == [
            (80, False),
            (95, False),
            (100, True),
        ]
    assert mails() == [(alice.email, NOW)]
    assert inbox(alice) == 1


def test_roles_are_told_of_what_they_are_there_for(alpha: Organization, alice: User, bob: User) -> None:
    money = make_membership(alpha, make_user("money@alpha.example"), Role.BILLING).user
    make_membership(alpha, make_user("viewer@alpha.example"), Role.VIEWER)
    ring(alpha)
    assert [to for to, _ in mails()] == [alice.email, money.email]
    ring(alpha, rule=AlertRule.ERRORS_IN_A_ROW)
    assert sorted(to for to, _ in mails()) == sorted([alice.email, money.email, alice.email, bob.email])


def test_members_choose_for_themselves(alpha: Organization, alice: User, bob: User) -> None:
    choose(alpha, alice, wanted={AlertRule.POOL_USED: {"mail": False}})
    choose(alpha, bob, wanted={AlertRule.POOL_USED: {"mail": True}})
    ring(alpha)
    assert [to for to, _ in mails()] == [bob.email]
    assert (inbox(alice), inbox(bob)) == (1, 0)


def test_somebody_who_left_is_told_nothing(alpha: Organization, alice: User, bob: User) -> None:
    choose(alpha, bob, wanted={AlertRule.POOL_USED: {"mail": True}})
    with organization_scope(alpha.id):
        preferences.find_member(bob.id).delete()
    ring(alpha)
    assert [to for to, _ in mails()] == [alice.email]


@pytest.mark.parametrize(
    ("now", "comes"),
    [
        ("2026-11-21T20:59:59+00:00", "2026-11-21T20:59:59+00:00"),
        ("2026-11-21T21:00:00+00:00", "2026-11-22T06:00:00+00:00"),
        ("2026-11-22T03:00:00+00:00", "2026-11-22T06:00:00+00:00"),
        ("2026-11-22T06:00:00+00:00", "2026-11-22T06:00:00+00:00"),
        # The night of 29 March 2026, in which clocks go forward: 07:00 is one hour nearer.
        ("2026-03-28T23:00:00+00:00", "2026-03-29T05:00:00+00:00"),
    ],
)
def test_quiet_hours_are_in_the_member_s_time_zone(alpha: Organization, alice: User, now: str, comes: str) -> None:
    choose(alpha, alice, quiet=(time(22), time(7)), time_zone="Europe/Berlin")
    ring(alpha, now=datetime.fromisoformat(now))
    assert mails() == [(alice.email, datetime.fromisoformat(comes))]
    assert inbox(alice) == 1


def test_what_is_critical_wakes_unless_it_may_not(alpha: Organization, alice: User) -> None:
    night = datetime(2026, 11, 21, 23, 0, tzinfo=UTC)
    choose(alpha, alice, quiet=(time(22), time(7)))
    ring(alpha, level=100, now=night)
    choose(alpha, alice, critical_passes=False)
    ring(alpha, level=100, period="2", now=night)
    assert [due for _, due in mails()] == [night, datetime(2026, 11, 22, 7, 0, tzinfo=UTC)]


def test_a_digest_is_one_mail_a_day_at_its_hour(alpha: Organization, alice: User) -> None:
    choose(alpha, alice, daily_digest=True, digest_at=time(8), time_zone="Asia/Shanghai")
    morning = datetime(2026, 11, 21, 23, 59, tzinfo=UTC)
    ring(alpha, now=NOW)
    assert send_digests(now=NOW) == 1, "16:00 in Shanghai: the hour has passed"
    ring(alpha, period="2", now=NOW)
    ring(alpha, period="3", now=NOW)
    assert send_digests(now=NOW) == 0
    assert send_digests(now=morning) == 0, "07:59 in Shanghai"
    assert [send_digests(now=morning + timedelta(minutes=1)) for _ in range(3)] == [1, 0, 0]
    with platform_scope("look"):
        found = list(OutboxMail.objects.order_by("created_at"))
        assert [mail.kind for mail in found] == ["alert_digest"] * 2
        assert [len(mail.context["alerts"]) for mail in found] == [1, 2]
    ring(alpha, level=100, now=NOW)
    assert len(mails()) == 3, "what is critical does not wait for the digest"


def test_two_schedulers_send_one_digest(committed_db: None) -> None:
    organization = make_organization("Alpha", owner=(owner := make_user()))
    choose(organization, owner, daily_digest=True)
    ring(organization)
    assert race([lambda: send_digests(now=NOW)] * 4)[1] == 1
    assert len(mails()) == 1


def test_a_mute_ends_by_itself_and_by_hand(alpha: Organization, alice: User) -> None:
    other = uuid4()
    with organization_scope(alpha.id):
        member = preferences.find_member(alice.id)
        muted = preferences.mute(
            member=member,
            rule=AlertRule.POOL_USED,
            subject_id=alpha.id,
            until=NOW + timedelta(days=1),
            actor=PLATFORM,
            now=NOW,
        )
    ring(alpha, period="muted")
    assert (mails(), inbox(alice)) == ([], 0)
    ring(alpha, period="another subject", subject_id=other)
    ring(alpha, rule=AlertRule.UNUSUAL_BURN, level=None)
    ring(alpha, period="later", now=NOW + timedelta(days=1))
    assert len(mails()) == 3
    with organization_scope(alpha.id):
        preferences.unmute(member=member, mute_id=muted.id, actor=PLATFORM, now=NOW)
    ring(alpha, period="again")
    assert len(mails()) == 4


def test_reading(alpha: Organization, alice: User, bob: User) -> None:
    ring(alpha)
    ring(alpha, period="2")
    with organization_scope(alpha.id):
        alert = Alert.objects.first()
        assert alert
        assert mark_read(user_id=alice.id, alert_id=alert.id, read=True, now=NOW)
        assert not mark_read(user_id=bob.id, alert_id=alert.id, read=True, now=NOW), "it is not in Bob's inbox"
        assert mark_all_read(user_id=bob.id, now=NOW) == 0
        assert [mark_all_read(user_id=alice.id, now=NOW) for _ in range(2)] == [1, 0]


def test_alerts_are_forgotten_after_a_year(alpha: Organization) -> None:
    ring(alpha)
    assert forget_old_alerts(NOW + timedelta(days=365)) == 0
    assert forget_old_alerts(NOW + timedelta(days=366)) == 1


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("rule", list(AlertRule))
def test_every_rule_has_words_and_a_mail(alpha: Organization, rule: AlertRule, language: str) -> None:
    facts = {
        "used_mtok": 800,
        "whole_mtok": 1000,
        "limit": "day",
        "resets_at": "2026-11-22T00:00:00+00:00",
        "expires_at": "2026-11-28T00:00:00+00:00",
        "remaining_mtok": 200,
        "failures": 10,
        "burned_mtok": 50_000,
        "usual_mtok": 9_000,
    }
    alert = {
        "rule": rule,
        "level": 80,
        "subject_kind": "sub_token",
        "subject_id": str(alpha.id),
        "subject_name": "100% <Line>",
        "facts": facts,
        "slug": alpha.slug,
    }
    with translation.override(language):
        for variant in ({}, {"level": 100}, {"facts": {**facts, "refused": True}}):
            said = words(**{**alert, **variant})
            assert all([said.title, said.happened, said.todo, said.button])
            assert "。 " not in said.text, "Chinese sentences stand without a space between them"
            assert said.text.startswith(said.happened)
            assert said.text.endswith(said.todo)
            assert "%(" not in " ".join([said.title, said.happened, said.todo])
            assert said.path.startswith(f"/o/{alpha.slug}/")
        context = {"alert": alert, "organization": "Alpha", "base_url": "https://portal.example"}
        assert "[Alpha]" in _plain("mail/alert.subject.txt", context)
        text = _plain("mail/alert.txt", context)
        assert f"https://portal.example{said.path}" in text
        assert "100% <Line>" in text or rule in {AlertRule.GRANT_USED, AlertRule.GRANT_EXPIRING} or "Line" in text


def test_a_limit_that_never_begins_anew_is_not_waited_for(alpha: Organization) -> None:
    facts = {"used_mtok": 800, "whole_mtok": 1000, "limit": "total", "resets_at": None}
    for refused in ({}, {"refused": True}):
        said = words(
            rule=AlertRule.LIMIT_USED, level=100, subject_kind="sub_token", subject_id=alpha.id, subject_name="Line",
            facts=facts | refused, slug=alpha.slug,
        )  # fmt: skip
        assert "begins anew" not in said.happened
        assert said.todo.startswith("Raise the limit")
        assert (said.button, said.path) == ("Open the limits", f"/o/{alpha.slug}/limits/")
