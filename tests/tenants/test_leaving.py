"""Deleting one's own account."""

from __future__ import annotations

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.db import transaction
from django.test import Client
from django.utils import timezone

from tenants.errors import LastOwner
from tenants.models import AuditEvent, ManagementKey, Membership, Organization, Role, User
from tenants.scope import organization_scope, platform_scope
from tenants.services.leaving import delete_person, owned_alone
from tests.factories.rows import Rows, tenant_models
from tests.factories.second_factors import give_app
from tests.factories.tenants import PASSWORD, make_membership
from tests.tenants.confirming import confirmed

pytestmark = pytest.mark.django_db


def delete(user: User) -> None:
    delete_person(user=user, ip=None, now=timezone.now())


def test_who_is_deleted_is_known_no_more(alpha: Organization, bob: User) -> None:
    give_app(bob)
    with organization_scope(alpha.id):
        key = ManagementKey.objects.create(
            organization=alpha, name="CI", prefix="tsm_", secret_hash="0" * 64, scopes=[], created_by=bob
        )
    browser = Client()
    browser.post("/accounts/login/", {"login": bob.email, "password": PASSWORD})
    delete(bob)
    for model in (User, EmailAddress, Authenticator, UserSession):
        field = "id" if model is User else "user_id"
        assert not model.objects.filter(**{field: bob.id}).exists()
    with organization_scope(alpha.id):
        assert Membership.objects.count() == 1
        assert ManagementKey.objects.get(id=key.id).created_by is None
        assert list(AuditEvent.objects.values_list("action", "actor_name")) == [("member.deleted_account", bob.email)]


def test_rows_of_every_table_let_a_person_go(alpha: Organization) -> None:
    with platform_scope("test data"):
        rows = Rows(alpha)
        for model in tenant_models():
            rows[model]
        persons = [row for row in rows._made.values() if isinstance(row, User)] or list(User.objects.all())
    second = make_membership(alpha, role=Role.OWNER).user
    for person in persons:
        if person != second:
            delete(person)
    assert User.objects.filter(id=second.id).exists()
    transaction.set_rollback(True)  # the rows are no ledger, which deferred constraints would say


def test_the_last_owner_stays_and_so_does_everything_of_theirs(
    alpha: Organization, beta: Organization, alice: User
) -> None:
    make_membership(beta, alice, Role.VIEWER)
    assert owned_alone(alice) == [alpha]
    with pytest.raises(LastOwner):
        delete(alice)
    with platform_scope("look"):
        assert Membership.objects.filter(user=alice).count() == 2, "all or nothing"
    page = confirmed(alice).get("/account/delete/").content.decode()
    assert "/o/alpha/closing/" in page
    assert "data-open-dialog" not in page


def test_the_page_asks_for_password_and_address(bob: User) -> None:
    client = Client()
    client.force_login(bob)
    assert client.post("/account/delete/", {"confirm_name": bob.email})["Location"].startswith(
        "/accounts/reauthenticate/"
    )
    client = confirmed(bob)
    client.post("/account/delete/", {"confirm_name": "somebody"})
    assert User.objects.filter(id=bob.id).exists()
    assert client.post("/account/delete/", {"confirm_name": bob.email})["Location"] == "/"
    assert not User.objects.filter(id=bob.id).exists()
    assert "_auth_user_id" not in client.session
