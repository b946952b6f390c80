"""A POST with an Idempotency-Key is done once, however often and however concurrently it comes."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Event

import pytest
from django.db import connection, transaction
from django.utils import timezone

from billing.models import SubToken
from billing.services import sub_tokens
from tenants.errors import KeyInUse
from tenants.models import IdempotencyRecord, Organization, Team
from tenants.scope import organization_scope, platform_scope
from tenants.services import idempotency
from tenants.services.idempotency import do_once, forget_old_answers
from tests.api_client import ApiClient, body, manager_of
from tests.factories.billing import make_wallet

LINE = {"name": "Line 1", "tokens": 10}
THREADS = 8
PATIENCE_SECONDS = 60.0


@pytest.fixture
def manager(alpha: Organization) -> ApiClient:
    """A caller with the key of Alpha, which has 100 Tokens."""
    make_wallet(alpha, 100_000, now=timezone.now())
    return manager_of(alpha)


def count_sub_tokens(organization: Organization) -> int:
    with organization_scope(organization.id):
        return SubToken.objects.count()


@pytest.mark.django_db
def test_the_second_time_gets_the_first_answer_without_the_secret(alpha: Organization, manager: ApiClient) -> None:
    first = manager.post("/v1/sub_tokens", LINE, Idempotency_Key="line-1")
    again = manager.post("/v1/sub_tokens", LINE, Idempotency_Key="line-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert "Idempotent-Replayed" not in first
    assert again["Idempotent-Replayed"] == "true"
    assert body(first)["secret"].startswith("tsk_")
    assert body(again) == {**body(first), "secret": None}
    assert count_sub_tokens(alpha) == 1
    assert body(manager.get("/v1/balance"))["available_tokens"] == 100


@pytest.mark.django_db
def test_no_secret_is_kept(alpha: Organization, manager: ApiClient) -> None:
    secret = body(manager.post("/v1/sub_tokens", LINE, Idempotency_Key="line-1"))["secret"]
    with organization_scope(alpha.id):
        assert secret not in repr(list(IdempotencyRecord.objects.values()))


@pytest.mark.django_db
def test_the_order_of_members_is_no_difference_but_a_value_is(manager: ApiClient) -> None:
    first = manager.post("/v1/sub_tokens", '{"name": "Line 1", "tokens": 10}', Idempotency_Key="k")
    assert manager.post("/v1/sub_tokens", '{"tokens":10,"name":"Line 1"}', Idempotency_Key="k").status_code == 201
    other = manager.post("/v1/sub_tokens", {**LINE, "tokens": 11}, Idempotency_Key="k")
    assert (other.status_code, body(other)["code"]) == (422, "idempotency_mismatch")
    assert body(manager.get("/v1/sub_tokens"))["data"][0]["id"] == body(first)["id"]


@pytest.mark.django_db
def test_a_key_is_one_routes_and_one_organizations(alpha: Organization, beta: Organization, manager: ApiClient) -> None:
    make_wallet(beta, 100_000, now=timezone.now())
    created = body(manager.post("/v1/sub_tokens", LINE, Idempotency_Key="k"))
    path = f"/v1/sub_tokens/{created['id']}/allocate"
    assert body(manager.post(path, {"tokens": 5}, Idempotency_Key="k"))["remaining_tokens"] == 15
    assert body(manager.post(path, {"tokens": 5}, Idempotency_Key="k"))["remaining_tokens"] == 15
    assert body(manager.post(path, {"tokens": 5}, Idempotency_Key="l"))["remaining_tokens"] == 20
    theirs = manager_of(beta).post("/v1/sub_tokens", LINE, Idempotency_Key="k")
    assert "Idempotent-Replayed" not in theirs
    assert count_sub_tokens(beta) == 1


@pytest.mark.django_db
def test_a_refused_request_may_be_sent_again(manager: ApiClient) -> None:
    too_much = {**LINE, "tokens": 1000}
    assert manager.post("/v1/sub_tokens", too_much, Idempotency_Key="k").status_code == 429
    assert manager.post("/v1/sub_tokens", too_much, Idempotency_Key="k").status_code == 429
    assert manager.post("/v1/sub_tokens", LINE, Idempotency_Key="k").status_code == 201


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
def test_keys_that_are_none(alpha: Organization, manager: ApiClient, key: str) -> None:
    response = manager.post("/v1/sub_tokens", LINE, Idempotency_Key=key)
    assert (response.status_code, body(response)["code"]) == (400, "invalid_request")
    assert count_sub_tokens(alpha) == 0


@pytest.mark.django_db
def test_a_failure_in_the_work_undoes_the_claim(
    alpha: Organization, manager: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(sub_tokens.audit, "record", lambda **_: 1 / 0)
        assert manager.post("/v1/sub_tokens", LINE, Idempotency_Key="k").status_code == 500
    assert count_sub_tokens(alpha) == 0
    assert manager.post("/v1/sub_tokens", LINE, Idempotency_Key="k").status_code == 201


@pytest.mark.django_db
def test_old_answers_are_forgotten(alpha: Organization, manager: ApiClient) -> None:
    for key in ("old", "new"):
        manager.post("/v1/sub_tokens", LINE, Idempotency_Key=key)
    now = timezone.now()
    with organization_scope(alpha.id):
        IdempotencyRecord.objects.filter(key="old").update(created_at=now - timedelta(days=31))
    assert forget_old_answers(now) == 1
    with platform_scope("test"):
        assert [record.key for record in IdempotencyRecord.objects.all()] == ["new"]


@pytest.mark.concurrency
@pytest.mark.usefixtures("committed_db")
def test_concurrent_duplicates_wait_for_the_first(
    alpha: Organization, manager: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "WAIT", "60s")
    start = Barrier(THREADS)

    def send(_: int) -> tuple[int, str, bool, str | None]:
        try:
            start.wait(PATIENCE_SECONDS)
            response = ApiClient(manager.secret).post("/v1/sub_tokens", LINE, Idempotency_Key="line-1")
            answer = body(response)
            return response.status_code, answer["id"], "Idempotent-Replayed" in response, answer["secret"]
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(send, range(THREADS)))
    assert Counter(status for status, *_ in answers) == {201: THREADS}
    assert len({sub_token_id for _, sub_token_id, *_ in answers}) == 1
    assert Counter(replayed for *_, replayed, _ in answers) == {False: 1, True: THREADS - 1}
    assert sum(secret is not None for *_, secret in answers) == 1
    assert count_sub_tokens(alpha) == 1


@pytest.mark.concurrency
@pytest.mark.usefixtures("committed_db")
def test_without_keys_the_same_race_makes_as_many(alpha: Organization, manager: ApiClient) -> None:
    def send(_: int) -> int:
        try:
            return ApiClient(manager.secret).post("/v1/sub_tokens", LINE).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        assert set(pool.map(send, range(THREADS))) == {201}
    assert count_sub_tokens(alpha) == THREADS


@pytest.mark.concurrency
@pytest.mark.usefixtures("committed_db")
def test_a_duplicate_does_not_wait_for_ever(alpha: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "WAIT", "200ms")
    working, done = Event(), Event()

    def claim(work: object) -> object:
        with organization_scope(alpha.id):
            return do_once(
                organization_id=alpha.id, key="k", route="POST /x", request_hash="h", work=work, now=timezone.now()
            )

    def slow() -> tuple[int, str]:
        Team.objects.create(organization=alpha, name="Line 1")
        working.set()
        assert done.wait(PATIENCE_SECONDS)
        return 201, "{}"

    def first() -> None:
        try:
            claim(slow)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(first)
        assert working.wait(PATIENCE_SECONDS)
        with pytest.raises(KeyInUse):
            claim(lambda: (500, "never"))
        done.set()
        running.result(PATIENCE_SECONDS)
    outcome = claim(lambda: (500, "never"))
    assert (outcome.status, outcome.body, outcome.replayed) == (201, "{}", True)


@pytest.mark.django_db
def test_waiting_for_a_key_changes_no_other_lock(alpha: Organization) -> None:
    with organization_scope(alpha.id), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '7s'")
        do_once(
            organization_id=alpha.id, key="k", route="r", request_hash="h", work=lambda: (200, "{}"), now=timezone.now()
        )
        cursor.execute("SELECT current_setting('lock_timeout')")
        assert cursor.fetchone() == ("7s",)
