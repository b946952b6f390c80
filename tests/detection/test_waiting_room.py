"""Jobs that wait for Tokens: kept, run in order when Tokens come, never overspending, and taken back at will."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections import Counter
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from billing.models import Account, Crossing, Hold
from billing.services import exhaustion, rate
from billing.services.accounts import change_cap
from billing.services.allocations import allocate
from billing.services.exhaustion import forget_refusals
from billing.services.sub_token_life import resume_sub_tokens, revoke_sub_tokens, suspend_sub_tokens
from detection.models import Job, ModelVersion, WaitingInput
from detection.services import blobs, doorbell, queue, waiting_room
from detection.services.redis import client
from detection.services.waiting_room import admit_waiting
from tenants.actors import PLATFORM
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.concurrency.racing import race
from tests.detection.conftest import Caller, make_caller, wallet_of
from tests.detection.images import picture
from tests.detection.machine import until, worker
from tests.factories.billing import assert_ledger_clean, make_capped_account, make_grant
from tests.factories.limits import assert_limits_clean, make_limits

pytestmark = pytest.mark.usefixtures("committed_db", "fresh_process")
FRESH = {"Cache-Control": "no-cache"}


@pytest.fixture(autouse=True)
def _nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "call", lambda *_: None)
    # A round ends when there is nothing more to do, and not when a busy machine took a second over its first job.
    monkeypatch.setattr(waiting_room, "ROUND_SECONDS", math.inf)
    monkeypatch.setattr(exhaustion, "NOTE_EVERY_SECONDS", math.inf)
    forget_refusals()


@pytest.fixture
def patient(alpha: Organization, version: ModelVersion) -> Caller:
    """A sub-token without Tokens of its own whose calls (0.7 Tokens each) wait for them."""
    return make_caller(alpha, mtok=700, on_exhausted="wait", requests_per_second=1000, burst=1000)


def send(caller: Caller, **options: Any) -> Any:
    return caller.send(headers=FRESH | options.pop("headers", {}), **options)


def waiting(caller: Caller, number: int) -> list[str]:
    """Let so many calls come that wait, and return their jobs' ids."""
    ids = []
    for _ in range(number):
        response = send(caller)
        assert (response.status_code, response.json()["status"]) == (202, "waiting"), response.content
        ids.append(response.json()["id"])
    return ids


def spend_all(caller: Caller) -> None:
    assert send(caller, prefer="respond-async").json()["status"] == "queued"


def give(caller: Caller, mtok: int) -> None:
    """Let Tokens arrive at the sub-token."""
    with organization_scope(caller.organization_id):
        organization = Organization.objects.get(id=caller.organization_id)
        account = Account.objects.get(id=caller.sub_token.account_id)
    now = timezone.now()
    make_grant(organization, mtok, now=now)
    with organization_scope(organization.id):
        allocate(
            from_account_id=account.parent_id,
            to_account_id=account.id,
            mtok=mtok,
            idempotency_key=f"gift-{uuid.uuid4()}",
            now=now,
        )


def statuses(ids: list[str]) -> list[str]:
    with platform_scope("test"):
        found = dict(Job.objects.filter(id__in=ids).values_list("id", "status"))
    return [found[uuid.UUID(job_id)] for job_id in ids]


def test_a_call_without_tokens_is_answered_202_and_costs_and_holds_nothing(patient: Caller) -> None:
    spend_all(patient)
    response = send(patient)
    body = response.json()
    assert (response.status_code, body["status"]) == (202, "waiting")
    assert response["Location"] == f"/v1/jobs/{body['id']}"
    assert (response["Tokens-Used"], body["usage"]["price_tokens"]) == ("0", 0.7)
    assert patient.get(response["Location"]).json()["status"] == "waiting"
    with platform_scope("test"):
        assert Hold.objects.count() == 1
    assert admit_waiting(now=timezone.now()) == 0
    assert statuses([body["id"]]) == ["waiting"]


def test_they_run_in_order_as_far_as_the_tokens_go(patient: Caller, version: ModelVersion) -> None:
    spend_all(patient)
    ids = waiting(patient, 4)
    give(patient, 1_500)
    assert admit_waiting(now=timezone.now()) == 2
    assert statuses(ids) == ["queued", "queued", "waiting", "waiting"]
    # Who comes now does not overtake those who wait, though there are no Tokens for either.
    give(patient, 700)
    late = waiting(patient, 1)
    assert admit_waiting(now=timezone.now()) == 1
    assert statuses(ids + late) == ["queued", "queued", "queued", "waiting", "waiting"]
    give(patient, 10_000)
    with worker(version):
        assert admit_waiting(now=timezone.now()) == 2
        until(lambda: set(statuses(ids + late)) == {"succeeded"})
    with platform_scope("test"):
        assert WaitingInput.objects.count() == 0
        assert Job.objects.filter(id__in=ids).values_list("charged_mtok", flat=True)[0] == 700
    assert_ledger_clean()


def test_many_that_wait_in_vain_keep_nobody_else_from_running(
    patient: Caller, alpha: Organization, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detection.services.waiting_room.LOOKED_AT", 2)
    other = make_caller(alpha, mtok=700, on_exhausted="wait", requests_per_second=1000, burst=1000)
    spend_all(patient)
    spend_all(other)
    in_vain, ids = waiting(patient, 5), waiting(other, 3)
    give(other, 1_400)
    assert admit_waiting(now=timezone.now()) == 2
    assert statuses(in_vain + ids) == ["waiting"] * 5 + ["queued", "queued", "waiting"]


def test_the_image_is_kept_until_it_is_needed(patient: Caller) -> None:
    spend_all(patient)
    image = picture(size=(48, 32))
    job_id = uuid.UUID(send(patient, image=image).json()["id"])
    blobs.delete_in(client(), [job_id])
    give(patient, 700)
    admit_waiting(now=timezone.now())
    assert blobs.get_many([job_id]) == [image]


def test_a_cheaper_job_that_came_later_does_not_slip_past(patient: Caller) -> None:
    spend_all(patient)
    dear = send(patient, img_size="1280").json()["id"]
    (cheap,) = waiting(patient, 1)
    give(patient, 1_000)
    assert admit_waiting(now=timezone.now()) == 0
    assert statuses([dear, cheap]) == ["waiting", "waiting"]
    give(patient, 2_500)
    assert admit_waiting(now=timezone.now()) == 2


def test_sub_tokens_of_one_wallet_are_served_in_the_order_of_their_calls(
    alpha: Organization, version: ModelVersion
) -> None:
    wallet_callers = [make_caller(alpha, mtok=700, on_exhausted="wait") for _ in range(2)]
    wallet = wallet_of(alpha)
    for caller in wallet_callers:
        account = make_capped_account(wallet, None)
        with organization_scope(alpha.id):
            type(caller.sub_token).objects.filter(id=caller.sub_token.id).update(account=account)
        caller.sub_token.account_id = account.id
    one, two = wallet_callers
    ids = [*waiting(one, 1), *waiting(two, 1), *waiting(one, 1), *waiting(two, 1)]
    make_grant(alpha, 1_400, now=timezone.now())
    assert admit_waiting(now=timezone.now()) == 2
    assert statuses(ids) == ["queued", "queued", "waiting", "waiting"]


def test_what_one_lacks_does_not_keep_another_waiting(patient: Caller, alpha: Organization) -> None:
    spend_all(patient)
    ids = waiting(patient, 1)
    other = make_caller(alpha, mtok=700, on_exhausted="wait")
    spend_all(other)
    ids += waiting(other, 1)
    give(other, 700)
    assert admit_waiting(now=timezone.now()) == 1
    assert statuses(ids) == ["waiting", "queued"]


@pytest.mark.parametrize("arrival", ["limit raised", "period over", "quota raised"])
def test_room_comes_in_every_way(patient: Caller, alpha: Organization, arrival: str) -> None:
    give(patient, 10_000)
    now = timezone.now()
    with organization_scope(alpha.id):
        account = Account.objects.get(id=patient.sub_token.account_id)
    if arrival == "quota raised":
        account = make_capped_account(wallet_of(alpha), 700)
        make_grant(alpha, 10_000, now=now)
        with organization_scope(alpha.id):
            type(patient.sub_token).objects.filter(id=patient.sub_token.id).update(account=account)
    else:
        make_limits(account, hour=700, now=now)
    spend_all(patient)
    ids = waiting(patient, 1)
    assert admit_waiting(now=now) == 0
    if arrival == "limit raised":
        make_limits(account, hour=5_000, now=now)
    elif arrival == "period over":
        now += dt.timedelta(hours=1)
    else:
        with organization_scope(alpha.id):
            change_cap(account_id=account.id, cap_mtok=5_000)
    assert admit_waiting(now=now) == 1
    assert statuses(ids) == ["queued"]
    assert_limits_clean()


def test_what_no_limit_ever_allows_is_refused_and_does_not_wait(patient: Caller, alpha: Organization) -> None:
    give(patient, 10_000)
    with organization_scope(alpha.id):
        account = Account.objects.get(id=patient.sub_token.account_id)
    make_limits(account, day=699, now=timezone.now())
    response = send(patient)
    assert (response.status_code, response.json()["code"]) == (429, "quota_exceeded")
    assert "Retry-After" not in response


def test_the_room_has_bounds(patient: Caller, settings: Settings) -> None:
    settings.WAITING_JOBS = 2
    spend_all(patient)
    ids = waiting(patient, 2)
    response = send(patient)
    assert (response.status_code, response.json()["code"]) == (429, "insufficient_tokens")
    settings.WAITING_JOBS, settings.WAITING_BYTES = 100, 1
    assert send(patient).status_code == 429
    settings.WAITING_BYTES = 10**6
    assert statuses(ids + waiting(patient, 1)) == ["waiting"] * 3


def test_nobody_waits_for_ever(patient: Caller, settings: Settings) -> None:
    spend_all(patient)
    (job_id,) = waiting(patient, 1)
    admit_waiting(now=timezone.now() + dt.timedelta(seconds=settings.WAITING_SECONDS + 1))
    document = patient.get(f"/v1/jobs/{job_id}").json()
    assert (document["status"], document["error"]["code"]) == ("failed", "insufficient_tokens")
    assert document["usage"]["tokens"] == 0


def test_a_job_that_waited_long_still_has_its_whole_life_in_the_queue(patient: Caller) -> None:
    spend_all(patient)
    (job_id,) = waiting(patient, 1)
    give(patient, 700)
    later = timezone.now() + dt.timedelta(hours=5)
    assert admit_waiting(now=later) == 1
    with platform_scope("test"):
        Job.objects.exclude(id=job_id).update(status="cancelled", finished_at=later)
    assert queue.fail_overdue(now=later + dt.timedelta(seconds=60)) == 0
    assert statuses([job_id]) == ["queued"]
    assert queue.fail_overdue(now=later + dt.timedelta(hours=1)) == 1


def test_a_waiting_job_can_be_cancelled(patient: Caller) -> None:
    spend_all(patient)
    first, second = waiting(patient, 2)
    assert patient.post(f"/v1/jobs/{first}/cancel").json()["status"] == "cancelled"
    give(patient, 700)
    assert admit_waiting(now=timezone.now()) == 1
    assert statuses([first, second]) == ["cancelled", "queued"]
    with platform_scope("test"):
        assert WaitingInput.objects.count() == 0


def test_a_revoked_sub_tokens_jobs_end_and_a_suspended_ones_wait_on(patient: Caller) -> None:
    spend_all(patient)
    (job_id,) = waiting(patient, 1)
    give(patient, 700)
    now = timezone.now()
    act: dict[str, Any] = {"sub_token_ids": [patient.sub_token.id], "actor": PLATFORM, "now": now}
    with organization_scope(patient.organization_id):
        suspend_sub_tokens(**act)
    assert admit_waiting(now=now) == 0
    assert statuses([job_id]) == ["waiting"]
    with organization_scope(patient.organization_id):
        resume_sub_tokens(**act)
        revoke_sub_tokens(**act)
    admit_waiting(now=now)
    with platform_scope("test"):
        job = Job.objects.get(id=job_id)
    assert (job.status, job.error_code) == ("failed", "sub_token_ended")


def test_a_waiting_job_is_no_call_at_a_time_until_its_tokens_come(alpha: Organization, version: ModelVersion) -> None:
    narrow = make_caller(alpha, mtok=700, on_exhausted="wait", concurrency=1, requests_per_second=1000, burst=1000)
    first = send(narrow, prefer="respond-async").json()["id"]
    # The first is still under way, so that a second call has no place; it has one when that is over.
    assert send(narrow).json()["code"] == "concurrency_limited"
    narrow.post(f"/v1/jobs/{first}/cancel")
    spend_all(narrow)
    with platform_scope("test"):
        (busy,) = Job.objects.filter(status="queued").values_list("id", flat=True)
    rate.release_in(client(), str(alpha.id), str(narrow.sub_token.id), str(busy))
    ids = waiting(narrow, 3)
    give(narrow, 10_000)
    assert admit_waiting(now=timezone.now()) == 1
    assert statuses(ids) == ["queued", "waiting", "waiting"]
    narrow.post(f"/v1/jobs/{ids[0]}/cancel")
    assert admit_waiting(now=timezone.now()) == 1
    assert statuses(ids) == ["cancelled", "queued", "waiting"]


def test_the_same_idempotency_key_is_one_waiting_job(patient: Caller) -> None:
    spend_all(patient)
    key = {"Idempotency-Key": "order 7"}
    first, again = send(patient, headers=key), send(patient, headers=key)
    assert again["Idempotent-Replayed"] == "true"
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert send(patient, headers=key, conf="0.5").status_code == 422
    with platform_scope("test"):
        assert WaitingInput.objects.count() == 1


@pytest.mark.concurrency
def test_rounds_beside_each_other_admit_each_job_once_and_overspend_nothing(patient: Caller) -> None:
    spend_all(patient)
    ids = waiting(patient, 12)
    give(patient, 5 * 700 + 699)
    admitted = race([lambda: admit_waiting(now=timezone.now())] * 6)
    assert sum(count * times for count, times in admitted.items()) == 5
    assert Counter(statuses(ids)) == {"queued": 5, "waiting": 7}
    assert statuses(ids)[:5] == ["queued"] * 5
    with platform_scope("test"):
        assert Hold.objects.filter(status="held").count() == 6
    assert_ledger_clean()


def test_a_refusal_is_noted_for_those_who_are_told_of_it(patient: Caller) -> None:
    def noted() -> int:
        with platform_scope("test"):
            return Crossing.objects.filter(account_id=patient.sub_token.account_id, refused=True).count()

    spend_all(patient)
    assert noted() == 0
    waiting(patient, 3)
    assert noted() == 1


def test_a_sub_token_that_rejects_is_refused_with_what_helps(alpha: Organization, version: ModelVersion) -> None:
    caller = make_caller(alpha, mtok=700)
    spend_all(caller)
    response = send(caller)
    body = response.json()
    assert (response.status_code, body["code"], body["level"], body["limit"]) == (
        429, "insufficient_tokens", "sub_token", "tokens",
    )  # fmt: skip
    assert body["top_up_url"].endswith("/o/alpha/billing/top-up/")
    assert "Retry-After" not in response
    make_limits(wallet_of(alpha), hour=1_000, now=timezone.now())
    give(caller, 5_000)
    asked_at = timezone.now()
    response = send(caller)
    answered_at = timezone.now()
    body = response.json()
    assert (body["code"], body["level"], body["limit"]) == ("hourly_limit_exceeded", "organization", "tokens_per_hour")
    assert (body["limit_tokens"], body["used_tokens"]) == (1, 0.7)
    resets_at = dt.datetime.fromisoformat(body["resets_at"])
    waits = int(response["Retry-After"])
    assert (resets_at - answered_at).total_seconds() - 1 <= waits <= (resets_at - asked_at).total_seconds() + 1
