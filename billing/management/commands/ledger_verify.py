from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from billing.services.verify import LedgerReport, verify_ledger


class Command(BaseCommand):
    help = "Recompute every balance from the entries. Exits with 1 if a single thousandth of a Token is off."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", metavar="SLUG", help="verify this organization only")
        parser.add_argument("--json", action="store_true", help="print the report as JSON, amounts in mtok")

    def handle(self, **options: Any) -> None:
        report = verify_ledger(now=timezone.now(), organization_slug=options["organization"])
        if options["json"]:
            self.stdout.write(json.dumps({"passed": report.passed, **asdict(report)}, default=str))
        else:
            self._print(report)
        if not report.passed:
            sys.exit(1)

    def _print(self, report: LedgerReport) -> None:
        self.stdout.write(f"Ledger of {report.organizations} organization(s), in Tokens")
        rows = {
            "granted": report.totals.granted_mtok,
            "= available": report.totals.available_mtok,
            "+ held": report.totals.held_mtok,
            "+ frozen": report.totals.frozen_mtok,
            "+ consumed": report.totals.consumed_mtok,
            "+ expired": report.totals.expired_mtok,
            "+ refunded": report.totals.refunded_mtok,
        }
        for name, mtok in rows.items():
            self.stdout.write(f"  {name:<12} {tokens(mtok):>20}")
        for organization in report.off:
            self.stdout.write(f"{organization.slug}:")
            for found in organization.discrepancies:
                self.stdout.write(
                    f"  {found['check']}: {found['subject']} should be {tokens(found['expected_mtok'])}"
                    f" and is {tokens(found['actual_mtok'])}"
                )
        if report.passed:
            self.stdout.write(self.style.SUCCESS("Everything adds up to the thousandth."))
        else:
            self.stdout.write(self.style.ERROR(f"{report.discrepancy_count} balance(s) are off."))


def tokens(mtok: Any) -> str:
    """Write mtok as Tokens with 3 decimals, exactly."""
    sign = "-" if mtok < 0 else ""
    return f"{sign}{abs(mtok) // 1000:,}.{abs(mtok) % 1000:03}"
