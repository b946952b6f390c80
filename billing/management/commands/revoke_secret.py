from __future__ import annotations

import re
import sys
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing.models import RetiredSecret, SubToken
from billing.services.sub_token_life import end_grace, revoke_sub_token
from tenants.actors import Actor, ActorKind
from tenants.models import ManagementKey, OldSecret, Organization, RetiredKeySecret
from tenants.scope import organization_scope, platform_scope
from tenants.secrets import SecretKind, hash_secret, kind_of
from tenants.services.management_keys import end_grace_of_key, revoke_management_key

BEGINNING = re.compile(r"ts[km]_[0-9A-Za-z]{4,8}")


@dataclass(frozen=True)
class Found:
    """A secret: whose it is, and whether it is an older one (`ends_at`)."""

    organization_id: uuid.UUID
    kind: SecretKind
    owner_id: uuid.UUID
    name: str
    prefix: str
    ends_at: datetime | None
    revoked_at: datetime | None


class Command(BaseCommand):
    help = (
        "Say whose secret was found somewhere, in any organization, and with --revoke stop it. The secret, or at least "
        "its first 8 characters, is read from the standard input, so that it stands in no list of processes and no "
        "history. Revoking takes the whole secret: the newest one revokes what it opens, an older one ends alone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--revoke", action="store_true")
        parser.add_argument("--reason", default="", help="written into the organization's audit log; --revoke needs it")
        parser.add_argument("--actor", default="staff", help="who does it, written there too")

    def handle(self, **options: Any) -> None:
        text = sys.stdin.readline().strip()
        whole = kind_of(text) is not None
        if not whole and not BEGINNING.fullmatch(text):
            raise CommandError("This is no secret of ours, nor the beginning of one.")
        if options["revoke"] and not whole:
            raise CommandError("To revoke it, give the whole secret: others may begin like it.")
        if options["revoke"] and not options["reason"].strip():
            raise CommandError("Say why, with --reason: its organization will read it.")
        now = timezone.now()
        where = {"secret_hash": hash_secret(text)} if whole else {"prefix__startswith": text}
        with platform_scope("whose secret is this?"):
            found = list(_find(where))
            slugs = dict(
                Organization.objects.filter(id__in={one.organization_id for one in found}).values_list("id", "slug")
            )
        for one in found:
            self.stdout.write(f"{slugs[one.organization_id]}: {_words(one, now)}")
        if not found:
            raise CommandError("No organization has, or had, this secret.")
        if options["revoke"]:
            actor = Actor(ActorKind.PLATFORM, name=options["actor"])
            self.stdout.write(_stop(found[0], options["reason"].strip(), actor, now))


def _find(where: dict[str, str]) -> list[Found]:
    sub_tokens = SubToken.objects.filter(**where).order_by("id")
    keys = ManagementKey.objects.filter(**where).order_by("id")
    old = RetiredSecret.objects.filter(**where).select_related("sub_token").order_by("id")
    old_of_keys = RetiredKeySecret.objects.filter(**where).select_related("key").order_by("id")
    return [
        *(_found(SecretKind.SUB_TOKEN, one) for one in sub_tokens),
        *(_found(SecretKind.MANAGEMENT_KEY, one) for one in keys),
        *(_found(SecretKind.SUB_TOKEN, one.sub_token, one) for one in old),
        *(_found(SecretKind.MANAGEMENT_KEY, one.key, one) for one in old_of_keys),
    ]


def _found(kind: SecretKind, owner: SubToken | ManagementKey, old: OldSecret | None = None) -> Found:
    return Found(
        organization_id=owner.organization_id,
        kind=kind,
        owner_id=owner.id,
        name=owner.name,
        prefix=(old or owner).prefix,
        ends_at=old.ends_at if old else None,
        revoked_at=owner.revoked_at,
    )


def _words(one: Found, now: datetime) -> str:
    what = "sub-token" if one.kind is SecretKind.SUB_TOKEN else "management key"
    if one.revoked_at is not None:
        state = f"revoked at {one.revoked_at:%Y-%m-%d %H:%M} UTC"
    elif one.ends_at is None:
        state = "its newest secret"
    elif one.ends_at > now:
        state = f"an older secret that works until {one.ends_at:%Y-%m-%d %H:%M} UTC"
    else:
        state = f"an older secret that stopped working at {one.ends_at:%Y-%m-%d %H:%M} UTC"
    return f"{what} {one.name!r} ({one.owner_id}), {one.prefix}…: {state}"


def _stop(one: Found, reason: str, actor: Actor, now: datetime) -> str:
    """Stop a secret and say what was done; several runs do it once."""
    what: dict[str, Any] = {"reason": reason, "actor": actor, "now": now}
    if one.revoked_at is not None or (one.ends_at is not None and one.ends_at <= now):
        return "It opens nothing any more; nothing was done."
    with organization_scope(one.organization_id):
        match one.kind, one.ends_at:
            case SecretKind.SUB_TOKEN, None:
                revoke_sub_token(sub_token_id=one.owner_id, **what)
                return "The sub-token is revoked; its Tokens can be taken back by its organization."
            case SecretKind.SUB_TOKEN, _:
                end_grace(sub_token_id=one.owner_id, **what)
            case SecretKind.MANAGEMENT_KEY, None:
                revoke_management_key(key_id=one.owner_id, **what)
                return "The management key is revoked."
            case _:
                end_grace_of_key(key_id=one.owner_id, **what)
    return "Its older secrets are ended; the newest one works on."
