"""Who an organization is to Stripe."""

from __future__ import annotations

import uuid
from datetime import datetime

from billing.gateways.stripe import customers as gateway
from billing.models import BillingCustomer
from tenants.models import Organization
from tenants.scope import organization_scope


def ensure_customer(*, organization_id: uuid.UUID, email: str, language: str, now: datetime) -> str:
    """Return the organization's id at Stripe, made there when it has none yet.

    Opens scopes of its own and asks Stripe between them: call it outside of a transaction. Two at once get the same.
    Raises what the gateway does.
    """
    with organization_scope(organization_id):
        known = BillingCustomer.objects.filter(organization_id=organization_id).first()
        name = Organization.objects.values_list("name", flat=True).get(id=organization_id)
    if known is not None:
        return known.stripe_id
    stripe_id = gateway.create_customer(organization_id=organization_id, name=name, email=email, language=language)
    with organization_scope(organization_id):
        kept, _ = BillingCustomer.objects.get_or_create(
            organization_id=organization_id, defaults={"stripe_id": stripe_id, "created_at": now, "updated_at": now}
        )
    return kept.stripe_id
