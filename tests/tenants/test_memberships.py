"""Organizations and their members: every change is checked and written down."""

from datetime import UTC, datetime

import pytest

from tenants.actors import PLATFORM, Actor, management_key_actor, user_actor
from tenants.errors import AlreadyMember, LastOwner, NotFound, OwnersOnly
from tenants.identifiers import new_id
from tenants.models import AuditEvent, Membership, Organization, Role, User
from tenants.scope import organization_scope
from tenants.services.memberships import add_member, change_role, remove_member
from tenants.services.organizations import create_organization, rename_organization
from tests.factories.tenants import make_membership, make_user

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def acting(user: User) -> Actor:
    return user_actor(user.id, user.email, "192.0.2.7")


def membership(organization: Organization, user: User) -> Membership:
    with organization_scope(organization.id):
        return Membership.objects.get(user=user)


def actions(organization: Organization) -> list[str]:
    with organization_scope(organization.id):
        return list(AuditEvent.objects.order_by("id").values_list("action", flat=True))


def test_a_new_organization_belongs_to_its_maker() -> None:
    dana = make_user("dana@dana.example")
    organization = create_organization(name="Dana's Boards", owner=dana, actor=acting(dana), now=NOW)
    assert organization.slug == "danas-boards"
    assert membership(organization, dana).role == Role.OWNER
    with organization_scope(organization.id):
        event = AuditEvent.objects.get()
    assert (event.action, event.actor_id, event.actor_name, event.ip) == (
        "organization.created",
        dana.id,
        "dana@dana.example",
        "192.0.2.7",
    )


def test_a_taken_short_name_gets_an_ending_that_tells_nothing() -> None:
    dana = make_user()
    slugs = [create_organization(name="Acme", owner=dana, actor=acting(dana), now=NOW).slug for _ in range(3)]
    assert slugs[0] == "acme"
    assert len(set(slugs)) == 3
    assert all(slug.startswith("acme-") and len(slug) == len("acme-") + 6 for slug in slugs[1:])


@pytest.mark.parametrize(
    ("name", "slug"), [("检测公司", "organization"), ("x" * 120, "x" * 48), ("--- ---", "organization")]
)
def test_every_name_has_a_short_name(name: str, slug: str) -> None:
    dana = make_user()
    assert create_organization(name=name, owner=dana, actor=acting(dana), now=NOW).slug == slug


def test_renaming_keeps_the_address(alpha: Organization, alice: User) -> None:
    with organization_scope(alpha.id):
        rename_organization(organization=alpha, name="Alpha Works", actor=acting(alice), now=NOW)
        rename_organization(organization=alpha, name="Alpha Works", actor=acting(alice), now=NOW)
        alpha.refresh_from_db()
        event = AuditEvent.objects.get()
    assert (alpha.name, alpha.slug) == ("Alpha Works", "alpha")
    assert (event.before, event.after) == ({"name": "Alpha"}, {"name": "Alpha Works"})


def test_a_member_is_added_once(alpha: Organization, alice: User, charlie: User) -> None:
    with organization_scope(alpha.id):
        add_member(organization_id=alpha.id, user=charlie, role=Role.VIEWER, actor=acting(alice), now=NOW)
        with pytest.raises(AlreadyMember):
            add_member(organization_id=alpha.id, user=charlie, role=Role.ADMIN, actor=acting(alice), now=NOW)
    assert membership(alpha, charlie).role == Role.VIEWER
    assert actions(alpha) == ["member.added"]


def test_the_last_owner_can_neither_go_nor_step_down(alpha: Organization, alice: User, bob: User) -> None:
    last = membership(alpha, alice).id
    with organization_scope(alpha.id):
        with pytest.raises(LastOwner):
            remove_member(membership_id=last, actor=acting(alice), now=NOW)
        with pytest.raises(LastOwner):
            change_role(membership_id=last, role=Role.ADMIN, actor=acting(alice), now=NOW)
        with pytest.raises(LastOwner):
            remove_member(membership_id=last, actor=PLATFORM, now=NOW)
    assert membership(alpha, alice).role == Role.OWNER
    assert not actions(alpha)


def test_an_owner_may_go_when_another_stays(alpha: Organization, alice: User, bob: User) -> None:
    with organization_scope(alpha.id):
        change_role(membership_id=membership(alpha, bob).id, role=Role.OWNER, actor=acting(alice), now=NOW)
        remove_member(membership_id=membership(alpha, alice).id, actor=acting(alice), now=NOW)
        assert [found.user for found in Membership.objects.all()] == [bob]
    assert actions(alpha) == ["member.role_changed", "member.removed"]


def test_only_an_owner_makes_or_unmakes_owners(alpha: Organization, alice: User, bob: User, charlie: User) -> None:
    admin = make_membership(alpha, role=Role.ADMIN).user
    second = make_membership(alpha, role=Role.OWNER)
    for actor in (acting(admin), acting(charlie), management_key_actor(new_id(), "CI")):
        with organization_scope(alpha.id):
            with pytest.raises(OwnersOnly):
                change_role(membership_id=membership(alpha, bob).id, role=Role.OWNER, actor=actor, now=NOW)
            with pytest.raises(OwnersOnly):
                change_role(membership_id=second.id, role=Role.VIEWER, actor=actor, now=NOW)
            with pytest.raises(OwnersOnly):
                remove_member(membership_id=second.id, actor=actor, now=NOW)
            with pytest.raises(OwnersOnly):
                add_member(organization_id=alpha.id, user=charlie, role=Role.OWNER, actor=actor, now=NOW)
    with organization_scope(alpha.id):
        change_role(membership_id=membership(alpha, bob).id, role=Role.BILLING, actor=acting(admin), now=NOW)
        change_role(membership_id=second.id, role=Role.VIEWER, actor=acting(alice), now=NOW)
    assert actions(alpha) == ["member.role_changed", "member.role_changed"]


def test_another_organization_s_member_is_out_of_reach(alpha: Organization, beta: Organization, alice: User) -> None:
    foreign = make_membership(beta).id
    with organization_scope(alpha.id):
        with pytest.raises(NotFound):
            change_role(membership_id=foreign, role=Role.VIEWER, actor=acting(alice), now=NOW)
        with pytest.raises(NotFound):
            remove_member(membership_id=foreign, actor=acting(alice), now=NOW)
    with organization_scope(beta.id):
        assert Membership.objects.filter(id=foreign, role=Role.DEVELOPER).exists()


def test_an_audit_event_cannot_be_rewritten(alpha: Organization, alice: User) -> None:
    with organization_scope(alpha.id):
        rename_organization(organization=alpha, name="Alpha Works", actor=acting(alice), now=NOW)
    for change in (lambda: AuditEvent.objects.update(action="nothing"), lambda: AuditEvent.objects.all().delete()):
        with pytest.raises(Exception, match=r"permission denied|append-only"), organization_scope(alpha.id):
            change()
