"""Single sign-on of an organization: what its admin enters, and whom its provider lets in.

A provider is the word of one organization, and must never open another. So an identity belongs to the organization
whose provider named it; the session that it opens sees that organization alone (`tenants.confined`); a person who has
an account already is linked only by signing in to it; and an account that a provider brings is born without a password
and without a confirmed address.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime

from allauth.account.models import EmailAddress
from django.db import IntegrityError, transaction

from tenants.actors import Actor, user_actor
from tenants.errors import (
    AccountExists,
    DomainNotAllowed,
    NotFound,
    OwnersOnly,
    ProviderFailed,
    SsoNoMember,
    SsoTakenByOther,
    SsoUntried,
)
from tenants.gateways.oidc import Claims, discover
from tenants.models import Identity, Membership, Organization, Role, SingleSignOn, User
from tenants.scope import organization_scope, platform_scope
from tenants.sealing import seal, unseal
from tenants.services import audit
from tenants.services.memberships import join

PURPOSE = "single sign-on"


def configure(
    *,
    organization_id: uuid.UUID,
    issuer: str,
    client_id: str,
    client_secret: str,
    domains: Sequence[str],
    default_role: str,
    actor: Actor,
    now: datetime,
) -> SingleSignOn:
    """Keep an organization's provider, which is asked about itself first; an empty secret keeps the one there is.

    Another issuer or client is untried, and so not required any more. Needs the organization's scope and locks its row.
    Raises `ProviderFailed`, and `OwnersOnly` for the owner role.
    """
    if default_role == Role.OWNER:
        raise OwnersOnly
    discover(issuer)
    with transaction.atomic():
        organization = Organization.objects.select_for_update(no_key=True).get(id=organization_id)
        kept = SingleSignOn.objects.filter(organization=organization).first()
        if kept is None and not client_secret:
            raise ProviderFailed("no secret")
        row = kept or SingleSignOn(organization=organization, created_at=now)
        before = _facts(kept) if kept else None
        if (row.issuer, row.client_id) != (issuer, client_id):
            row.tried_at = None
            organization.requires_single_sign_on = False
            organization.save(update_fields=["requires_single_sign_on"])
        row.issuer, row.client_id, row.default_role = issuer, client_id, default_role
        row.domains = sorted({domain.strip().lower().lstrip("@") for domain in domains if domain.strip()})
        if client_secret:
            row.sealed_client_secret = seal(client_secret, purpose=PURPOSE)
        row.save()
        _record(organization_id, "single_sign_on.changed", actor, row.id, now, before, _facts(row))
    return row


def remove(*, organization_id: uuid.UUID, actor: Actor, now: datetime) -> None:
    """Forget an organization's provider and whom it named; members stay. Needs its scope. Raises `NotFound`."""
    with transaction.atomic():
        organization = Organization.objects.select_for_update(no_key=True).get(id=organization_id)
        row = SingleSignOn.objects.filter(organization=organization).first()
        if row is None:
            raise NotFound
        organization.requires_single_sign_on = False
        organization.save(update_fields=["requires_single_sign_on"])
        Identity.objects.filter(organization=organization).delete()
        _record(organization_id, "single_sign_on.removed", actor, row.id, now, _facts(row), None)
        row.delete()


def require(*, organization_id: uuid.UUID, required: bool, actor: Actor, now: datetime) -> None:
    """Let members in by the provider only, or by their password again. Owners always can come in by their own account.

    Needs the organization's scope and locks its row. Raises `NotFound`, and `SsoUntried` before anybody came in by it.
    """
    with transaction.atomic():
        organization = Organization.objects.select_for_update(no_key=True).get(id=organization_id)
        row = SingleSignOn.objects.filter(organization=organization).first()
        if row is None:
            raise NotFound
        if required and row.tried_at is None:
            raise SsoUntried
        if organization.requires_single_sign_on == required:
            return
        organization.requires_single_sign_on = required
        organization.save(update_fields=["requires_single_sign_on"])
        action = "single_sign_on.required" if required else "single_sign_on.optional"
        _record(organization_id, action, actor, row.id, now, None, None)


def provider_of(slug: str) -> SingleSignOn | None:
    """Return the provider of the organization named `slug`, with the organization, or None. Needs no scope."""
    with platform_scope("somebody comes by single sign-on"):
        found = SingleSignOn.objects.select_related("organization")
        return found.filter(organization__slug=slug, organization__deletion_requested_at=None).first()


def client_secret_of(provider: SingleSignOn) -> str:
    """Return the client's secret, for the provider alone. Raises `SealBroken`."""
    return unseal(provider.sealed_client_secret, purpose=PURPOSE)


def person_for(*, provider: SingleSignOn, claims: Claims, ip: str | None, now: datetime) -> User:
    """Return the member that a provider names; one who is new here gets an account and the default role.

    Opens the organization's scope. Raises `AccountExists` when the mail address is somebody's already: they have to
    sign in to that account and agree (`link`). Raises `DomainNotAllowed` and `SsoNoMember`.
    """
    with organization_scope(provider.organization_id):
        known = Identity.objects.filter(issuer=provider.issuer, subject=claims.subject).select_related("user")
        identity = known.select_for_update(of=("self",)).first()
        if identity is not None:
            if not identity.user.is_active or not Membership.objects.filter(user=identity.user).exists():
                raise SsoNoMember
            _used(provider, identity, ip, now)
            return identity.user
        _check_domain(provider, claims)
        taken = EmailAddress.objects.filter(email__iexact=claims.email)
        if User.objects.filter(email=claims.email).exists() or taken.exists():
            raise AccountExists
        try:
            with transaction.atomic():
                user = User.objects.create_user(claims.email, name=claims.name)
        except IntegrityError as error:  # somebody signed up with it in this moment
            raise AccountExists from error
        EmailAddress.objects.create(user=user, email=user.email, verified=False, primary=True)
        actor = user_actor(user.id, user.email, ip)
        join(organization_id=provider.organization_id, user=user, role=provider.default_role, actor=actor, now=now)
        _used(provider, _link(provider, user, claims.subject), ip, now)
        return user


def link(*, provider: SingleSignOn, claims: Claims, user: User, ip: str | None, now: datetime) -> None:
    """Let the provider name `user` from now on, who is signed in to their own account and agrees.

    Their confirmed mail address has to be the one that the provider says. Who is no member yet gets the default role.
    Opens the organization's scope. Raises `SsoTakenByOther`, `DomainNotAllowed` and `SsoNoMember`.
    """
    if not EmailAddress.objects.filter(user=user, verified=True, email__iexact=claims.email).exists():
        raise SsoTakenByOther
    actor = user_actor(user.id, user.email, ip)
    with organization_scope(provider.organization_id):
        _check_domain(provider, claims)
        if not Membership.objects.filter(user=user).exists():
            join(organization_id=provider.organization_id, user=user, role=provider.default_role, actor=actor, now=now)
        try:
            with transaction.atomic():
                identity = _link(provider, user, claims.subject)
        except IntegrityError as error:
            raise SsoTakenByOther from error
        _record(
            provider.organization_id, "single_sign_on.linked", actor, identity.id, now, None, {"member": user.email}
        )
        _used(provider, identity, ip, now)


def _link(provider: SingleSignOn, user: User, subject: str) -> Identity:
    return Identity.objects.create(
        organization_id=provider.organization_id, user=user, issuer=provider.issuer, subject=subject
    )


def _used(provider: SingleSignOn, identity: Identity, ip: str | None, now: datetime) -> None:
    Identity.objects.filter(id=identity.id).update(last_used_at=now)
    SingleSignOn.objects.filter(id=provider.id, tried_at=None).update(tried_at=now)
    actor = user_actor(identity.user_id, identity.user.email, ip)
    _record(provider.organization_id, "single_sign_on.signed_in", actor, identity.id, now, None, None)


def _check_domain(provider: SingleSignOn, claims: Claims) -> None:
    _, _, domain = claims.email.rpartition("@")
    if claims.email_verified is False or not domain or domain not in provider.domains:
        raise DomainNotAllowed


def _facts(row: SingleSignOn) -> dict[str, object]:
    return {"issuer": row.issuer, "client_id": row.client_id, "domains": row.domains, "role": row.default_role}


def _record(
    organization_id: uuid.UUID,
    action: str,
    actor: Actor,
    target_id: uuid.UUID,
    now: datetime,
    before: Mapping[str, object] | None,
    after: Mapping[str, object] | None,
) -> None:
    audit.record(
        organization_id=organization_id,
        actor=actor,
        action=action,
        target_kind="single_sign_on",
        target_id=target_id,
        before=dict(before) if before else None,
        after=dict(after) if after else None,
        now=now,
    )
