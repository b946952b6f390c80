"""Automatic top-ups for tests: a card saved on the stand-in's page, settings through the service."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.utils import timezone

from billing.models import AutoTopUp, Payment
from billing.services.auto_top_up_settings import AutoTopUpTerms, set_auto_top_up
from billing.services.cards import begin_saving_card, save_card
from billing.services.topups import Buyer
from tenants.actors import PLATFORM
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.stripe_standin import PAID, StandIn

# 1,000 Tokens at the list's price in yuan, below 100 Tokens.
TOKENS, THRESHOLD = 1_000_000, 100_000


def give_card(organization: Organization, standin: StandIn, number: str = PAID) -> None:
    """Save a card as a person does, on the hosted page, and come back."""
    now = timezone.now()
    buyer = Buyer(PLATFORM, "buyer@alpha.example", "en")
    url = begin_saving_card(organization_id=organization.id, buyer=buyer, key=str(new_id()), now=now)
    page = standin.pay(url, number)
    assert page.location, page.text
    (session_id,) = parse_qs(urlsplit(page.location).query)["session"]
    assert save_card(session_id=session_id, organization_id=organization.id, now=now)


def turn_on(organization: Organization, *, now: datetime | None = None, **terms: Any) -> AutoTopUp:
    """Buy 1,000 Tokens by itself below 100, for at most 1,000 yuan a month, unless told otherwise."""
    defaults = {
        "enabled": True,
        "threshold_mtok": THRESHOLD,
        "tokens_mtok": TOKENS,
        "currency": "CNY",
        "ceiling_minor": 100_000,
    }
    if "package_id" in terms:
        del defaults["tokens_mtok"]
    return set_auto_top_up(
        organization_id=organization.id,
        terms=AutoTopUpTerms(**defaults | terms),  # type: ignore[arg-type]
        actor=PLATFORM,
        now=now or timezone.now() - timedelta(seconds=1),
    )


def row_of(organization: Organization) -> AutoTopUp:
    """Return the settings as they are now."""
    with organization_scope(organization.id):
        return AutoTopUp.objects.get()


def payments_of(organization: Organization) -> list[Payment]:
    """Return the payments, oldest first."""
    with organization_scope(organization.id):
        return list(Payment.objects.order_by("id"))
