"""Verifies a local run's ledger and audit log: one process for both, as starting one takes longer than the work."""

from __future__ import annotations

import os
import sys

import django
from django.core.management import CommandError, call_command


def main() -> int:
    """Run both verifications, whatever the first one finds; return the exit status."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    django.setup()
    status = 0
    for command, refusal in (
        ("ledger_verify", "The ledger does not add up"),
        ("audit_verify", "The audit log is not whole"),
    ):
        try:
            call_command(command)
        except (CommandError, SystemExit) as error:
            # What a command has found stands above; an error of its own is told here.
            print(f"{refusal}{f': {error}' if isinstance(error, CommandError) else '.'}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
