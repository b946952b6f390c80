"""The scope of a transaction decides which organization's rows exist."""

import pytest
from django.db import ProgrammingError, connection, transaction

from tenants.models import Membership, Organization, Role, Team, User
from tenants.scope import organization_scope, platform_scope, user_scope

pytestmark = pytest.mark.django_db


@pytest.fixture
def organizations() -> tuple[Organization, Organization]:
    with platform_scope("test data"):
        both = tuple(Organization.objects.create(name=name, slug=name.lower()) for name in ("Alpha", "Beta"))
        for organization in both:
            Team.objects.create(organization=organization, name="Line 1")
    return both


def test_no_scope_means_no_rows(organizations: tuple[Organization, Organization]) -> None:
    assert not Team.objects.exists()
    assert not Organization.objects.exists()


def test_a_scope_shows_its_own_rows_only(organizations: tuple[Organization, Organization]) -> None:
    alpha, beta = organizations
    with organization_scope(alpha.id):
        assert [team.organization_id for team in Team.objects.all()] == [alpha.id]
        with organization_scope(beta.id):
            assert [team.organization_id for team in Team.objects.all()] == [beta.id]
        assert [team.organization_id for team in Team.objects.all()] == [alpha.id]
    assert not Team.objects.exists()


def test_a_row_for_another_tenant_is_refused(organizations: tuple[Organization, Organization]) -> None:
    alpha, beta = organizations
    with pytest.raises(ProgrammingError, match="row-level security"), organization_scope(alpha.id):
        Team.objects.create(organization=beta, name="Intruder")


def test_a_person_sees_the_organizations_they_belong_to(organizations: tuple[Organization, Organization]) -> None:
    alpha, _ = organizations
    user = User.objects.create_user("alice@alpha.example")
    with platform_scope("test data"):
        Membership.objects.create(organization=alpha, user=user, role=Role.OWNER)
    with user_scope(user.id):
        assert list(Organization.objects.all()) == [alpha]
        assert not Team.objects.exists()


def test_the_platform_door_closes_behind_itself(organizations: tuple[Organization, Organization]) -> None:
    with platform_scope("test"):
        assert Team.objects.count() == 2
    assert not Team.objects.exists()


def test_a_transaction_of_its_own_closes_the_door_when_it_ends(committed_db: None) -> None:
    with platform_scope("test data"):
        organization = Organization.objects.create(name="Alpha", slug="alpha")
        Team.objects.create(organization=organization, name="Line 1")
    assert not Team.objects.exists()
    with organization_scope(organization.id):
        assert Team.objects.count() == 1
    assert not Team.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, current_setting('tokensight.org_id', true)")
        assert cursor.fetchone() == ("tokensight_app", "")


def test_an_error_leaves_no_scope_behind(organizations: tuple[Organization, Organization]) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic(), platform_scope("test"):
        raise ZeroDivisionError
    assert not Team.objects.exists()


def test_the_runtime_role_owns_nothing_and_cannot_bypass() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper OR rolbypassrls OR EXISTS (SELECT FROM pg_class WHERE relowner = r.oid)"
            " FROM pg_roles r WHERE rolname = current_user"
        )
        assert cursor.fetchone() == (False,)
