"""Somebody to call, and a catalogue without model files: the null engine's version answers like any other."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from billing.models import Account, SubToken
from billing.queries.balances import Balance, balance
from billing.queries.credentials import forget_credentials
from billing.queries.price_books import forget_prices
from billing.services import allocations
from detection.enums import Engine
from detection.models import ModelVersion
from detection.queries import catalogue as reading
from detection.services import catalogue
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.detection.images import picture
from tests.factories.billing import make_wallet
from tests.factories.sub_tokens import make_sub_token

METADATA = {
    "name": "blank-n", "version": "1.0.0", "task": "detect", "letter": "n", "family": "Blank", "sha256": "",
    "classes": ["open", "short"], "default_img_size": 640, "stride": 32, "end_to_end": True, "metrics": {},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _fresh_memory() -> Iterator[None]:
    for forget in (reading.forget, forget_credentials, forget_prices):
        forget()
    yield
    reading.forget()


@pytest.fixture(autouse=True)
def _patient(settings: Settings) -> None:
    """Let no call be answered 202 because the machine had something else to do."""
    settings.DETECT_WAIT_SECONDS = 120.0


@pytest.fixture
def version(db: None) -> ModelVersion:
    """Return the installed version of the model `blank-n`."""
    catalogue.sync()
    with platform_scope("test data"):
        return catalogue.register_version(METADATA, path="", engine=Engine.NULL)


@dataclass
class Caller:
    """A sub-token and its secret, with what a program does with them."""

    sub_token: SubToken
    secret: str
    client: Client

    @property
    def organization_id(self) -> uuid.UUID:
        return self.sub_token.organization_id

    def send(
        self, image: bytes | None = None, *, prefer: str = "", headers: dict[str, str] | None = None, **query: Any
    ) -> Any:
        """Post an image as the body, its parameters in the query; `blank-n` unless another model is named."""
        headers = {"Authorization": f"Bearer {self.secret}"} | ({"Prefer": prefer} if prefer else {}) | (headers or {})
        return self.client.post(
            "/v1/detect",
            data=picture() if image is None else image,
            content_type="image/png",
            query_params={"model": "blank-n"} | query,
            headers=headers,
        )

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        """Post JSON."""
        headers = {"Authorization": f"Bearer {self.secret}"} | headers
        return self.client.post(path, data=body, content_type="application/json", headers=headers)

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(path, query_params=query, headers={"Authorization": f"Bearer {self.secret}"})

    def balance(self) -> Balance:
        with organization_scope(self.organization_id):
            return balance(self.sub_token.account_id)


def make_caller(organization: Organization, mtok: int = 10_000, **policy: Any) -> Caller:
    """Create a sub-token with Tokens of its own."""
    wallet = make_wallet(organization, mtok, now=timezone.now()) if mtok else None
    sub_token, secret = make_sub_token(organization, f"Line {uuid.uuid4().hex[:6]}", **policy)
    if wallet:
        with organization_scope(organization.id):
            allocations.allocate(
                from_account_id=wallet.id,
                to_account_id=sub_token.account_id,
                mtok=mtok,
                idempotency_key=f"allocation-{sub_token.id}",
                now=timezone.now(),
            )
    return Caller(sub_token, secret, Client(raise_request_exception=True))


@pytest.fixture
def caller(alpha: Organization, version: ModelVersion) -> Caller:
    """A sub-token of Alpha with 10 Tokens."""
    return make_caller(alpha, requests_per_second=1000, burst=1000)


@pytest.fixture
def outsider(beta: Organization, version: ModelVersion) -> Caller:
    """A sub-token of Beta with 10 Tokens."""
    return make_caller(beta, requests_per_second=1000, burst=1000)


def wallet_of(organization: Organization) -> Account:
    with organization_scope(organization.id):
        return Account.objects.get(kind="org_wallet")
