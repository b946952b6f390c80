"""Brings the database of a local run up to date: migrations as the owner, the model catalogue, demo data.

A process of its own, so that the supervisor needs no Django and no other process knows the owner's address.
"""

from __future__ import annotations

import io
import os
import sys

import django
from django.core.management import CommandError, call_command
from django.db import DatabaseError

from portal.local.report import say, step


def main(demo_file: str) -> int:
    """Run every step; return the exit status."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    django.setup()
    try:
        with step("Migrations, as the owner of the tables"):
            call_command("migrate", database="owner", verbosity=0, interactive=False, skip_checks=False)
        with step("Models of the catalogue"):
            call_command("models", "sync", stdout=io.StringIO())
        with step("Demo data"):
            call_command("seed_demo", demo_file)
    except (CommandError, DatabaseError) as error:
        say(str(error).strip())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
