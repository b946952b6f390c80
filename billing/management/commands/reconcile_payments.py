from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing.gateways.stripe import payments_enabled
from billing.money import money_text
from billing.services.reconciliation import WINDOW, reconcile_payments


class Command(BaseCommand):
    help = "Compare Stripe's payments with the ledger's grants. Exits with 1 if any difference is left."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, default=WINDOW.days, help=f"how far back to look ({WINDOW.days})")

    def handle(self, **options: Any) -> None:
        if not payments_enabled():
            raise CommandError("Buying is not set up: STRIPE_SECRET_KEY is empty.")
        if options["days"] < 1:
            raise CommandError("Look back at least a day.")
        run = reconcile_payments(now=timezone.now(), window=timedelta(days=options["days"]))
        self.stdout.write(f"{run.stripe_payments} payment(s) at Stripe, {run.ledger_payments} in the ledger")
        for told in run.differences:
            theirs = money_text(told["stripe_minor"], told["currency"])
            ours = money_text(told["ledger_minor"], told["currency"])
            state = "made good" if told["repaired"] else "LOOK"
            subject = told["payment"] or told["grant"] or told["stripe"]
            self.stdout.write(f"  {state}: {told['kind']} {subject}: {theirs} at Stripe, {ours} in the ledger")
        if run.error:
            self.stdout.write(self.style.ERROR(f"Not finished: {run.error}"))
        elif run.passed:
            self.stdout.write(self.style.SUCCESS("Every payment has its grant, and every purchase its payment."))
        else:
            self.stdout.write(self.style.ERROR("There are differences."))
        if not run.passed:
            sys.exit(1)
