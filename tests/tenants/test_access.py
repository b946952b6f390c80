"""The door to an organization's pages."""

from http import HTTPStatus

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import RequestFactory

from tenants.models import ManagementKey, Organization, Team, User
from tenants.queries.management_keys import management_key_by_hash
from tenants.scope import organization_scope
from tenants.views.access import ConsoleRequest, console_page, to_sign_in
from tests.factories.tenants import make_team

pytestmark = pytest.mark.django_db


@console_page("teams.manage")
def teams(request: ConsoleRequest) -> HttpResponse:
    return HttpResponse(", ".join(Team.objects.values_list("name", flat=True)))


def ask(user: User | AnonymousUser, slug: str, **headers: str) -> HttpResponse:
    request: HttpRequest = RequestFactory().get(f"/o/{slug}/teams/", headers=headers)
    request.user = user
    return teams(request, slug=slug)


def test_a_member_sees_the_organization_s_own_rows(alice: User, alpha: Organization, beta: Organization) -> None:
    make_team(alpha, "Line 1")
    make_team(beta, "Shop 1")
    assert ask(alice, "alpha").content == b"Line 1"
    assert not Team.objects.exists()


def test_an_outsider_is_told_the_same_as_for_what_does_not_exist(charlie: User, alpha: Organization) -> None:
    for slug in ("alpha", "nowhere"):
        with pytest.raises(Http404) as error:
            ask(charlie, slug)
        assert not error.value.args


def test_a_role_without_the_permission_is_refused(bob: User) -> None:
    with pytest.raises(PermissionDenied):
        ask(bob, "alpha")


def test_nobody_is_sent_to_sign_in_whether_the_organization_exists_or_not(alpha: Organization) -> None:
    for slug in ("alpha", "nowhere"):
        answer = ask(AnonymousUser(), slug)
        assert answer.status_code == HTTPStatus.FOUND
        assert answer["Location"] == f"/accounts/login/?next=/o/{slug}/teams/"


def test_a_fragment_s_request_takes_the_whole_page_to_sign_in() -> None:
    request = RequestFactory().get("/o/alpha/rows/", headers={"HX-Request": "true", "HX-Current-URL": "/o/alpha/"})
    assert to_sign_in(request)["HX-Redirect"] == "/accounts/login/?next=/o/alpha/"


def test_a_lazy_response_is_rendered_inside_the_scope(alice: User, alpha: Organization, rf: RequestFactory) -> None:
    make_team(alpha, "Line 1")
    template = engines["django"].from_string("{% for team in teams %}{{ team.name }}{% endfor %}")

    @console_page("organization.view")
    def page(request: ConsoleRequest) -> TemplateResponse:
        return TemplateResponse(request, template, {"teams": Team.objects.all()})

    request = rf.get("/")
    request.user = alice
    assert page(request, slug="alpha").content == b"Line 1"


def test_an_unknown_permission_is_a_mistake_at_once() -> None:
    with pytest.raises(ValueError, match=r"teams\.destroy"):
        console_page("teams.destroy")


def test_a_management_key_is_found_by_its_hash_without_a_scope(alpha: Organization) -> None:
    with organization_scope(alpha.id):
        key = ManagementKey.objects.create(
            organization=alpha, name="CI", prefix="tsm_abcdefgh", secret_hash="0" * 64, scopes=["teams.manage"]
        )
    assert not ManagementKey.objects.exists()
    assert management_key_by_hash("0" * 64) == key
    assert management_key_by_hash("1" * 64) is None
