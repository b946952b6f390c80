"""A sub-token is found by its secret without a scope, believed for less than a second, and held to its policy."""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from billing.models import SubToken
from billing.queries import credentials
from billing.queries.credentials import credential_for_secret, credential_for_sub_token, forget_credentials
from tenants.api.problems import Problem
from tenants.models import Organization
from tenants.scope import organization_scope
from tenants.secrets import SecretKind, hash_secret, new_secret
from tests.factories.sub_tokens import make_sub_token

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    forget_credentials()
    yield
    forget_credentials()


def test_a_secret_opens_its_sub_token_without_a_scope(alpha: Organization) -> None:
    sub_token, secret = make_sub_token(
        alpha, models=["yolo26n"], ip_allow_list=["10.0.0.0/8"], requests_per_second="2.5"
    )
    credential = credential_for_secret(secret)
    assert credential is not None
    assert (credential.organization_id, credential.sub_token_id) == (alpha.id, sub_token.id)
    assert (credential.models, credential.tasks, credential.ip_allow_list) == (("yolo26n",), (), ("10.0.0.0/8",))
    assert not SubToken.objects.exists()


def test_an_unknown_secret_opens_nothing(alpha: Organization) -> None:
    make_sub_token(alpha)
    assert credential_for_secret(new_secret(SecretKind.SUB_TOKEN)) is None


def test_a_second_look_asks_nobody(
    alpha: Organization, django_assert_num_queries: DjangoAssertNumQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    _, secret = make_sub_token(alpha)
    with django_assert_num_queries(1):
        assert credential_for_secret(secret) is credential_for_secret(secret)


def test_what_is_believed_is_less_than_a_second_old(alpha: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    sub_token, secret = make_sub_token(alpha)
    clock = [1000.0]
    monkeypatch.setattr(credentials, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    assert credential_for_secret(secret) is not None
    with organization_scope(alpha.id):
        SubToken.objects.filter(id=sub_token.id).update(revoked_at=timezone.now())
    clock[0] += 0.79
    assert credential_for_secret(secret).revoked_at is None
    clock[0] += 0.02
    assert credential_for_secret(secret).revoked_at is not None


def test_the_cache_is_bounded(alpha: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "CACHE_SIZE", 8)
    for _ in range(50):
        credential_for_secret(new_secret(SecretKind.SUB_TOKEN))
    assert len(credentials._cache) <= 8


def test_the_cache_holds_no_secret(alpha: Organization) -> None:
    _, secret = make_sub_token(alpha)
    credential_for_secret(secret)
    assert list(credentials._cache) == [hash_secret(secret)]
    assert secret not in repr(credentials._cache)


def test_a_sub_token_of_another_organization_is_not_there(alpha: Organization, beta: Organization) -> None:
    sub_token, _ = make_sub_token(alpha)
    with organization_scope(alpha.id):
        assert credential_for_sub_token(alpha.id, sub_token.id).sub_token_id == sub_token.id
        assert credential_for_sub_token(alpha.id, uuid.uuid4()) is None
    with organization_scope(beta.id):
        assert credential_for_sub_token(beta.id, sub_token.id) is None
        assert credential_for_sub_token(alpha.id, sub_token.id) is None


def test_the_function_behind_it_takes_nothing_but_the_hash(alpha: Organization) -> None:
    make_sub_token(alpha)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM billing_sub_token_by_hash(%s)", ["' OR true --"])
        assert cursor.fetchone() == (0,)


def credential_with(alpha: Organization, **fields: object) -> credentials.Credential:
    sub_token, _ = make_sub_token(alpha, **fields)
    return credentials.Credential.of(sub_token)


def test_the_policy_on_time(alpha: Organization) -> None:
    now = timezone.now()
    credential_with(alpha).require_live(now)
    with pytest.raises(Problem) as refusal:
        credential_with(alpha, expires_at=now).require_live(now)
    assert refusal.value.code == "expired_token"
    with pytest.raises(Problem) as refusal:
        credential_with(alpha, revoked_at=now - timedelta(seconds=1), expires_at=now).require_live(now)
    assert refusal.value.code == "revoked_token"


def test_the_policy_on_models_and_tasks(alpha: Organization) -> None:
    credential_with(alpha).require_model("yolo26n", "detect")
    limited = credential_with(alpha, models=["yolo26n"], tasks=["detect"])
    limited.require_model("yolo26n", "detect")
    with pytest.raises(Problem) as refusal:
        limited.require_model("yolo26x", "detect")
    assert (refusal.value.code, refusal.value.status) == ("model_not_allowed", 403)
    with pytest.raises(Problem) as refusal:
        limited.require_model("yolo26n", "segment")
    assert (refusal.value.code, refusal.value.status) == ("task_not_allowed", 403)
