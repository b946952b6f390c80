"""Offering somebody a place in an organization, by mail."""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime, timedelta

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import transaction
from django.urls import reverse

from tenants.actors import Actor, ActorKind, user_actor
from tenants.errors import (
    AlreadyInvited,
    AlreadyMember,
    InvitationNotYours,
    InvitationOver,
    NotFound,
    OwnersOnly,
    SentJustNow,
    TooManyInvitations,
)
from tenants.languages import language_of
from tenants.models import Invitation, Membership, Organization, Role, User
from tenants.queries.invitations import hash_link, invitation_by_secret
from tenants.scope import organization_scope
from tenants.services import audit
from tenants.services.memberships import join
from tenants.services.outbox import queue_mail

LIFE_DAYS = 7
LONGEST_LIFE_DAYS = 30
# Nobody may have the portal write to a stranger over and over.
RESEND_AFTER = timedelta(minutes=1)
MOST_OPEN = 200


def invite(
    *, organization_id: uuid.UUID, email: str, role: str, days: int = LIFE_DAYS, actor: Actor, now: datetime
) -> Invitation:
    """Offer the person at `email` a role, by a mail whose link works for `days` days.

    An invitation of the same address that has expired is replaced. Locks the organization's row, so that two
    invitations count each other. Needs the organization's scope. Raises `AlreadyMember`, `AlreadyInvited`,
    `TooManyInvitations`, and `OwnersOnly` for the owner role, which is given to members only.
    """
    if role == Role.OWNER:
        raise OwnersOnly
    email = email.strip().lower()
    with transaction.atomic():
        organization = Organization.objects.select_for_update(no_key=True).get(id=organization_id)
        if Membership.objects.filter(user__email=email).exists():
            raise AlreadyMember
        pending = Invitation.objects.filter(accepted_at=None, revoked_at=None)
        pending.filter(email=email, expires_at__lte=now).update(revoked_at=now)
        if pending.filter(email=email).exists():
            raise AlreadyInvited
        if pending.count() >= MOST_OPEN:
            raise TooManyInvitations
        secret = _new_secret()
        invitation = Invitation.objects.create(
            organization=organization,
            email=email,
            role=role,
            secret_hash=hash_link(secret),
            invited_by_id=actor.id if actor.kind is ActorKind.USER else None,
            invited_by_name=actor.name,
            expires_at=now + timedelta(days=days),
            sent_at=now,
            created_at=now,
        )
        _send(invitation, secret, now)
        _record(invitation, "invitation.sent", actor, now)
    return invitation


def resend_invitation(*, invitation_id: uuid.UUID, days: int = LIFE_DAYS, actor: Actor, now: datetime) -> Invitation:
    """Send a new link that works for `days` days; the link sent before is dead. Locks the invitation.

    Needs the organization's scope. Raises `NotFound`, `InvitationOver`, and `SentJustNow` within a minute.
    """
    with transaction.atomic():
        invitation = _lock(invitation_id)
        if now - invitation.sent_at < RESEND_AFTER:
            raise SentJustNow
        secret = _new_secret()
        invitation.secret_hash = hash_link(secret)
        invitation.expires_at = now + timedelta(days=days)
        invitation.sent_at = now
        invitation.sent_count += 1
        invitation.save(update_fields=["secret_hash", "expires_at", "sent_at", "sent_count"])
        _send(invitation, secret, now)
        _record(invitation, "invitation.sent", actor, now)
    return invitation


def revoke_invitation(*, invitation_id: uuid.UUID, actor: Actor, now: datetime) -> Invitation:
    """Take an invitation back. Locks it. Needs the organization's scope. Raises `NotFound` and `InvitationOver`."""
    with transaction.atomic():
        invitation = _lock(invitation_id)
        invitation.revoked_at = now
        invitation.save(update_fields=["revoked_at"])
        _record(invitation, "invitation.revoked", actor, now)
    return invitation


def accept_invitation(*, secret: str, user: User, ip: str | None, now: datetime) -> Membership:
    """Let the invited person in: the one whose confirmed mail address is the invited one.

    Opens the organization's scope and locks the invitation: of two requests one is refused. Raises `NotFound` for an
    unknown link, `InvitationNotYours`, `InvitationOver` (accepted, revoked or expired) and `AlreadyMember`.
    """
    found = invitation_by_secret(secret)
    if found is None:
        raise NotFound
    actor = user_actor(user.id, user.email, ip)
    with organization_scope(found.organization.id):
        invitation = _lock(found.invitation.id)
        if invitation.expires_at <= now or invitation.secret_hash != hash_link(secret):
            raise InvitationOver
        if not is_invited(invitation, user):
            raise InvitationNotYours
        membership = join(
            organization_id=invitation.organization_id, user=user, role=invitation.role, actor=actor, now=now
        )
        invitation.accepted_at, invitation.accepted_by = now, user
        invitation.save(update_fields=["accepted_at", "accepted_by"])
        _record(invitation, "invitation.accepted", actor, now)
    return membership


def is_invited(invitation: Invitation, user: User) -> bool:
    """Return whether the invited address is one that this person has confirmed to be theirs."""
    return EmailAddress.objects.filter(user=user, verified=True, email__iexact=invitation.email).exists()


def _lock(invitation_id: uuid.UUID) -> Invitation:
    invitation = Invitation.objects.select_for_update().filter(id=invitation_id).first()
    if invitation is None:
        raise NotFound
    if invitation.accepted_at or invitation.revoked_at:
        raise InvitationOver
    return invitation


def _new_secret() -> str:
    return secrets.token_urlsafe(32)


def _send(invitation: Invitation, secret: str, now: datetime) -> None:
    reader = User.objects.filter(email=invitation.email).first() or invitation.invited_by
    queue_mail(
        organization_id=invitation.organization_id,
        to=invitation.email,
        kind="invitation",
        context={
            "organization": invitation.organization.name,
            "inviter": invitation.invited_by_name,
            "role": invitation.role,
            "days": (invitation.expires_at - now).days,
            "button_url": f"{settings.BASE_URL}{reverse('invitation', args=[secret])}",
        },
        dedupe_key=f"invitation:{invitation.id}:{invitation.sent_count}",
        language=language_of(reader) if reader else settings.LANGUAGE_CODE,
        now=now,
    )


def _record(invitation: Invitation, action: str, actor: Actor, now: datetime) -> None:
    audit.record(
        organization_id=invitation.organization_id,
        actor=actor,
        action=action,
        target_kind="invitation",
        target_id=invitation.id,
        after={"member": invitation.email, "role": invitation.role, "expires_at": invitation.expires_at},
        now=now,
    )
