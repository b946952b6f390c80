from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from detection.services.verify_usage import verify_usage


class Command(BaseCommand):
    help = "Compare the sums of usage with the ledger's captures. Exits with 1 if a thousandth of a Token is off."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", metavar="SLUG", help="verify this organization only")

    def handle(self, **options: Any) -> None:
        off = verify_usage(now=timezone.now(), organization_slug=options["organization"])
        for slug, found in off.items():
            self.stdout.write(f"{slug}:")
            for line in found:
                self.stdout.write(
                    f"  {line['day']} {line['check']}: {line['subject']} should be {line['expected_mtok']} mtok"
                    f" and is {line['actual_mtok']} mtok"
                )
        if off:
            self.stdout.write(self.style.ERROR(f"{sum(map(len, off.values()))} sum(s) are off."))
            sys.exit(1)
        self.stdout.write(self.style.SUCCESS("Usage agrees with the ledger to the thousandth."))
