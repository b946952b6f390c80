"""Credentials are taken from two headers, refused with the contract's codes, and never told apart by time or text."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from billing.models import SubToken
from tenants.models import ManagementKey, Organization
from tenants.scope import organization_scope
from tenants.secrets import SecretKind, new_secret
from tests.api_client import body, manager_of
from tests.factories.billing import make_wallet
from tests.factories.sub_tokens import make_sub_token

pytestmark = pytest.mark.django_db

BALANCE = "/v1/balance"


@pytest.fixture(autouse=True)
def _fresh(fresh_process: None) -> None:
    """Nothing is remembered from another test."""


def ask(path: str = BALANCE, **headers: str) -> tuple[int, str]:
    response = Client().get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return response.status_code, body(response).get("code", "")


def test_both_headers_and_both_kinds(alpha: Organization) -> None:
    make_wallet(alpha)
    _, secret = make_sub_token(alpha)
    for known in (secret, manager_of(alpha).secret):
        assert ask(Authorization=f"Bearer {known}") == (200, "")
        assert ask(Authorization=f"bearer  {known} ") == (200, "")
        assert ask(X_Auth_Token=known) == (200, "")


@pytest.mark.parametrize("headers", [{}, {"X_Auth_Token": ""}, {"X_Auth_Token": "  "}])
def test_no_credential(headers: dict[str, str]) -> None:
    response = Client().get(BALANCE, headers={name.replace("_", "-"): value for name, value in headers.items()})
    assert (response.status_code, body(response)["code"]) == (401, "missing_token")
    assert response["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "tsk_x", "Bearer nonsense", "Bearer tsk_" + "0" * 38,
     "Bearer tsm_" + "é" * 38, "Bearer \0", "Bearer a b", "Bearer " + "x" * 5000],
)  # fmt: skip
def test_nonsense_is_refused_without_asking_the_database(
    authorization: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        assert ask(Authorization=authorization) == (401, "invalid_token")


@pytest.mark.parametrize("kind", SecretKind)
def test_a_well_formed_secret_that_nobody_has(kind: SecretKind) -> None:
    assert ask(Authorization=f"Bearer {new_secret(kind)}") == (401, "invalid_token")


def test_the_wrong_kind_of_credential(alpha: Organization) -> None:
    make_wallet(alpha)
    _, secret = make_sub_token(alpha)
    assert ask("/v1/sub_tokens", Authorization=f"Bearer {secret}") == (403, "insufficient_scope")


@pytest.mark.parametrize(
    ("change", "code"),
    [({"revoked_at": timedelta()}, "revoked_token"), ({"expires_at": timedelta(seconds=-1)}, "expired_token")],
)
def test_dead_credentials(alpha: Organization, change: dict[str, timedelta], code: str) -> None:
    now = timezone.now()
    fields: dict[str, Any] = {name: now + delta for name, delta in change.items()}
    _, secret = make_sub_token(alpha, **fields)
    assert ask(Authorization=f"Bearer {secret}") == (401, code)
    key = manager_of(alpha).secret
    with organization_scope(alpha.id):
        ManagementKey.objects.update(**fields)
    assert ask(Authorization=f"Bearer {key}") == (401, code)


def test_the_ip_allow_list(alpha: Organization) -> None:
    make_wallet(alpha)
    _, secret = make_sub_token(alpha, ip_allow_list=["198.51.100.0/24"])
    client = Client()
    headers = {"Authorization": f"Bearer {secret}", "X-Forwarded-For": "198.51.100.7"}
    assert client.get(BALANCE, headers=headers, REMOTE_ADDR="198.51.100.7").status_code == 200
    response = client.get(BALANCE, headers=headers, REMOTE_ADDR="203.0.113.1")
    assert (response.status_code, body(response)["code"]) == (403, "ip_not_allowed")


def test_the_answer_to_a_key_of_another_organization_is_that_organizations(
    alpha: Organization, beta: Organization
) -> None:
    make_wallet(alpha, 5_000)
    make_wallet(beta, 7_000)
    response = Client().get(BALANCE, headers={"X-Auth-Token": manager_of(beta).secret})
    assert body(response)["available_tokens"] == 7


def test_the_last_use_of_a_key_is_written_once_a_minute(alpha: Organization) -> None:
    make_wallet(alpha)
    key = manager_of(alpha)
    started = timezone.now()

    def last_use() -> Any:
        with organization_scope(alpha.id):
            return ManagementKey.objects.get().last_used_at

    key.get(BALANCE)
    first = last_use()
    assert started <= first
    key.get(BALANCE)
    assert last_use() == first
    with organization_scope(alpha.id):
        ManagementKey.objects.update(last_used_at=first - timedelta(seconds=61))
    key.get(BALANCE)
    assert last_use() > first


def test_no_secret_is_ever_logged(
    alpha: Organization, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    make_wallet(alpha)
    _, secret = make_sub_token(alpha, revoked_at=timezone.now())
    key = manager_of(alpha).secret
    assert key is not None
    for planted in (secret, key, secret[:-1], new_secret(SecretKind.SUB_TOKEN)):
        for path in (BALANCE, "/v1/sub_tokens", "/v1/nothing"):
            for headers in ({"Authorization": f"Bearer {planted}"}, {"X-Auth-Token": planted}):
                response = Client(raise_request_exception=False).get(path, headers=headers)
                assert planted not in response.content.decode() + str(response.headers)
    printed = "".join(capfd.readouterr()) + caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    for planted in (secret, key):
        assert planted not in printed
        assert planted[4:36] not in printed
    with organization_scope(alpha.id):
        stored = repr(list(SubToken.objects.values())) + repr(list(ManagementKey.objects.values()))
    assert secret not in stored
    assert key not in stored
