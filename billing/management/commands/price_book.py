"""Show the prices in force, or put new ones in force."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from billing.models import PriceBook
from billing.pricing import DEFAULT_PARAMETERS, InvalidPricesError, NoPriceError, Prices, PriceScheme, price_mtok
from billing.services.price_books import set_price_book

EXAMPLE_SIZES = (320, 640, 960, 1280)
LETTERS = "nsmlx"


class Command(BaseCommand):
    help = "Show the price book, or write its next version: every number is given as a decimal."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        show = actions.add_parser("show", help="show one version (by default the one in force) and its prices")
        show.add_argument("version", type=int, nargs="?")
        change = actions.add_parser("set", help="write the next version")
        change.add_argument("--scheme", choices=[scheme.value for scheme in PriceScheme], default="formula")
        change.add_argument(
            "--parameters", type=json.loads, default=DEFAULT_PARAMETERS, help="JSON; by default the first price book's"
        )
        change.add_argument("--active-from", type=_instant, default=None, help="RFC 3339; by default now")
        change.add_argument("--note", default="")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        if action == "set":
            self._set(**options)
        else:
            self._show(options["version"])

    def _set(self, *, scheme: str, parameters: Any, active_from: datetime | None, note: str, **_: Any) -> None:
        try:
            book = set_price_book(
                scheme=scheme, parameters=parameters, active_from=active_from or timezone.now(), note=note
            )
        except InvalidPricesError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(self.style.SUCCESS(f"Price book {book.version} is written."))
        self._show(book.version)

    def _show(self, version: int | None) -> None:
        books = PriceBook.objects.all() if version else PriceBook.objects.filter(active_from__lte=timezone.now())
        try:
            book = books.get(version=version) if version else books.latest("version")
        except PriceBook.DoesNotExist:
            raise CommandError(f"There is no price book {version}.") from None
        self.stdout.write(
            f"Price book {book.version}: {book.scheme}, active from {book.active_from:%Y-%m-%d %H:%M} UTC"
        )
        self.stdout.write(json.dumps(book.parameters, indent=2))
        prices = Prices.from_parameters(book.version, book.scheme, book.parameters)
        self.stdout.write("Tokens an image   " + "".join(f"{size:>10}" for size in EXAMPLE_SIZES))
        for letter in LETTERS:
            cells = "".join(f"{_tokens(prices, letter, size):>10}" for size in EXAMPLE_SIZES)
            self.stdout.write(f"{letter:<18}{cells}")


def _instant(text: str) -> datetime:
    instant = parse_datetime(text)
    if instant is None or instant.tzinfo is None:
        raise ValueError(f"{text} is no RFC 3339 time")
    return instant


def _tokens(prices: Prices, letter: str, size: int) -> str:
    try:
        mtok = price_mtok(prices, letter=letter, img_size=size, width=size, height=size)
    except NoPriceError:
        return "-"
    return f"{mtok // 1000}.{mtok % 1000:03}"
