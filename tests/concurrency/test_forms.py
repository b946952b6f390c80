"""A form of the console that is sent several times in the same moment acts once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import SubToken, WebhookDelivery
from billing.services.splits import split
from billing.views import splits
from tenants.models import AuditEvent, Organization, Role
from tenants.scope import organization_scope
from tenants.services import idempotency
from tests.concurrency.racing import race
from tests.factories.billing import assert_ledger_clean, balance_of, make_wallet
from tests.factories.rows import Rows
from tests.factories.second_factors import give_app
from tests.factories.tenants import make_membership, make_organization, make_user

pytestmark = pytest.mark.concurrency
SENDERS = 6


@pytest.fixture
def organization(committed_db: None) -> Organization:
    return make_organization("Alpha")


def send_at_once(
    organization: Organization, keys: list[str], answered: Callable[[], object] = lambda: None
) -> Counter[int]:
    """Split 3 Tokens into three, once for each key, all at once; return the statuses, and under 0 how many were made.

    Each sender calls `answered` when it has its answer.
    """
    wallet = make_wallet(organization, 100_000, now=timezone.now())
    user = make_membership(organization, make_user(), Role.OWNER).user

    def sender(key: str) -> Callable[[], int]:
        client = Client()
        client.force_login(user)
        sent = {"by": "equal", "tokens": "3", "count": "3", "stem": "Camera", "expires_in_days": "30", "form_key": key}

        def send() -> int:
            status = client.post(f"/o/{organization.slug}/splitting/{wallet.id}/split/", sent).status_code
            answered()
            return status

        return send

    statuses = race(sender(key) for key in keys)
    with organization_scope(organization.id):
        made = SubToken.objects.count()
    assert balance_of(wallet, now=timezone.now()).available_mtok == 100_000 - made * 1_000
    assert_ledger_clean()
    return Counter({**statuses, 0: made})


def test_one_form_acts_once_and_the_others_are_told(organization: Organization) -> None:
    assert send_at_once(organization, [str(uuid4())] * SENDERS) == {200: 1, 302: SENDERS - 1, 0: 3}


def test_forms_of_their_own_all_act(organization: Organization) -> None:
    """The negative control: without the shared key the same requests do it six times."""
    assert send_at_once(organization, [str(uuid4()) for _ in range(SENDERS)]) == {200: SENDERS, 0: 3 * SENDERS}


def test_one_that_waits_too_long_is_told_and_breaks_nothing(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one splits only when all others have their answer, so each of them finds its key in use."""
    monkeypatch.setattr(idempotency, "WAIT", "1ms")
    told = threading.Semaphore(0)

    def split_once_all_others_are_told(**values: Any) -> Any:
        for _ in range(SENDERS - 1):
            assert told.acquire(timeout=60)
        return split(**values)

    monkeypatch.setattr(splits, "split", split_once_all_others_are_told)
    counted = send_at_once(organization, [str(uuid4())] * SENDERS, told.release)
    assert counted == {200: 1, 302: SENDERS - 1, 0: 3}


def send_again_at_once(organization: Organization, keys: list[str]) -> int:
    """Have staff send an event to a webhook again, once for each key, all at once; return how often it was counted."""
    with organization_scope(organization.id):
        delivery = Rows(organization)[WebhookDelivery]
    staff = make_user("sam@tokensight.example", is_staff=True)
    give_app(staff)

    def sender(key: str) -> Callable[[], int]:
        client = Client()
        client.force_login(staff)
        path = f"/staff/organizations/{organization.id}/acts/resend-webhook/{delivery.pk}/"
        sent = {"reason": "The customer asked for it", "key": key, "confirmed": "1"}
        return lambda: client.post(path, sent).status_code

    race(sender(key) for key in keys)
    with organization_scope(organization.id):
        return AuditEvent.objects.filter(action="webhook.resent_by_staff").count()


def test_a_form_of_the_staff_acts_once(organization: Organization) -> None:
    assert send_again_at_once(organization, [str(uuid4())] * SENDERS) == 1


def test_forms_of_their_own_of_the_staff_all_act(organization: Organization) -> None:
    """The negative control: without the shared key the same requests do it six times."""
    assert send_again_at_once(organization, [str(uuid4()) for _ in range(SENDERS)]) == SENDERS
