"""An organization that subscribes at the stand-in for Stripe, and what tests do with it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from billing.enums import GrantSource, PaymentKind
from billing.gateways.stripe.events import read_payload
from billing.models import Grant, Payment, Subscription
from billing.services import plan_orders
from billing.services.plan_orders import Change, Preview
from billing.services.stripe_events import process_due_events, receive
from billing.services.topups import Buyer
from tenants.actors import PLATFORM
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.stripe_standin import PAID, StandIn

BUYER = Buyer(PLATFORM, "buyer@alpha.example", "en")


@dataclass
class Customer:
    """One organization that buys. Times are Stripe's: a subscription that was renewed lives in the future."""

    standin: StandIn
    organization: Organization
    told: set[str] = field(default_factory=set)

    @property
    def id(self) -> uuid.UUID:
        return self.organization.id

    def row(self) -> Subscription:
        with organization_scope(self.id):
            return Subscription.objects.select_related("plan", "next_plan", "pending_plan").get()

    def state(self) -> tuple[str, str, str | None]:
        """Return plan, status and what comes next."""
        row = self.row()
        return row.plan.key, row.status, row.next_plan.key if row.next_plan else None

    def plan_tokens(self) -> list[int]:
        """Return what plans gave, in mtok, oldest first."""
        with organization_scope(self.id):
            found = Grant.objects.filter(source=GrantSource.PLAN).order_by("created_at", "id")
            return list(found.values_list("amount_mtok", flat=True))

    def payments(self) -> list[Payment]:
        with organization_scope(self.id):
            return list(Payment.objects.filter(kind=PaymentKind.PLAN).order_by("created_at", "id"))

    def preview(self, plan: str, **values: Any) -> Preview:
        return plan_orders.preview_change(organization_id=self.id, plan_key=plan, now=timezone.now(), **values)

    def change(self, plan: str, **values: Any) -> Change:
        return plan_orders.change_plan(
            organization_id=self.id, plan_key=plan, buyer=BUYER, now=timezone.now(), **values
        )

    def subscribe(self, plan: str = "basic", card: str = PAID, **values: Any) -> None:
        """Subscribe as a person does: on the hosted page, whose news then arrive."""
        change = self.change(plan, **values)
        assert change.state == "payment_needed"
        assert self.standin.pay(change.url, card).went_on
        self.hear()

    def hear(self, *, again: bool = False) -> None:
        """Process what Stripe has told since the last time, or everything once more."""
        for event in self.standin.events():
            if event["id"] not in self.told or again:
                payload = {**event, "id": f"{event['id']}_{uuid.uuid4().hex[:6]}"} if again else event
                receive(event=read_payload(payload), now=timezone.now())
                self.told.add(event["id"])
        process_due_events()

    def renew(self) -> None:
        """Let Stripe begin the next period, and hear of it."""
        self.standin.control(f"subscriptions/{self.row().stripe_id}/renew")
        self.hear()

    def card(self, number: str) -> None:
        """Let the subscription be paid with another card from now on."""
        client = self.standin.client()
        row = self.row()
        assert row.stripe_id
        customer = str(client.v1.subscriptions.retrieve(row.stripe_id).customer)
        method = client.v1.payment_methods.create(
            {"type": "card", "card": {"number": number, "exp_month": 12, "exp_year": 2034, "cvc": "123"}}
        )
        client.v1.payment_methods.attach(method.id, {"customer": customer})
        client.v1.subscriptions.update(row.stripe_id, {"default_payment_method": method.id})


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
