"""A mail is owed exactly once, and only if what it tells of was committed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, transaction

from tenants.languages import language_of
from tenants.models import MailStatus, Organization, OutboxMail, Role, User
from tenants.queries.people import admins_of, billing_people_of
from tenants.scope import organization_scope, platform_scope
from tenants.services.outbox import forget_old_mail, queue_mail, queue_mail_to, try_again
from tests.concurrency.racing import race
from tests.factories.tenants import make_membership, make_organization, make_user

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def queue(organization: Organization | None, key: str = "k", to: str = "alice@alpha.example") -> bool:
    organization_id = organization.id if organization else None
    return queue_mail(
        organization_id=organization_id,
        to=to,
        kind="probe",
        context={"n": 1},
        dedupe_key=key,
        language="en",
        now=NOW,
    )


def test_a_key_is_one_mail_however_often_it_is_queued(alpha: Organization) -> None:
    with organization_scope(alpha.id):
        assert [queue(alpha), queue(alpha), queue(alpha, to="other@alpha.example"), queue(alpha, "k2")] == [
            True,
            False,
            False,
            True,
        ]
        assert OutboxMail.objects.count() == 2


def test_organizations_do_not_share_keys(alpha: Organization, beta: Organization) -> None:
    for organization in (alpha, beta):
        with organization_scope(organization.id):
            assert queue(organization)
            assert OutboxMail.objects.count() == 1


def test_an_outsider_queues_nothing_for_another_organization(alpha: Organization, beta: Organization) -> None:
    with pytest.raises(DatabaseError, match="row-level security"), organization_scope(alpha.id):
        queue(beta)


def test_a_person_s_own_mail_is_the_platform_s_and_owed_once_too(alpha: Organization) -> None:
    with organization_scope(alpha.id):
        assert [queue(None), queue(None)] == [True, False]
        assert not OutboxMail.objects.exists()
        assert queue(alpha), "the scope is the organization's again"
    with platform_scope("look"):
        assert OutboxMail.objects.filter(organization=None).count() == 1


def test_what_was_rolled_back_is_not_told_of(alpha: Organization) -> None:
    with organization_scope(alpha.id):
        with transaction.atomic():
            assert queue(alpha)
            transaction.set_rollback(True)
        assert queue(alpha)


def test_racing_transactions_owe_one_mail(committed_db: None) -> None:
    organization = make_organization("Alpha")

    def queue_it() -> bool:
        with organization_scope(organization.id):
            return queue(organization)

    assert race([queue_it] * 8) == {True: 1, False: 7}


def test_each_person_is_written_to_in_their_own_language(alpha: Organization, alice: User, bob: User) -> None:
    bob.language = "zh-hans"
    people = [alice, bob]
    with organization_scope(alpha.id):
        for expected in (2, 0):
            told = queue_mail_to(people, organization_id=alpha.id, kind="p", context={}, dedupe_key="k", now=NOW)
            assert told == expected
        found = dict(OutboxMail.objects.values_list("recipient", "language"))
    assert found == {alice.email: "en", bob.email: "zh-hans"}
    assert language_of(User(language="klingon")) == "en"


def test_who_is_told(alpha: Organization, alice: User, bob: User) -> None:
    admin = make_membership(alpha, make_user("admin@alpha.example"), Role.ADMIN).user
    billing = make_membership(alpha, make_user("money@alpha.example"), Role.BILLING).user
    make_membership(alpha, make_user("gone@alpha.example", is_active=False), Role.ADMIN)
    make_organization("Elsewhere")
    with organization_scope(alpha.id):
        assert admins_of(alpha.id) == [admin, alice]
        assert billing_people_of(alpha.id) == [admin, alice, billing]
    with platform_scope("look"):
        assert admins_of(alpha.id) == [admin, alice]


def test_mails_are_forgotten_after_90_days(alpha: Organization) -> None:
    with organization_scope(alpha.id):
        queue(alpha)
    assert forget_old_mail(NOW + timedelta(days=90)) == 0
    assert forget_old_mail(NOW + timedelta(days=90, seconds=1)) == 1


def test_staff_can_try_a_mail_again_but_not_send_it_twice(alpha: Organization) -> None:
    with organization_scope(alpha.id):
        queue(alpha)
        mail = OutboxMail.objects.get()
        OutboxMail.objects.update(status=MailStatus.FAILED, attempts=7)
    assert try_again(mail_id=mail.id, now=NOW + timedelta(days=4))
    with platform_scope("look"):
        mail.refresh_from_db()
        assert (mail.status, mail.attempts) == (MailStatus.QUEUED, 0)
        OutboxMail.objects.update(status=MailStatus.SENT)
    assert not try_again(mail_id=mail.id, now=NOW)
