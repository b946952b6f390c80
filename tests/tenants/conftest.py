"""Two organizations with a row of each table, and the credentials of one, for the walks along the walls."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from billing.models import SubToken
from tenants.models import ManagementKey, Organization
from tenants.permissions import MANAGEMENT_KEY_SCOPES
from tenants.scope import organization_scope, platform_scope
from tenants.secrets import SecretKind, hash_secret, new_secret, shown_prefix
from tests.factories.rows import Rows, tenant_models
from tests.tenants.routes import OBJECTS


@pytest.fixture
def rows(alpha: Organization, beta: Organization) -> Iterator[tuple[Rows, Rows]]:
    """A row of each table for Alpha, and for Beta what routes ask for. Undone before deferred constraints look."""
    with transaction.atomic():
        both = Rows(alpha), Rows(beta)
        with platform_scope("test data"):
            for model in tenant_models():
                both[0][model]
            for model in OBJECTS.values():
                both[1][model]
        yield both
        transaction.set_rollback(True)


@pytest.fixture
def credentials(rows: tuple[Rows, Rows], beta: Organization) -> list[str]:
    """Secrets of Beta: a sub-token's, and a management key's that may do everything."""
    token, key = new_secret(SecretKind.SUB_TOKEN), new_secret(SecretKind.MANAGEMENT_KEY)
    with organization_scope(beta.id):
        SubToken.objects.update(
            secret_hash=hash_secret(token), prefix=shown_prefix(token), expires_at=datetime.now(UTC) + timedelta(days=1)
        )
        ManagementKey.objects.update(
            secret_hash=hash_secret(key),
            prefix=shown_prefix(key),
            scopes=[scope.value for scope in MANAGEMENT_KEY_SCOPES],
        )
    return [token, key]
