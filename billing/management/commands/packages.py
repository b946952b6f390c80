"""Show, change and retire what is sold."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing.enums import Currency
from billing.errors import LedgerError
from billing.management.commands.grant_tokens import parse_tokens
from billing.models import Package, TopUpTier
from billing.money import minor_of, money_text
from billing.services.packages import drop_tier, retire_package, set_package, set_tier


class Command(BaseCommand):
    help = "Show what is sold, put a package on sale or change it, take one off, or set the prices of free amounts."

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

        tier = actions.add_parser("tier", help="say what a free amount costs from so many Tokens on")
        tier.add_argument("currency", choices=Currency.values)
        tier.add_argument("--from", dest="tokens", metavar="N", required=True, help="whole Tokens")
        tier.add_argument("--price", metavar="P", required=True, help="of 1,000 Tokens, in the currency's unit")
        tier.add_argument("--valid-days", type=int, metavar="DAYS", help="for ever, if not given")
        drop = actions.add_parser("drop-tier", help="take the price from so many Tokens on away")
        drop.add_argument("currency", choices=Currency.values)
        drop.add_argument("--from", dest="tokens", metavar="N", required=True, help="whole Tokens")

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
            elif action == "tier":
                set_tier(
                    currency=options["currency"],
                    from_mtok=parse_tokens(options["tokens"]),
                    minor_per_thousand=parse_price(options["price"]),
                    valid_days=options["valid_days"],
                    now=now,
                )
            elif action == "drop-tier":
                drop_tier(currency=options["currency"], from_mtok=parse_tokens(options["tokens"]))
        except LedgerError as error:
            raise CommandError(str(error)) from error
        for package in Package.objects.order_by("position", "currency", "id"):
            sale = "" if package.active else "  (retired)"
            self._line(package.name, package.tokens_mtok, package.price, package.valid_days, sale)
        for tier in TopUpTier.objects.order_by("currency", "from_mtok"):
            price = f"{money_text(tier.minor_per_thousand, tier.currency)} for 1,000"
            self._line("any, from", tier.from_mtok, price, tier.valid_days)

    def _line(self, name: str, mtok: int, price: str, valid_days: int | None, note: str = "") -> None:
        life = f"{valid_days} days" if valid_days else "for ever"
        tokens = f"{mtok // 1000:,}.{mtok % 1000:03d}"
        self.stdout.write(f"{name:<16}{tokens:>18} Tokens{price:>26}  {life}{note}")


def parse_price(text: str) -> int:
    """Return a price with at most 2 decimals in the currency's minor unit. Raises CommandError."""
    try:
        return minor_of(text)
    except ValueError as error:
        raise CommandError(f"{text!r}: {error}") from error
