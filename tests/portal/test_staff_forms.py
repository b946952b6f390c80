"""A form of the staff's acts once, says truly what it will do, and is not sent with borrowed eyes."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import Grant, Transfer, WebhookDelivery
from tenants.models import AuditEvent, Membership, Organization, OutboxMail, User
from tenants.scope import organization_scope
from tests.billing.plans.buying import Customer
from tests.billing.plans.conftest import customer, standin, stripe_server  # noqa: F401 fixtures
from tests.factories.billing import make_wallet
from tests.factories.debts import make_debt
from tests.factories.rows import Rows
from tests.factories.second_factors import give_app
from tests.factories.tenants import make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_process")]

REASON = "The customer asked for it, ticket 4711"
TWICE = "This form was sent already. Nothing was done a second time."


@pytest.fixture
def staff(client: Client, db: None) -> Client:
    """A browser in which somebody of the staff is signed in."""
    user = make_user("sam@tokensight.example", is_staff=True)
    give_app(user)
    client.force_login(user)
    return client


def path_of(organization: Organization, act: str, target: object = None) -> str:
    return f"/staff/organizations/{organization.id}/acts/{act}/" + (f"{target}/" if target else "")


def form(**fields: Any) -> dict[str, Any]:
    return {"reason": REASON, "key": str(uuid4()), "confirmed": "1", **fields}


def told(answer: Any) -> str:
    """Return the messages that the page afterwards shows."""
    found = re.findall(r'<div class="message.*?</div>\s*</div>', answer.content.decode(), re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", " ".join(found))).strip()


def count(organization: Organization, action: str) -> int:
    with organization_scope(organization.id):
        return AuditEvent.objects.filter(action=action, reason=REASON).count()


def failed_mail(organization: Organization) -> OutboxMail:
    with organization_scope(organization.id):
        return OutboxMail.objects.create(
            organization=organization,
            dedupe_key="x",
            kind="invitation",
            recipient="ann@alpha.example",
            language="en",
            context={},
            status="failed",
            due_at=timezone.now(),
            attempts=9,
        )


def test_the_plan_that_is_paid_for_is_not_ended_by_giving_it(staff: Client, customer: Customer) -> None:  # noqa: F811
    customer.subscribe("basic")
    path = path_of(customer.organization, "plan")
    numbers = staff.post(path, {"reason": REASON, "key": str(uuid4()), "plan": "basic"}).content.decode()
    assert "nothing happens" in numbers
    assert "nothing happens" in told(staff.post(path, form(plan="basic"), follow=True))
    customer.hear()
    assert customer.state() == ("basic", "active", None)
    assert customer.row().stripe_id is not None
    assert customer.plan_tokens() == [10_000_000]


def test_ending_what_is_paid_is_done_for_a_reason_and_said_as_done(staff: Client, customer: Customer) -> None:  # noqa: F811
    customer.subscribe("basic")
    done = staff.post(path_of(customer.organization, "plan"), form(plan="free"), follow=True)
    assert told(done) == "Alpha is on the plan Free."
    assert customer.state() == ("free", "active", None)
    assert count(customer.organization, "plan.change_asked") == 1


def test_a_form_that_is_sent_again_later_does_not_undo_what_somebody_did_since(
    staff: Client, alpha: Organization
) -> None:
    make_wallet(alpha)
    freeze = form()
    staff.post(path_of(alpha, "freeze"), freeze)
    staff.post(path_of(alpha, "unfreeze"), form())
    assert TWICE in told(staff.post(path_of(alpha, "freeze"), freeze, follow=True))
    with organization_scope(alpha.id):
        assert Organization.objects.get().frozen_at is None
    plan = form(plan="advanced")
    staff.post(path_of(alpha, "plan"), plan)
    staff.post(path_of(alpha, "plan"), form(plan="free"))
    assert TWICE in told(staff.post(path_of(alpha, "plan"), plan, follow=True))
    with organization_scope(alpha.id):
        assert Grant.objects.filter(source="plan").count() == 1


def test_what_was_refused_may_be_sent_again(staff: Client, alpha: Organization) -> None:
    mail = failed_mail(alpha)
    with organization_scope(alpha.id):
        OutboxMail.objects.update(status="queued")
    sent = form()
    assert "Only a mail that was given up" in told(
        staff.post(path_of(alpha, "resend-mail", mail.id), sent, follow=True)
    )
    with organization_scope(alpha.id):
        OutboxMail.objects.update(status="failed")
    assert "waits to be sent" in told(staff.post(path_of(alpha, "resend-mail", mail.id), sent, follow=True))


def test_a_mail_is_sent_again_once(staff: Client, alpha: Organization) -> None:
    path = path_of(alpha, "resend-mail", failed_mail(alpha).id)
    sent = form()
    staff.post(path, sent)
    assert TWICE in told(staff.post(path, sent, follow=True))
    assert "status of this one: Waiting" in told(staff.post(path, form(), follow=True)), "not a page that is not there"
    assert "It will be refused" in staff.post(path, {"reason": REASON, "key": str(uuid4())}).content.decode()
    assert count(alpha, "mail.resent") == 1


def test_an_event_is_owed_to_a_webhook_once_for_each_form(staff: Client, alpha: Organization) -> None:
    with organization_scope(alpha.id):
        delivery = Rows(alpha)[WebhookDelivery]
    path, sent = path_of(alpha, "resend-webhook", delivery.pk), form()
    staff.post(path, sent)
    with organization_scope(alpha.id):
        WebhookDelivery.objects.update(status="delivered")
    assert TWICE in told(staff.post(path, sent, follow=True))
    with organization_scope(alpha.id):
        assert WebhookDelivery.objects.get(id=delivery.pk).status == "delivered"
    assert count(alpha, "webhook.resent_by_staff") == 1


def test_a_debt_is_forgiven_once_and_afterwards_said_to_be_gone(staff: Client, alpha: Organization) -> None:
    debt = make_debt(alpha, 400)
    path = path_of(alpha, "forgive-debt", debt.id)
    assert told(staff.post(path, form(), follow=True)) == "0.4 Tokens are forgiven."
    assert "Nothing is left of this debt" in staff.post(path, {"reason": REASON, "key": str(uuid4())}).content.decode()
    assert "Nothing is left of this debt" in told(staff.post(path, form(), follow=True))


def test_a_second_reversal_says_that_nothing_went_back(staff: Client, alpha: Organization) -> None:
    make_wallet(alpha, 1000)
    with organization_scope(alpha.id):
        transfer = Transfer.objects.get(kind="grant")
    path = path_of(alpha, "reverse", transfer.id)
    assert told(staff.post(path, form(), follow=True)) == "1 Tokens went back."
    assert "Nothing went back" in told(staff.post(path, form(), follow=True))


def test_nobody_acts_while_looking_as_a_member(staff: Client, alpha: Organization, alice: User) -> None:
    make_wallet(alpha)
    with organization_scope(alpha.id):
        membership = Membership.objects.get(user=alice)
    begin = f"/staff/organizations/{alpha.id}/members/{membership.id}/impersonate/"
    staff.post(begin, {"reason": REASON, "key": str(uuid4())})
    sent = form(tokens="5", priority="50")
    answer = staff.post(path_of(alpha, "grant"), sent, follow=True)
    assert "You look as a member just now" in told(answer)
    assert staff.post("/staff/codes/new/", {"name": "x"}).status_code == HTTPStatus.FOUND
    assert count(alpha, "grant.issued") == 0
    staff.post("/staff/impersonation/end/")
    assert "5 Tokens were given" in told(staff.post(path_of(alpha, "grant"), sent, follow=True))
