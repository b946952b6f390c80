"""Show, change and retire plans and boosts, and put an organization on a plan."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing.enums import Currency
from billing.errors import LedgerError
from billing.management.commands.grant_tokens import parse_tokens
from billing.management.commands.packages import parse_price
from billing.models import BoostOffer, Plan
from billing.services import plans
from billing.services.subscriptions import give_plan
from tenants.actors import PLATFORM
from tenants.models import Organization
from tenants.scope import platform_scope


class Command(BaseCommand):
    help = "Show the plans and boosts, offer one or change it, take one off sale, or put an organization on a plan."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="show all plans and boosts, retired ones too")
        change = actions.add_parser("set", help="offer a plan, or change the one of this key for all who have it")
        change.add_argument("key")
        change.add_argument("--name", required=True)
        change.add_argument("--position", type=int, required=True, help="the higher, the higher the plan")
        change.add_argument("--monthly", metavar="N", help="Tokens per month, none if not given")
        change.add_argument("--valid-days", type=int, metavar="DAYS", help="of these Tokens; not given: the month")
        change.add_argument("--hourly", metavar="N", help="Tokens per hour at most")
        change.add_argument("--requests-per-second", type=_decimal, metavar="N")
        change.add_argument("--burst", type=int, metavar="N", help="one second's worth, if not given")
        change.add_argument("--concurrency", type=int, metavar="N", help="calls at a time")
        change.add_argument("--weight", type=int, default=1, help="share of busy workers (1)")
        change.add_argument("--sub-token-days", type=int, default=365, metavar="DAYS", help="longest life (365)")
        change.add_argument("--models", nargs="*", default=[], metavar="MODEL", help="all, if not given")
        change.add_argument("--unlisted", action="store_true", help="not on the pricing page")
        for currency in Currency.values:
            change.add_argument(f"--{currency.lower()}", metavar="P", help=f"price per month in {currency}")
        retire = actions.add_parser("retire", help="take a plan off sale; who has it keeps it")
        retire.add_argument("key")
        initial = actions.add_parser("initial", help="let new organizations begin on this plan")
        initial.add_argument("key")
        give = actions.add_parser("give", help="put an organization on a plan, at once")
        give.add_argument("organization", help="its short name, as in addresses")
        give.add_argument("key")
        give.add_argument("--reason", required=True)
        boost = actions.add_parser("set-boost", help="put a boost on sale, or change the one of this name and currency")
        boost.add_argument("name")
        boost.add_argument("currency", choices=Currency.values)
        boost.add_argument("--factor", type=_decimal, required=True)
        boost.add_argument("--hours", type=int, required=True)
        boost.add_argument("--price", required=True, metavar="P")
        boost.add_argument("--position", type=int, default=0)
        stop = actions.add_parser("retire-boost", help="take a boost off sale; what was bought runs on")
        stop.add_argument("name")
        stop.add_argument("currency", choices=Currency.values)

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        now = timezone.now()
        try:
            match action:
                case "set":
                    plans.set_plan(key=options["key"], terms=_offer(options), now=now)
                case "retire":
                    plans.retire_plan(key=options["key"], now=now)
                case "initial":
                    plans.set_initial_plan(key=options["key"], now=now)
                case "give":
                    self._give(options["organization"], options["key"], options["reason"])
                case "set-boost":
                    names = ("name", "currency", "factor", "hours", "position")
                    values = {name: options[name] for name in names}
                    plans.set_boost_offer(**values, price_minor=parse_price(options["price"]), now=now)
                case "retire-boost":
                    plans.retire_boost_offer(name=options["name"], currency=options["currency"], now=now)
        except LedgerError as error:
            raise CommandError(str(error)) from error
        self._list()

    def _give(self, slug: str, key: str, reason: str) -> None:
        with platform_scope("give plan"):
            organization = Organization.objects.filter(slug=slug).first()
        if organization is None:
            raise CommandError(f"There is no organization {slug!r}.")
        give_plan(organization_id=organization.id, plan_key=key, reason=reason, actor=PLATFORM, now=timezone.now())

    def _list(self) -> None:
        for plan in Plan.objects.order_by("position").prefetch_related("prices"):
            prices = ", ".join(f"{_money(price.price_minor)} {price.currency}" for price in plan.prices.all())
            marks = [word for word, so in (("initial", plan.initial), ("unlisted", not plan.listed)) if so]
            marks += [] if plan.active else ["retired"]
            self.stdout.write(
                f"{plan.key:<12}{plan.position:>4}{_tokens(plan.monthly_mtok):>14}/month"
                f"{_tokens(plan.tokens_per_hour_mtok):>14}/hour{_number(plan.requests_per_second):>7}/s"
                f"{_number(plan.concurrency):>6} at a time  {prices or 'not sold'}"
                f"{'  (' + ', '.join(marks) + ')' if marks else ''}"
            )
        for offer in BoostOffer.objects.order_by("position", "currency"):
            sale = "" if offer.active else "  (retired)"
            self.stdout.write(
                f"{offer.name:<24}x {offer.factor:g} for {offer.hours} h"
                f"{_money(offer.price_minor):>12} {offer.currency}{sale}"
            )


def _offer(options: dict[str, Any]) -> plans.PlanOffer:
    same = ("name", "position", "requests_per_second", "burst", "concurrency", "weight", "sub_token_days", "models")
    return plans.PlanOffer(
        **{name: options[name] for name in same},
        monthly_mtok=parse_tokens(options["monthly"]) if options["monthly"] else 0,
        tokens_valid_days=options["valid_days"],
        tokens_per_hour_mtok=parse_tokens(options["hourly"]) if options["hourly"] else None,
        listed=not options["unlisted"],
        prices={
            currency: parse_price(options[currency.lower()])
            for currency in Currency.values
            if options[currency.lower()]
        },
    )


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is no number") from error


def _money(minor: int) -> str:
    return f"{minor // 100:,}.{minor % 100:02d}"


def _tokens(mtok: int | None) -> str:
    if mtok is None:
        return "no limit"
    return f"{mtok // 1000:,}" + (f".{mtok % 1000:03d}" if mtok % 1000 else "")


def _number(number: Decimal | int | None) -> str:
    return "–" if number is None else f"{number:g}" if isinstance(number, Decimal) else str(number)
