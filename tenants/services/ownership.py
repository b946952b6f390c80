"""Handing an organization over: an owner offers, the member accepts. Every function needs the organization's scope."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from tenants.actors import Actor, ActorKind
from tenants.errors import AlreadyOwner, NotFound, OfferOver, OwnersOnly
from tenants.models import Membership, Organization, OwnershipOffer, Role, User
from tenants.services import audit
from tenants.services.memberships import require_own_way_in
from tenants.services.outbox import queue_mail_to

LIFE = timedelta(days=7)


def offer_ownership(*, organization_id: uuid.UUID, membership_id: uuid.UUID, actor: Actor, now: datetime) -> None:
    """Offer the organization to one of its members; an offer that was open is taken back.

    Locks the organization's row. Raises `OwnersOnly`, `NotFound`, `AlreadyOwner` and `OwnerNeedsPassword`.
    """
    with transaction.atomic():
        organization = _lock(organization_id)
        owner_id = _require_owner(actor)
        chosen = Membership.objects.select_related("user").filter(id=membership_id).first()
        if chosen is None:
            raise NotFound
        if chosen.role == Role.OWNER:
            raise AlreadyOwner
        require_own_way_in(chosen.user)
        OwnershipOffer.objects.filter(ended_at=None).update(ended_at=now)
        offer = OwnershipOffer.objects.create(
            organization=organization,
            offered_by_id=owner_id,
            offered_to=chosen.user,
            expires_at=now + LIFE,
            created_at=now,
        )
        _record(offer, "ownership.offered", actor, chosen.user, now)
        queue_mail_to(
            [chosen.user],
            organization_id=organization_id,
            kind="ownership_offer",
            context={
                "organization": organization.name,
                "owner": actor.name,
                "days": LIFE.days,
                "button_url": f"{settings.BASE_URL}{reverse('ownership_answer', args=[organization.slug])}",
            },
            dedupe_key=f"ownership:{offer.id}",
            now=now,
        )


def open_offer(now: datetime) -> OwnershipOffer | None:
    """Return the offer that waits for an answer, with both persons."""
    offers = OwnershipOffer.objects.select_related("offered_by", "offered_to")
    return offers.filter(ended_at=None, expires_at__gt=now).first()


def withdraw_offer(*, organization_id: uuid.UUID, actor: Actor, now: datetime) -> None:
    """Take the open offer back. Locks the organization's row. Raises `OwnersOnly` and `OfferOver`."""
    with transaction.atomic():
        _lock(organization_id)
        _require_owner(actor)
        _end(_open(now), "ownership.withdrawn", actor, now)


def decline_offer(*, organization_id: uuid.UUID, actor: Actor, now: datetime) -> None:
    """Say no to the offer made to `actor`. Locks the organization's row. Raises `OfferOver`."""
    with transaction.atomic():
        _lock(organization_id)
        _end(_open(now, to=actor), "ownership.declined", actor, now)


def accept_offer(*, organization_id: uuid.UUID, actor: Actor, now: datetime) -> None:
    """Make `actor`, to whom it was offered, an owner, and an admin of whoever offered it.

    Locks the organization's row and both memberships in primary-key order. Raises `OfferOver`, also when the one who
    offered is no owner any more, or either of the two has left, and `OwnerNeedsPassword`.
    """
    with transaction.atomic():
        _lock(organization_id)
        offer = _open(now, to=actor)
        both = {offer.offered_by_id, offer.offered_to_id}
        found = Membership.objects.filter(user_id__in=both).select_for_update().order_by("id")
        role_of = {membership.user_id: membership for membership in found}
        giver, taker = role_of.get(offer.offered_by_id), role_of.get(offer.offered_to_id)
        if giver is None or taker is None or giver.role != Role.OWNER:
            raise OfferOver
        require_own_way_in(offer.offered_to)
        giver.role, taker.role = Role.ADMIN, Role.OWNER
        for membership in (giver, taker):
            membership.save(update_fields=["role"])
        _end(offer, "ownership.accepted", actor, now)


def _lock(organization_id: uuid.UUID) -> Organization:
    return Organization.objects.select_for_update(no_key=True).get(id=organization_id)


def _require_owner(actor: Actor) -> uuid.UUID:
    owners = Membership.objects.filter(role=Role.OWNER).select_for_update().order_by("id")
    if actor.kind is not ActorKind.USER or actor.id is None or actor.id not in {owner.user_id for owner in owners}:
        raise OwnersOnly
    return actor.id


def _open(now: datetime, to: Actor | None = None) -> OwnershipOffer:
    offer = open_offer(now)
    if offer is None or (to is not None and (to.kind is not ActorKind.USER or offer.offered_to_id != to.id)):
        raise OfferOver
    return offer


def _end(offer: OwnershipOffer, action: str, actor: Actor, now: datetime) -> None:
    offer.ended_at = now
    offer.save(update_fields=["ended_at"])
    _record(offer, action, actor, offer.offered_to, now)


def _record(offer: OwnershipOffer, action: str, actor: Actor, taker: User, now: datetime) -> None:
    audit.record(
        organization_id=offer.organization_id,
        actor=actor,
        action=action,
        target_kind="organization",
        target_id=offer.organization_id,
        after={"owner": offer.offered_by.email, "member": taker.email},
        now=now,
    )
