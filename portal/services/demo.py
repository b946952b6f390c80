"""The demo: two organizations with people, Tokens and credentials that work, made by the services that make real ones.

What exists already is kept; only what is missing is made. Secrets cannot be read back from the database, so the file
that the last run wrote is the memory of them: a credential whose secret is not in it is replaced.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from allauth.account.models import EmailAddress
from django.db import transaction

from billing.enums import GrantSource, SubTokenMode
from billing.errors import LedgerError, SubTokenError
from billing.models import SubToken
from billing.queries.balances import balance
from billing.queries.pools import wallet
from billing.services.grants import issue_grant
from billing.services.sub_token_life import revoke_sub_token
from billing.services.sub_tokens import allocate_to_sub_token, create_sub_token, reclaim_from_sub_token
from portal.services.onboarding import open_organization
from tenants.actors import Actor, user_actor
from tenants.identifiers import new_id
from tenants.models import ManagementKey, Membership, Organization, Role, Team, User
from tenants.permissions import MANAGEMENT_KEY_SCOPES, permissions_of
from tenants.scope import organization_scope, user_scope
from tenants.secrets import hash_secret
from tenants.services.management_keys import create_management_key, revoke_management_key
from tenants.services.teams import create_team

log = structlog.get_logger(__name__)

KEY_NAME = "Demo scripts"
LIFE = timedelta(days=365)
# A credential is replaced before it could expire in somebody's hands.
SPARE = timedelta(days=2)
# What the sample job and a few calls by hand cost.
ENOUGH_MTOK = 5_000


@dataclass(frozen=True)
class DemoSubToken:
    name: str
    team: str
    mode: SubTokenMode
    tokens: int


@dataclass(frozen=True)
class DemoOrganization:
    name: str
    email: str
    tokens: int
    sub_tokens: tuple[DemoSubToken, ...]


ORGANIZATION = DemoOrganization(
    name="Northwind Circuits",
    email="admin@northwind.example",
    tokens=10_000,
    sub_tokens=(
        DemoSubToken("Line 1 camera", "Inspection", SubTokenMode.ALLOCATED, 1_000),
        DemoSubToken("Lab notebook", "Laboratory", SubTokenMode.ALLOCATED, 200),
    ),
)
OTHER = DemoOrganization(
    name="Harbour Retail",
    email="admin@harbour.example",
    tokens=1_000,
    sub_tokens=(DemoSubToken("Shop counter", "Stores", SubTokenMode.ALLOCATED, 100),),
)


def seed_demo(*, remembered: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Make what is missing, and return every credential: the main organization's, and under "other" the second's.

    `remembered` is what an earlier call returned, or empty. Idempotent, each organization in one transaction.
    """
    with transaction.atomic():
        main = _seed(ORGANIZATION, remembered, now)
    with transaction.atomic():
        other = _seed(OTHER, remembered.get("other", {}), now)
    return {**main, "other": other}


def _seed(demo: DemoOrganization, remembered: dict[str, Any], now: datetime) -> dict[str, Any]:
    user, password = _person(demo.email, remembered.get("admin", {}).get("password"))
    actor = user_actor(user.id, user.email)
    organization = _organization(demo, user, actor, now)
    issue_grant(
        organization_id=organization.id,
        tokens_mtok=demo.tokens * 1000,
        source=GrantSource.MANUAL,
        expires_at=now + LIFE,
        reason="Demo package",
        actor=actor,
        idempotency_key="demo-package",
        now=now,
    )
    known = {entry["name"]: entry["secret"] for entry in remembered.get("sub_tokens", [])}
    with organization_scope(organization.id):
        return {
            "organization": organization.slug,
            "admin": {"email": user.email, "password": password},
            "management_key": _management_key(organization, remembered.get("management_key", ""), actor, now),
            "sub_tokens": [
                {
                    "name": wanted.name,
                    "secret": _sub_token(organization, wanted, known.get(wanted.name, ""), actor, now),
                    "tokens": wanted.tokens,
                }
                for wanted in demo.sub_tokens
            ],
        }


def _person(email: str, remembered_password: str | None) -> tuple[User, str]:
    password = remembered_password or secrets.token_urlsafe(12)
    user = User.objects.filter(email=email).first()
    if user is None:
        user = User.objects.create_user(email, password, name="Demo admin")
        EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    elif remembered_password is None:
        user.set_password(password)
        user.save(update_fields=["password"])
    return user, password


def _organization(demo: DemoOrganization, user: User, actor: Actor, now: datetime) -> Organization:
    with user_scope(user.id):
        # Not one that somebody has begun to delete, nor one where they are no owner any more.
        theirs = Membership.objects.filter(user=user, role=Role.OWNER, organization__deletion_requested_at=None)
        membership = theirs.select_related("organization").order_by("created_at").first()
    if membership is not None:
        return membership.organization
    # Without tight ceilings: scripts and visitors call it as fast as they like.
    return open_organization(name=demo.name, owner=user, actor=actor, now=now, plan="enterprise")


def _management_key(organization: Organization, secret: str, actor: Actor, now: datetime) -> str:
    key = ManagementKey.objects.filter(secret_hash=hash_secret(secret), revoked_at=None).first()
    if key is not None and (key.expires_at is None or key.expires_at > now + SPARE):
        return secret
    for stale in ManagementKey.objects.filter(name=KEY_NAME, revoked_at=None):
        revoke_management_key(key_id=stale.id, actor=actor, now=now)
    _, secret = create_management_key(
        organization_id=organization.id,
        name=KEY_NAME,
        scopes=MANAGEMENT_KEY_SCOPES,
        allowed=permissions_of(Role.OWNER),
        actor=actor,
        now=now,
    )
    return secret


def _sub_token(organization: Organization, wanted: DemoSubToken, secret: str, actor: Actor, now: datetime) -> str:
    known = SubToken.objects.filter(
        secret_hash=hash_secret(secret), revoked_at=None, expires_at__gt=now + SPARE
    ).first()
    if known is not None:
        _refill(organization, known, wanted.tokens * 1000, actor, now)
        return secret
    for stale in SubToken.objects.filter(name=wanted.name, revoked_at=None):
        revoke_sub_token(sub_token_id=stale.id, actor=actor, now=now)
        reclaim_from_sub_token(sub_token_id=stale.id, actor=actor, now=now)
    try:
        with transaction.atomic():
            return _slice(organization, wanted, _team(organization, wanted, actor, now), actor, now)
    except LedgerError:
        # Visitors spend Tokens, end projects and set ceilings; the demo starts all the same.
        _grant_what_lacks(organization, wanted.tokens * 1000, actor, now)
        return _slice(organization, wanted, None, actor, now)


def _refill(organization: Organization, token: SubToken, mtok: int, actor: Actor, now: datetime) -> None:
    """Give a sub-token that was spent its Tokens again, so that the sample job runs; one with some left keeps those."""
    if balance(token.account_id).available_mtok >= ENOUGH_MTOK:
        return
    try:
        with transaction.atomic():
            _grant_what_lacks(organization, mtok, actor, now)
            allocate_to_sub_token(sub_token_id=token.id, mtok=mtok, actor=actor, now=now)
    except (LedgerError, SubTokenError):
        log.warning("demo_not_refilled", sub_token=str(token.id))


def _grant_what_lacks(organization: Organization, mtok: int, actor: Actor, now: datetime) -> None:
    missing = mtok - balance(wallet().id).available_mtok
    if missing > 0:
        issue_grant(
            organization_id=organization.id,
            tokens_mtok=missing,
            source=GrantSource.MANUAL,
            expires_at=now + LIFE,
            reason="Demo package",
            actor=actor,
            idempotency_key=f"demo-package:{new_id()}",
            now=now,
        )


def _slice(
    organization: Organization, wanted: DemoSubToken, team_id: uuid.UUID | None, actor: Actor, now: datetime
) -> str:
    return create_sub_token(
        organization_id=organization.id,
        name=wanted.name,
        mode=wanted.mode,
        mtok=wanted.tokens * 1000,
        team_id=team_id,
        actor=actor,
        now=now,
    ).secret


def _team(organization: Organization, wanted: DemoSubToken, actor: Actor, now: datetime) -> uuid.UUID:
    team = Team.objects.filter(name=wanted.team).first()
    return (team or create_team(organization_id=organization.id, name=wanted.team, actor=actor, now=now)).id
