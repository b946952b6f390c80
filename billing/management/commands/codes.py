"""Show, make and end codes."""

from __future__ import annotations

import csv
import uuid
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing.enums import CodeBenefit
from billing.errors import CodeError
from billing.management.commands.grant_tokens import parse_tokens
from billing.queries.codes import code_sets, miscounted_codes
from billing.services.code_sets import CodeTerms, end_code_set, make_codes
from tenants.identifiers import new_id
from tenants.scope import platform_scope


class Command(BaseCommand):
    help = "Show the sets of codes, make one (the codes go to standard output as CSV, this once), end one, or check."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="show all sets with how far they are used")
        actions.add_parser("check", help="compare the uses of every code with its redemptions; exits 1 if one is off")
        end = actions.add_parser("end", help="let no code of a set be used any more")
        end.add_argument("set", type=uuid.UUID)
        end.add_argument("--by", required=True, metavar="WHO", help="who ends it")
        make = actions.add_parser("make", help="make codes and print them, one a line; only their hashes are kept")
        make.add_argument("name", help="by which staff find them")
        worth = make.add_mutually_exclusive_group(required=True)
        worth.add_argument("--tokens", metavar="N", help="each use gives N Tokens at once")
        worth.add_argument("--bonus-tokens", metavar="N", help="each use adds N Tokens to a purchase")
        worth.add_argument("--bonus-percent", type=int, metavar="P", help="each use adds P percent to a purchase")
        worth.add_argument("--discount-percent", type=int, metavar="P", help="each use takes P percent off a purchase")
        make.add_argument("--count", type=int, default=1, help="how many codes (1)")
        make.add_argument("--uses", type=int, default=1, help="uses of each code (1)")
        make.add_argument("--per-organization", type=int, default=1, help="uses by one organization (1; 0: unbounded)")
        make.add_argument("--first-purchase-only", action="store_true")
        make.add_argument(
            "--valid-days", type=int, metavar="DAYS", help="how long its Tokens live; for ever, if unsaid"
        )
        make.add_argument("--last-day", type=date.fromisoformat, metavar="YYYY-MM-DD", help="in UTC; none, if unsaid")
        make.add_argument("--by", required=True, metavar="WHO", help="who makes them")
        make.add_argument("--reason", required=True)
        make.add_argument("--key", help="idempotency key: a repeated run makes nothing, and shows nothing")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        try:
            match action:
                case "make":
                    self._make(options)
                case "end":
                    end_code_set(code_set_id=options["set"], ended_by=options["by"], now=timezone.now())
                    self._list()
                case "list":
                    self._list()
                case "check":
                    self._check()
        except CodeError as error:
            raise CommandError(str(error)) from error

    def _make(self, options: dict[str, Any]) -> None:
        now, benefit, tokens, percent = timezone.now(), CodeBenefit.TOKENS, options["tokens"], None
        if options["bonus_tokens"]:
            benefit, tokens = CodeBenefit.BONUS_TOKENS, options["bonus_tokens"]
        for name in (CodeBenefit.BONUS_PERCENT, CodeBenefit.DISCOUNT_PERCENT):
            if options[name.value] is not None:
                benefit, percent = name, options[name.value]
        last_day = options["last_day"]
        made = make_codes(
            terms=CodeTerms(
                name=options["name"],
                benefit=benefit,
                tokens_mtok=parse_tokens(tokens) if tokens else None,
                percent=percent,
                count=options["count"],
                uses_per_code=options["uses"],
                uses_per_organization=options["per_organization"] or None,
                first_purchase_only=options["first_purchase_only"],
                valid_days=options["valid_days"],
                expires_at=datetime.combine(last_day + timedelta(days=1), time.min, UTC) if last_day else None,
            ),
            made_by=options["by"],
            reason=options["reason"],
            idempotency_key=f"command:{options['key'] or new_id()}",
            now=now,
        )
        writer = csv.writer(self.stdout, lineterminator="\n")
        writer.writerow(["code"])
        writer.writerows([code] for code in made.codes)
        self.stderr.write(f"Set {made.code_set.id}: {len(made.codes)} codes, shown this once.")

    def _list(self) -> None:
        with platform_scope("list codes"):
            found = list(code_sets())
        now = timezone.now()
        for one in found:
            worth = f"{one.percent} %" if one.percent else f"{(one.tokens_mtok or 0) // 1000:,} Tokens"
            uses = f"{one.use_count} of {one.most_uses}"  # type: ignore[attr-defined]
            self.stdout.write(
                f"{one.id}  {one.name:<24}{one.get_benefit_display():<36}{worth:>16}{uses:>18}  {one.status_at(now)}"
            )

    def _check(self) -> None:
        with platform_scope("check codes"):
            off = miscounted_codes()
        for one in off:
            self.stdout.write(f"{one.code_id} counts {one.counted} uses, and has {one.redemptions} redemptions.")
        if off:
            raise CommandError(f"{len(off)} codes are miscounted.")
        self.stdout.write("Every code counts its redemptions.")
