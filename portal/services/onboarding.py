"""Opening an organization: its members, its wallet and its trial Tokens, all or none."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from billing.enums import GrantSource
from billing.services.accounts import open_wallet
from billing.services.grants import issue_grant
from tenants.actors import Actor
from tenants.models import Organization, User
from tenants.services.organizations import create_organization
from tenants.services.users import take_trial

TRIAL_MTOK = 10_000


def open_organization(*, name: str, owner: User, actor: Actor, now: datetime, plan: str | None = None) -> Organization:
    """Create an organization owned by `owner`, with a wallet, the ledger's own accounts and a plan (the initial one).

    The first organization that a person opens gets the trial grant of 10 Tokens. A person who signs up gets it at
    once: nothing can be spent before they have confirmed their mail address, because nobody can sign in before.
    """
    with transaction.atomic():
        organization = create_organization(name=name, owner=owner, actor=actor, now=now)
        open_wallet(organization.id, plan=plan, now=now)
        if take_trial(user=owner, now=now):
            issue_grant(
                organization_id=organization.id,
                tokens_mtok=TRIAL_MTOK,
                source=GrantSource.TRIAL,
                idempotency_key="trial",
                actor=actor,
                now=now,
            )
    return organization
