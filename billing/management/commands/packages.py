"""Show, change and retire what is sold."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing.enums import Currency
from billing.errors import LedgerError
from billing.management.commands.grant_tokens import parse_tokens
from billing.models import Package
from billing.money import minor_of
from billing.services.packages import retire_package, set_package


class Command(BaseCommand):
    help = "Show the packages, put one on sale or change it, or take one off sale."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="show all packages, retired ones too")
        change = actions.add_parser("set", help="put a package on sale, or change the one of this name and currency")
        change.add_argument("name")
        change.add_argument("currency", choices=Currency.values)
        change.add_argument("--tokens", metavar="N", required=True, help="how many, with at most 3 decimals")
        change.add_argument(
            "--price", metavar="P", required=True, help="in the currency's unit, with 2 decimals at most"
        )
        change.add_argument("--valid-days", type=int, metavar="DAYS", help="for ever, if not given")
        change.add_argument("--models", nargs="*", default=[], metavar="MODEL", help="all, if not given")
        change.add_argument("--position", type=int, default=0, help="the lower, the earlier in the list (0)")
        retire = actions.add_parser("retire", help="take a package off sale; what was sold stays")
        retire.add_argument("name")
        retire.add_argument("currency", choices=Currency.values)

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        now = timezone.now()
        try:
            if action == "set":
                set_package(
                    name=options["name"],
                    currency=options["currency"],
                    tokens_mtok=parse_tokens(options["tokens"]),
                    price_minor=parse_price(options["price"]),
                    valid_days=options["valid_days"],
                    models=options["models"],
                    position=options["position"],
                    now=now,
                )
            elif action == "retire":
                retire_package(name=options["name"], currency=options["currency"], now=now)
        except LedgerError as error:
            raise CommandError(str(error)) from error
        for package in Package.objects.order_by("position", "currency", "id"):
            life = f"{package.valid_days} days" if package.valid_days else "for ever"
            sale = "" if package.active else "  (retired)"
            tokens = f"{package.tokens_mtok // 1000:,}.{package.tokens_mtok % 1000:03d}"
            self.stdout.write(f"{package.name:<16}{tokens:>18} Tokens{package.price:>18}  {life}{sale}")


def parse_price(text: str) -> int:
    """Return a price with at most 2 decimals in the currency's minor unit. Raises CommandError."""
    try:
        return minor_of(text)
    except ValueError as error:
        raise CommandError(f"{text!r}: {error}") from error
