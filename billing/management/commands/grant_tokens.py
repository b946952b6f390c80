from __future__ import annotations

from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing.enums import GrantSource
from billing.errors import LedgerError
from billing.services.accounts import open_wallet
from billing.services.grants import give_tokens
from tenants.actors import Actor, ActorKind
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import platform_scope


class Command(BaseCommand):
    help = "Credit Tokens to an organization. Repeat a run safely by giving it the same --key."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", metavar="SLUG", required=True)
        parser.add_argument("--tokens", metavar="N", required=True, help="how many, with at most 3 decimals")
        parser.add_argument("--reason", required=True, help="shown in the ledger")
        parser.add_argument("--expires-in-days", type=int, metavar="DAYS", help="never, if not given")
        parser.add_argument("--priority", type=int, default=50, help="lower burns first (50)")
        parser.add_argument("--source", choices=GrantSource.values, default=GrantSource.MANUAL)
        parser.add_argument("--actor", default="", help="who gives them, shown in the ledger")
        parser.add_argument("--key", help="idempotency key")

    def handle(self, **options: Any) -> None:
        mtok = parse_tokens(options["tokens"])
        now = timezone.now()
        with platform_scope("grant tokens"):
            organization = Organization.objects.filter(slug=options["organization"]).first()
        if organization is None:
            raise CommandError(f"There is no organization {options['organization']!r}.")
        open_wallet(organization.id)
        days = options["expires_in_days"]
        try:
            grant = give_tokens(
                organization_id=organization.id,
                tokens_mtok=mtok,
                source=GrantSource(options["source"]),
                expires_at=None if days is None else now + timedelta(days=days),
                priority=options["priority"],
                reason=options["reason"],
                actor=Actor(ActorKind.PLATFORM, name=options["actor"] or "staff"),
                idempotency_key=options["key"] or f"grant:{new_id()}",
                now=now,
            )
        except LedgerError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{organization.name} has grant {grant.id} of {options['tokens']} Tokens.")


def parse_tokens(text: str) -> int:
    """Return the mtok of a decimal number of Tokens. Raises CommandError unless it is positive and exact."""
    try:
        mtok = Decimal(text) * 1000
    except InvalidOperation as error:
        raise CommandError(f"{text!r} is not a number of Tokens.") from error
    if not mtok.is_finite() or mtok <= 0 or mtok != int(mtok):
        raise CommandError("Tokens must be a positive number with at most 3 decimals.")
    return int(mtok)
