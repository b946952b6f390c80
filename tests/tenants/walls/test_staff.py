"""The staff console does not exist for anybody but staff, and staff leave a trace wherever they look."""

from __future__ import annotations

from http import HTTPStatus
from uuid import uuid4

import pytest
from django.test import Client

from billing.models import CodeSet
from portal.staff.acts import ACTS
from tenants.models import AuditEvent, Membership, Organization, User
from tenants.scope import organization_scope
from tests.factories.payments import make_stripe_event
from tests.factories.rows import Rows, tenant_models
from tests.factories.second_factors import give_app
from tests.factories.tenants import make_membership, make_user
from tests.tenants.routes import Route, staff_routes
from tests.tenants.walls.asking import answer, fingerprint

pytestmark = pytest.mark.django_db

ROUTES = [pytest.param(route, id=route.pattern) for route in staff_routes()]


@pytest.fixture
def ours(rows: tuple[Rows, Rows]) -> Rows:
    """A row of each table for Alpha."""
    return rows[0]


@pytest.fixture
def staff(db: None) -> User:
    user = make_user("sam@tokensight.example", is_staff=True)
    give_app(user)
    return user


def path_to(route: Route, rows: Rows) -> str:
    values = {
        "organization_id": rows.organization.id,
        "membership_id": rows[Membership].pk,
        "code_set_id": rows[CodeSet].pk,
        "act": "freeze",
        "target_id": uuid4(),
        "event_id": make_stripe_event().id,
    }
    return route.path(**{name: values[name] for name in route.arguments()})


def test_every_page_has_the_door() -> None:
    doors = {route.pattern: getattr(route.view, "staff_door", None) for route in staff_routes()}
    assert [pattern for pattern, door in doors.items() if door is None] == [], "put @staff_page and the like first"
    about_one = {pattern for pattern in doors if "organization_id" in pattern}
    assert {pattern for pattern, door in doors.items() if door in {"organization", "act"}} == about_one


@pytest.mark.parametrize("route", ROUTES)
def test_a_page_is_not_there_for_anybody_else(route: Route, ours: Rows, alpha: Organization, alice: User) -> None:
    path = path_to(route, ours)
    developer = make_membership(alpha).user
    before = fingerprint(alpha)
    left = make_user("former@tokensight.example", is_staff=True)
    give_app(left)
    left.is_active = False
    left.save()
    without_factor = make_user("hasty@tokensight.example", is_staff=True)
    give_app(alice)
    for person in (None, alice, developer, left, without_factor):
        browser = Client()
        if person is not None:
            browser.force_login(person)
        unreal = browser.get("/no-such-page/")
        for response in (browser.get(path), browser.post(path, {"confirmed": "1", "reason": "x" * 20})):
            assert response.status_code == HTTPStatus.NOT_FOUND
            assert answer(response, path) == answer(unreal, "/no-such-page/")
    assert fingerprint(alpha) == before


@pytest.mark.parametrize("route", ROUTES)
def test_a_look_is_in_the_organization_s_log(route: Route, ours: Rows, alpha: Organization, staff: User) -> None:
    if getattr(route.view, "staff_door", "") != "organization":
        return
    browser = Client()
    browser.force_login(staff)
    response = browser.get(path_to(route, ours))
    assert response.status_code == HTTPStatus.OK
    with organization_scope(alpha.id):
        event = AuditEvent.objects.get(action="staff.looked")
    assert (event.actor_kind, event.actor_id, event.actor_name) == ("staff", staff.id, staff.email)


@pytest.mark.parametrize("route", ROUTES)
def test_staff_see_the_page(route: Route, ours: Rows, staff: User) -> None:
    browser = Client()
    browser.force_login(staff)
    response = browser.get(path_to(route, ours))
    if response.status_code == HTTPStatus.NOT_FOUND:
        assert "target_id" in route.pattern, "freezing has no target"
    else:
        assert response.status_code in {HTTPStatus.OK, HTTPStatus.METHOD_NOT_ALLOWED}


@pytest.mark.parametrize("name", sorted(ACTS))
def test_an_act_reaches_into_no_other_organization(
    name: str, ours: Rows, alpha: Organization, beta: Organization, staff: User
) -> None:
    """What belongs to Alpha is not there under Beta's address, not even for staff."""
    if not ACTS[name].has_target:
        return
    before = fingerprint(alpha)
    browser = Client()
    browser.force_login(staff)
    for model in tenant_models():
        path = f"/staff/organizations/{beta.id}/acts/{name}/{ours[model].pk}/"
        form = {"reason": "A mistake of the address", "key": str(uuid4()), "confirmed": "1"}
        assert browser.post(path, form).status_code == HTTPStatus.NOT_FOUND
    assert fingerprint(alpha) == before
