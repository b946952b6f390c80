"""What the tests of automatic top-ups do: run what is due, look, and hear of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.errors import GatewayAway
from billing.gateways.stripe import intents
from billing.gateways.stripe.events import read_payload
from billing.queries.balances import organization_balance
from billing.services.auto_top_ups import run_auto_top_ups
from billing.services.stripe_events import process_due_events, receive
from tenants.models import Organization, OutboxMail
from tenants.scope import organization_scope
from tests.stripe_standin import StandIn


def run(at: datetime | None = None) -> int:
    return run_auto_top_ups(clock=lambda: at or timezone.now() + timedelta(seconds=1))


def available(organization: Organization) -> int:
    with organization_scope(organization.id):
        return organization_balance(organization.id).available_mtok


def mails(organization: Organization) -> list[str]:
    with organization_scope(organization.id):
        return list(OutboxMail.objects.filter(kind="auto_top_up").order_by("id").values_list("context__why", flat=True))


def deliver_all(standin: StandIn) -> None:
    """Hear of everything that happened at Stripe, as the webhook would."""
    for event in standin.events():
        receive(event=read_payload(event), now=timezone.now())
    process_due_events(clock=lambda: timezone.now() + timedelta(seconds=1))


def lose_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next charge be made at Stripe, and whoever asked for it never hear of it."""
    ask = intents.charge_saved_card

    def charge_and_vanish(**values: Any) -> Any:
        monkeypatch.setattr(intents, "charge_saved_card", ask)
        ask(**values)
        raise GatewayAway("the line went dead")

    monkeypatch.setattr(intents, "charge_saved_card", charge_and_vanish)
