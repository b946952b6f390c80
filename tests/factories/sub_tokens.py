"""Sub-tokens for tests, written straight into the database: what the services add is tested with the services."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from billing.enums import AccountKind, AccountMode
from billing.models import Account, SubToken
from tenants.models import Organization
from tenants.scope import organization_scope
from tenants.secrets import SecretKind, hash_secret, new_secret, shown_prefix


def make_sub_token(organization: Organization, name: str = "Line 1", **fields: Any) -> tuple[SubToken, str]:
    """Create a sub-token without Tokens below the organization's wallet (made if missing); return its secret too."""
    secret = new_secret(SecretKind.SUB_TOKEN)
    with organization_scope(organization.id):
        wallet, _ = Account.objects.get_or_create(organization=organization, kind=AccountKind.ORG_WALLET)
        account = Account.objects.create(
            organization=organization, kind=AccountKind.SUB_TOKEN, mode=AccountMode.RING_FENCED, parent=wallet
        )
        defaults = {"mode": "allocated", "expires_at": timezone.now() + timedelta(days=30)}
        sub_token = SubToken.objects.create(
            organization=organization,
            name=name,
            account=account,
            prefix=shown_prefix(secret),
            secret_hash=hash_secret(secret),
            **(defaults | fields),
        )
    return sub_token, secret
