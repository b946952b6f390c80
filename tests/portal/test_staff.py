"""What staff do: each act asks for a reason, says in numbers what will happen, and is in the organization's own log."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from http import HTTPStatus
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from billing.enums import HoldStatus
from billing.models import Grant, Hold, Transfer
from billing.queries.balances import organization_balance
from billing.queries.credentials import forget_credentials
from detection.enums import JobStatus
from detection.models import Job, ModelVersion
from tenants.models import Organization, OutboxMail, User
from tenants.scope import organization_scope
from tests.api_client import body, manager_of
from tests.detection.conftest import Caller, _fresh_memory, make_caller, version  # noqa: F401 fixtures
from tests.factories.billing import assert_ledger_clean
from tests.portal.staffing import REASON, act, events

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_process")]


@pytest.fixture
def caller(alpha: Organization, version: ModelVersion) -> Caller:  # noqa: F811
    """A sub-token of Alpha with 10 Tokens, for a model that answers nothing."""
    return make_caller(alpha, requests_per_second=1000, burst=1000)


def test_organizations_are_found_by_name_address_and_member(
    staff: Client, alpha: Organization, beta: Organization, alice: User
) -> None:
    for query, found in (
        ("", {"alpha", "beta"}),
        ("q=ALPH", {"alpha"}),
        ("q=charlie@", {"beta"}),
        ("q=nobody", set()),
        ("frozen=on", set()),
        ("cursor=nonsense", {"alpha", "beta"}),
    ):
        rows = staff.get(f"/staff/?{query}").context["rows"]
        assert {row.organization.slug for row in rows} == found, query
    lines = b"".join(staff.get("/staff/organizations.csv?q=beta")).decode().splitlines()
    assert len(lines) == 2
    assert "beta" in lines[1]


def test_a_reason_is_needed(staff: Client, alpha: Organization) -> None:
    path = f"/staff/organizations/{alpha.id}/acts/freeze/"
    for reason in ("", "   ", "too short"):
        page = staff.post(path, {"reason": reason, "key": str(uuid4()), "confirmed": "1"})
        assert page.status_code == HTTPStatus.OK
        assert "is-invalid" in page.content.decode()
    assert events(alpha, "organization.frozen") == []
    assert staff.get(f"/staff/organizations/{alpha.id}/acts/explode/").status_code == HTTPStatus.NOT_FOUND


def test_a_frozen_organization_spends_and_changes_nothing(
    staff: Client, caller: Caller, alpha: Organization, alice: User
) -> None:
    manager = manager_of(alpha)
    numbers, done = act(staff, alpha, "freeze")
    assert "Every call and every change of Alpha is refused from now on" in numbers
    assert "0 jobs that were accepted" in numbers
    assert "Alpha is frozen." in done
    (event,) = events(alpha, "organization.frozen")
    assert (event.actor_kind, event.actor_name, event.reason) == ("staff", "sam@tokensight.example", REASON)

    forget_credentials()
    refused = caller.send()
    assert (refused.status_code, refused.json()["code"]) == (403, "organization_frozen")
    refused = manager.post("/v1/sub_tokens", {"name": "New", "tokens": 1})
    assert (refused.status_code, body(refused)["code"]) == (403, "organization_frozen")
    assert manager.get("/v1/sub_tokens").status_code == HTTPStatus.OK
    browser = Client()
    browser.force_login(alice)
    assert browser.post("/o/alpha/settings/", {"name": "Other"}).status_code == HTTPStatus.FORBIDDEN
    page = browser.get("/o/alpha/settings/")
    assert page.status_code == HTTPStatus.OK
    banner = page.content.decode().split('id="frozen-banner"')[1].split("</div>")[0]
    assert "/o/alpha/audit/" in banner, "members are told that calls are refused, and where it says why"

    act(staff, alpha, "unfreeze")
    assert 'id="frozen-banner"' not in browser.get("/o/alpha/settings/").content.decode()
    forget_credentials()
    assert caller.send(prefer="respond-async").status_code == HTTPStatus.ACCEPTED
    assert len(events(alpha, "organization.unfrozen")) == 1


def test_tokens_are_given_once_however_often_the_form_is_sent(
    staff: Client, caller: Caller, alpha: Organization
) -> None:
    numbers, done = act(staff, alpha, "grant", tokens="2.5", days="30", priority="40")
    assert "gets 2.5 Tokens: 10 available become 12.5." in numbers
    assert "They expire on" in numbers
    assert "2.5 Tokens were given." in done
    with organization_scope(alpha.id):
        grant = Grant.objects.get(source="manual", reason=REASON)
        assert (grant.amount_mtok, grant.priority) == (2500, 40)
        assert grant.expires_at is not None
        assert organization_balance(alpha.id).available_mtok == 12_500
    (event,) = events(alpha, "grant.issued")
    assert (event.actor_kind, event.reason, event.after["mtok"]) == ("staff", REASON, 2500)

    form = {"reason": REASON, "key": str(uuid4()), "confirmed": "1", "tokens": "1", "priority": "50"}
    for _ in range(3):
        staff.post(f"/staff/organizations/{alpha.id}/acts/grant/", form)
    with organization_scope(alpha.id):
        assert organization_balance(alpha.id).available_mtok == 13_500
    assert_ledger_clean()


def test_a_correction_is_a_reversal(staff: Client, caller: Caller, alpha: Organization) -> None:
    act(staff, alpha, "grant", tokens="5", priority="50")
    with organization_scope(alpha.id):
        transfer = Transfer.objects.filter(kind="grant").latest("id")
    page = staff.get(f"/staff/organizations/{alpha.id}/").content.decode()
    assert f"acts/reverse/{transfer.id}/" in page
    numbers, done = act(staff, alpha, "reverse", transfer.id)
    assert "At most 5 Tokens go back" in numbers
    assert "5 Tokens went back." in done
    with organization_scope(alpha.id):
        assert organization_balance(alpha.id).available_mtok == 10_000
        assert Transfer.objects.filter(id=transfer.id).exists()
    assert [event.reason for event in events(alpha, "grant.corrected")] == [REASON]
    assert_ledger_clean()


def test_a_job_is_cancelled_and_its_tokens_go_back(staff: Client, caller: Caller, alpha: Organization) -> None:
    job_id = caller.send(prefer="respond-async").json()["id"]
    page = staff.get(f"/staff/organizations/{alpha.id}/").content.decode()
    assert job_id in page
    numbers, done = act(staff, alpha, "cancel-job", job_id)
    assert "Tokens go back, 0 are charged" in numbers
    assert "The job is cancelled" in done
    with organization_scope(alpha.id):
        job = Job.objects.get(id=job_id)
        assert (job.status, job.charged_mtok) == (JobStatus.CANCELLED, 0)
        assert Hold.objects.get(id=job.hold_id).status == HoldStatus.RELEASED
    assert len(events(alpha, "job.cancelled")) == 1
    again = act(staff, alpha, "cancel-job", job_id)[1]
    assert "The job is over" in again
    assert len(events(alpha, "job.cancelled")) == 1


def test_a_job_that_waits_for_tokens_is_seen_and_cancelled(
    staff: Client,
    alpha: Organization,
    version: ModelVersion,  # noqa: F811
) -> None:
    patient = make_caller(alpha, mtok=0, on_exhausted="wait")
    job_id = patient.send().json()["id"]
    assert job_id in staff.get(f"/staff/organizations/{alpha.id}/").content.decode()
    numbers, done = act(staff, alpha, "cancel-job", job_id)
    assert "0 Tokens go back" in numbers
    assert "0 Tokens went back" in done
    with organization_scope(alpha.id):
        assert Job.objects.get(id=job_id).status == JobStatus.CANCELLED


def test_a_running_job_is_put_back_and_cancelled(staff: Client, caller: Caller, alpha: Organization) -> None:
    job_id = caller.send(prefer="respond-async").json()["id"]
    assert "Only a running job can be put back" in act(staff, alpha, "requeue-job", job_id)[1]
    with organization_scope(alpha.id):
        Job.objects.filter(id=job_id).update(
            status=JobStatus.RUNNING, worker="worker-7", attempts=1, lease_expires_at=datetime.now(UTC)
        )
    numbers, done = act(staff, alpha, "requeue-job", job_id)
    assert "worker-7" in numbers
    assert "The job waits again." in done
    with organization_scope(alpha.id):
        job = Job.objects.get(id=job_id)
        assert (job.status, job.worker, job.attempts, job.lease_expires_at) == (JobStatus.QUEUED, "", 1, None)
        Job.objects.filter(id=job_id).update(status=JobStatus.RUNNING, worker="worker-8")
    act(staff, alpha, "cancel-job", job_id)
    with organization_scope(alpha.id):
        assert Job.objects.get(id=job_id).status == JobStatus.CANCELLED
    assert [event.after["worker"] for event in events(alpha, "job.requeued")] == ["worker-7", "worker-8"]


def test_only_a_stuck_hold_is_released(staff: Client, caller: Caller, alpha: Organization) -> None:
    job_id = caller.send(prefer="respond-async").json()["id"]
    with organization_scope(alpha.id):
        hold_id = Job.objects.get(id=job_id).hold_id
    assert "Its job is not finished" in act(staff, alpha, "release-hold", hold_id)[1]
    with organization_scope(alpha.id):
        assert Hold.objects.get(id=hold_id).status == HoldStatus.HELD
        Job.objects.filter(id=job_id).update(status=JobStatus.FAILED, finished_at=datetime.now(UTC))
    numbers, _ = act(staff, alpha, "release-hold", hold_id)
    assert "Tokens are available again" in numbers
    with organization_scope(alpha.id):
        assert Hold.objects.get(id=hold_id).status == HoldStatus.RELEASED
    (event,) = events(alpha, "hold.released")
    assert event.target_id == hold_id
    assert "resolved already" in act(staff, alpha, "release-hold", hold_id)[1]


def test_a_mail_that_was_given_up_is_sent_again(staff: Client, alpha: Organization) -> None:
    with organization_scope(alpha.id):
        mail = OutboxMail.objects.create(
            organization=alpha,
            dedupe_key="x",
            kind="invitation",
            recipient="ann@alpha.example",
            language="en",
            context={"url": "https://secret-link.example"},
            status="failed",
            due_at=datetime.now(UTC),
            attempts=9,
        )
    page = staff.get(f"/staff/organizations/{alpha.id}/").content.decode()
    assert "ann@alpha.example" in page
    assert "secret-link" not in page
    listed = staff.get("/staff/mails/?status=failed").content.decode()
    assert "Invitation" in listed
    assert "ann@alpha.example" not in listed
    numbers, _ = act(staff, alpha, "resend-mail", mail.id)
    assert "1 mail goes to ann@alpha.example, after 9 attempts that failed." in numbers
    with organization_scope(alpha.id):
        assert OutboxMail.objects.get().status == "queued"
    assert len(events(alpha, "mail.resent")) == 1


def test_what_staff_did_is_listed_for_staff_and_for_the_customer(
    staff: Client, alpha: Organization, alice: User
) -> None:
    staff.get(f"/staff/organizations/{alpha.id}/")
    act(staff, alpha, "freeze")
    page = staff.get("/staff/deeds/").content.decode()
    assert "Looked at the organization" in page
    assert "Froze the organization" in page
    browser = Client()
    browser.force_login(alice)
    log = browser.get("/o/alpha/audit/").content.decode()
    assert REASON in log
    assert "Tokensight&#x27;s staff" in log or "Tokensight's staff" in log


def test_the_queue_says_who_waits(staff: Client, caller: Caller, beta: Organization) -> None:
    assert "Nothing waits" in staff.get("/staff/jobs/").content.decode()
    caller.send(prefer="respond-async")
    rows = staff.get("/staff/jobs/").context["rows"]
    assert [(row.organization.slug, row.queued, row.running) for row in rows] == [("alpha", 1, 0)]


def test_who_is_staff_is_said_on_the_machine(alice: User) -> None:
    out = StringIO()
    call_command("staff", "add", "ALICE@alpha.example", stdout=out)
    alice.refresh_from_db()
    assert alice.is_staff
    call_command("staff", "list", stdout=out)
    call_command("staff", "remove", "alice@alpha.example", stdout=out)
    alice.refresh_from_db()
    assert not alice.is_staff
    assert out.getvalue().splitlines() == [
        "alice@alpha.example is of the staff.",
        "alice@alpha.example",
        "alice@alpha.example is not of the staff.",
    ]
    with pytest.raises(CommandError):
        call_command("staff", "add", "nobody@alpha.example")


def test_a_deleted_organization_is_not_called_open(staff: Client, alpha: Organization, beta: Organization) -> None:
    def state_of(organization: Organization) -> str:
        page = staff.get("/staff/", {"q": str(organization.slug)}).content.decode()
        return re.sub(r"<[^>]+>", " ", page.split(f">{organization.slug}<")[1].split("</td>")[0]).split("<")[0].strip()

    assert state_of(alpha).endswith("Open")
    with organization_scope(alpha.id):
        Organization.objects.filter(id=alpha.id).update(deletion_due_at=timezone.now())
    assert state_of(alpha).endswith("Being deleted")
    with organization_scope(alpha.id):
        Organization.objects.filter(id=alpha.id).update(deleted_at=timezone.now())
    assert state_of(alpha).endswith("Deleted")
    assert state_of(beta).endswith("Open")
