"""Looking as a member: staff see what the member sees, change nothing, and are seen doing it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.test import Client

from tenants.models import ManagementKey, Membership, Organization, Role, User
from tenants.scope import organization_scope
from tests.detection.conftest import Caller, _fresh_memory, make_caller, version  # noqa: F401 fixtures
from tests.factories.tenants import make_membership, make_user
from tests.portal.staffing import REASON, events

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_process")]


class TestImpersonation:
    @pytest.fixture
    def bobs(self, alpha: Organization) -> Membership:
        return make_membership(alpha, make_user("bob@alpha.example"), Role.ADMIN)

    def begin(self, staff: Client, alpha: Organization, membership: Membership) -> Any:
        path = f"/staff/organizations/{alpha.id}/members/{membership.id}/impersonate/"
        return staff.post(path, {"reason": REASON, "key": str(uuid4())})

    def test_before_and_after_there_is_nothing(self, staff: Client, alpha: Organization, bobs: Membership) -> None:
        assert staff.get("/o/alpha/").status_code == HTTPStatus.NOT_FOUND
        assert self.begin(staff, alpha, bobs)["Location"] == "/o/alpha/"
        page = staff.get("/o/alpha/").content.decode()
        assert "looking-as" in page
        assert "bob@alpha.example" in page
        assert REASON in page
        staff.post("/staff/impersonation/end/")
        assert staff.get("/o/alpha/").status_code == HTTPStatus.NOT_FOUND
        actions = [e.action for a in ("started", "ended") for e in events(alpha, f"staff.impersonation_{a}")]
        assert actions == ["staff.impersonation_started", "staff.impersonation_ended"]

    def test_the_banner_is_on_every_page(self, staff: Client, alpha: Organization, bobs: Membership) -> None:
        self.begin(staff, alpha, bobs)
        for path in ("/", "/account/", "/staff/", "/o/alpha/members/", "/o/alpha/ledger/", "/no-such-page/"):
            assert "looking-as" in staff.get(path).content.decode(), path

    def test_nothing_can_be_changed_and_no_secret_made(
        self, staff: Client, alpha: Organization, bobs: Membership
    ) -> None:
        self.begin(staff, alpha, bobs)
        for path, form in (
            ("settings/", {"name": "Other"}),
            ("teams/new/", {"name": "Line 1"}),
            ("sub-tokens/new/", {"name": "Camera"}),
            ("management-keys/new/", {"name": "Key"}),
            (f"members/{bobs.id}/role/", {"role": "owner"}),
            ("playground/", {}),
        ):
            for method in ("get", "post"):
                response = getattr(staff, method)(f"/o/alpha/{path}", form)
                assert response.status_code in {HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED}, (method, path)
        with organization_scope(alpha.id):
            assert Organization.objects.get().name == "Alpha"
            assert not ManagementKey.objects.exists()

    def test_it_is_one_organization_only(
        self, staff: Client, alpha: Organization, beta: Organization, bobs: Membership
    ) -> None:
        self.begin(staff, alpha, bobs)
        assert staff.get("/o/beta/").status_code == HTTPStatus.NOT_FOUND

    def test_two_at_once_are_refused(self, staff: Client, alpha: Organization, beta: Organization,
                                     bobs: Membership) -> None:  # fmt: skip
        self.begin(staff, alpha, bobs)
        with organization_scope(beta.id):
            other = Membership.objects.get()
        path = f"/staff/organizations/{beta.id}/members/{other.id}/impersonate/"
        page = staff.post(path, {"reason": REASON, "key": str(uuid4())}, follow=True).content.decode()
        assert "End that first" in page
        assert events(beta, "staff.impersonation_started") == []

    def test_it_ends_by_itself(self, staff: Client, alpha: Organization, bobs: Membership, time_machine: Any) -> None:
        self.begin(staff, alpha, bobs)
        now = datetime.now(UTC)
        time_machine.move_to(now + timedelta(minutes=29), tick=False)
        assert staff.get("/o/alpha/").status_code == HTTPStatus.OK
        time_machine.move_to(now + timedelta(minutes=31), tick=False)
        assert staff.get("/o/alpha/").status_code == HTTPStatus.NOT_FOUND
        (ended,) = events(alpha, "staff.impersonation_ended")
        (started,) = events(alpha, "staff.impersonation_started")
        assert ended.after["until"] == started.after["until"]

    def test_who_is_no_longer_staff_sees_nothing(
        self, staff: Client, sam: User, alpha: Organization, bobs: Membership
    ) -> None:
        self.begin(staff, alpha, bobs)
        call_command("staff", "remove", sam.email, stdout=StringIO())
        assert staff.get("/o/alpha/").status_code == HTTPStatus.NOT_FOUND
        assert "looking-as" not in staff.get("/").content.decode()

    def test_each_page_is_in_the_log_once(self, staff: Client, alpha: Organization, bobs: Membership) -> None:
        self.begin(staff, alpha, bobs)
        for path in ("/o/alpha/", "/o/alpha/ledger/", "/o/alpha/"):
            staff.get(path)
        seen = [event.after["page"] for event in events(alpha, "staff.looked_as")]
        assert seen == ["/o/alpha/", "/o/alpha/ledger/"]

    def test_a_reason_is_needed(self, staff: Client, alpha: Organization, bobs: Membership) -> None:
        path = f"/staff/organizations/{alpha.id}/members/{bobs.id}/impersonate/"
        assert staff.post(path, {"reason": "", "key": str(uuid4())}).status_code == HTTPStatus.OK
        assert events(alpha, "staff.impersonation_started") == []
