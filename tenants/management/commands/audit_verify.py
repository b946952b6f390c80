from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from tenants.audit_export import verify_export
from tenants.services.audit_verify import AuditReport, verify_audit


class Command(BaseCommand):
    help = "Recompute every organization's chain of audit events. Exits with 1 if anything is missing or altered."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", metavar="SLUG", help="verify this organization only")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")
        parser.add_argument(
            "--export", metavar="FILE", type=Path, help="verify a JSON lines export, without a database"
        )

    def handle(self, **options: Any) -> None:
        if options["export"]:
            self._verify_file(options["export"])
            return
        report = verify_audit(now=timezone.now(), organization_slug=options["organization"])
        if options["json"]:
            self.stdout.write(json.dumps({"passed": report.passed, **asdict(report)}, default=str))
        else:
            self._print(report)
        if not report.passed:
            sys.exit(1)

    def _print(self, report: AuditReport) -> None:
        self.stdout.write(f"Audit log of {report.organizations} organization(s), {report.events:,} sealed event(s)")
        for slug, chain in report.off.items():
            self.stdout.write(f"{slug}:")
            for finding in chain.findings:
                facts = ", ".join(f"{name} {value}" for name, value in finding.items() if name != "kind")
                self.stdout.write(f"  {finding['kind']}: {facts}")
        if report.passed:
            self.stdout.write(self.style.SUCCESS("Every chain is whole."))
        else:
            self.stdout.write(self.style.ERROR(f"{report.finding_count} finding(s)."))

    def _verify_file(self, path: Path) -> None:
        with path.open(encoding="utf-8") as lines:
            report = verify_export(lines)
        self.stdout.write(f"{report.events:,} sealed event(s), {report.links:,} link(s) between neighbours")
        for problem in report.problems:
            self.stdout.write(f"  {problem}")
        if report.problems:
            self.stdout.write(self.style.ERROR(f"{len(report.problems)} finding(s)."))
            sys.exit(1)
        self.stdout.write(self.style.SUCCESS("What is in the file is whole."))
