"""Saved cards of an organization. Numbers are given on Stripe's page and stay there."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.conf import settings

from billing.enums import StopReason
from billing.errors import CardUnknown
from billing.gateways.stripe import cards as gateway
from billing.gateways.stripe.customers import CustomerCard
from billing.models import BillingCustomer
from billing.services.auto_top_up_states import locked, stop
from billing.services.customers import ensure_customer
from billing.services.topups import Buyer
from tenants.actors import PLATFORM, Actor
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tenants.services import audit


def begin_saving_card(*, organization_id: uuid.UUID, buyer: Buyer, key: str, now: datetime) -> str:
    """Return the address of Stripe's page on which a card is saved. The same `key` is the same page.

    Opens scopes of its own and asks Stripe between them. Raises what the gateway does.
    """
    with organization_scope(organization_id):
        slug = Organization.objects.values_list("slug", flat=True).get(id=organization_id)
    customer_id = ensure_customer(organization_id=organization_id, email=buyer.email, language=buyer.language, now=now)
    page = f"{settings.BASE_URL}/o/{slug}/billing/cards/"
    session = gateway.open_setup_session(
        organization_id=organization_id,
        customer_id=customer_id,
        key=key,
        language=buyer.language,
        success_url=f"{page}saved/?session={{CHECKOUT_SESSION_ID}}",
        cancel_url=page,
    )
    return session.url


def save_card(*, session_id: str, now: datetime, organization_id: uuid.UUID | None = None) -> bool:
    """Take over the card that was saved on Stripe's page; return whether one was. Doing it again does nothing.

    It becomes the card that is charged. Called by the page that a buyer comes back to, which says whose it must be, and
    for the webhook. Asks Stripe first: call it outside of a transaction. Raises CardUnknown and what the gateway does.
    """
    session = gateway.setup_session(session_id)
    with platform_scope("whose card was saved?"):
        customer = BillingCustomer.objects.filter(stripe_id=session.customer_id).first()
    whose = None if customer is None else str(customer.organization_id)
    if customer is None or whose != session.organization or organization_id not in {None, customer.organization_id}:
        raise CardUnknown("There is no such card here.")
    if not session.payment_method_id:
        return False
    found = next((card for card in gateway.cards_of(customer.stripe_id) if _is(card, session.payment_method_id)), None)
    if found is None:
        # Removed again since.
        return False
    gateway.set_default_card(customer_id=customer.stripe_id, payment_method_id=found.payment_method_id)
    with organization_scope(customer.organization_id):
        _keep(customer.organization_id, found, "card.saved", PLATFORM, now)
    return True


def saved_cards(*, organization_id: uuid.UUID) -> list[CustomerCard]:
    """Return the saved cards as Stripe has them now, the newest first. Opens its own scope. Raises as the gateway."""
    with organization_scope(organization_id):
        customer = BillingCustomer.objects.filter(organization_id=organization_id).first()
    return [] if customer is None else gateway.cards_of(customer.stripe_id)


def make_default(*, organization_id: uuid.UUID, payment_method_id: str, actor: Actor, now: datetime) -> CustomerCard:
    """Charge this card from now on. Opens its own scopes, asks Stripe between. Raises CardUnknown, as the gateway."""
    customer, card = _find(organization_id, payment_method_id)
    gateway.set_default_card(customer_id=customer.stripe_id, payment_method_id=payment_method_id)
    with organization_scope(organization_id):
        _keep(organization_id, card, "card.made_default", actor, now)
    return card


def remove_card(*, organization_id: uuid.UUID, payment_method_id: str, actor: Actor, now: datetime) -> CustomerCard:
    """Have Stripe forget a card. Where it was the one that is charged, automatic top-ups stop.

    Opens its own scopes, asks Stripe between. Raises CardUnknown and what the gateway does.
    """
    customer, card = _find(organization_id, payment_method_id)
    gateway.forget_card(payment_method_id)
    with organization_scope(organization_id):
        wallet, row = locked(organization_id)
        was_charged = BillingCustomer.objects.filter(id=customer.id, card_payment_method_id=payment_method_id).update(
            card_payment_method_id="",
            card_brand="",
            card_last4="",
            card_expires_month=None,
            card_expires_year=None,
            updated_at=now,
        )
        if was_charged and row is not None and row.is_live:
            stop(row, wallet, StopReason.NO_CARD, now=now)
        audit.record(
            organization_id=organization_id,
            actor=actor,
            action="card.removed",
            target_kind="card",
            target_id=customer.id,
            before={"name": f"{card.brand} {card.last4}"},
            now=now,
        )
    return card


def _find(organization_id: uuid.UUID, payment_method_id: str) -> tuple[BillingCustomer, CustomerCard]:
    with organization_scope(organization_id):
        customer = BillingCustomer.objects.filter(organization_id=organization_id).first()
    if customer is not None:
        for card in gateway.cards_of(customer.stripe_id):
            if _is(card, payment_method_id):
                return customer, card
    raise CardUnknown("There is no such card here.")


def _is(card: CustomerCard, payment_method_id: str) -> bool:
    return card.payment_method_id == payment_method_id


def _keep(organization_id: uuid.UUID, card: CustomerCard, action: str, actor: Actor, now: datetime) -> None:
    changed = (
        BillingCustomer.objects.filter(organization_id=organization_id)
        .exclude(card_payment_method_id=card.payment_method_id)
        .update(
            card_payment_method_id=card.payment_method_id,
            card_brand=card.brand,
            card_last4=card.last4,
            card_expires_month=card.expires_month,
            card_expires_year=card.expires_year,
            updated_at=now,
        )
    )
    if changed:
        audit.record(
            organization_id=organization_id,
            actor=actor,
            action=action,
            target_kind="card",
            target_id=BillingCustomer.objects.values_list("id", flat=True).get(organization_id=organization_id),
            after={"name": f"{card.brand} {card.last4}"},
            now=now,
        )
