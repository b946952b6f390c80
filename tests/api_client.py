"""A caller of the REST API in tests."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from django.test import Client
from django.utils import timezone

from tenants.actors import PLATFORM
from tenants.models import Organization
from tenants.permissions import MANAGEMENT_KEY_SCOPES, Permission
from tenants.scope import organization_scope
from tenants.services.management_keys import create_management_key


class ApiClient:
    """Sends JSON with a credential. Answers are read with `body`, in which numbers keep their digits."""

    def __init__(self, secret: str | None = None) -> None:
        self.secret = secret
        self._client = Client(raise_request_exception=False)

    def get(self, path: str, **query: Any) -> Any:
        return self._client.get(path, query, headers=self._headers({}))

    def post(self, path: str, data: Any = None, **headers: str) -> Any:
        content = data if isinstance(data, (bytes, str)) else json.dumps({} if data is None else data)
        return self._client.post(path, content, content_type="application/json", headers=self._headers(headers))

    def patch(self, path: str, data: Any) -> Any:
        return self.raw("PATCH", path, json.dumps(data).encode(), "application/json")

    def delete(self, path: str) -> Any:
        return self.raw("DELETE", path, b"", "application/json")

    def raw(self, method: str, path: str, content: bytes, content_type: str) -> Any:
        return self._client.generic(method, path, content, content_type=content_type, headers=self._headers({}))

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return named if self.secret is None else {"Authorization": f"Bearer {self.secret}", **named}


def body(response: Any) -> Any:
    """Return an answer's JSON; numbers with decimals as Decimal."""
    return json.loads(response.content, parse_float=Decimal)


def manager_of(organization: Organization, *scopes: Permission) -> ApiClient:
    """Return a caller with a management key of the organization, with all scopes unless told otherwise."""
    with organization_scope(organization.id):
        _, secret = create_management_key(
            organization_id=organization.id,
            name="Automation",
            scopes=scopes or MANAGEMENT_KEY_SCOPES,
            allowed=frozenset(Permission),
            actor=PLATFORM,
            now=timezone.now(),
        )
    return ApiClient(secret)
