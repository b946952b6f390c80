"""`manage.py permissions`: write what each role may do to docs/permissions.md, or check that it is written there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.permissions import MANAGEMENT_KEY_SCOPES, markdown_table

PAGE = """# Permissions

What each role may do in its organization. This page is written by `manage.py permissions` from
`tenants/permissions.py`, which is also what pages and the API go by.

{table}
Only an owner gives or takes the owner role, and an organization always has one.

## Management keys

A management key is given some of these as scopes, at most what its maker may do:
{scopes}.
"""


def page() -> str:
    """Return the page as it should be."""
    return PAGE.format(table=markdown_table(), scopes=",\n".join(f"`{scope}`" for scope in MANAGEMENT_KEY_SCOPES))


class Command(BaseCommand):
    help = "Write docs/permissions.md from the table in tenants/permissions.py."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is out of date")

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        path = Path(settings.BASE_DIR) / "docs" / "permissions.md"
        if check:
            if not path.exists() or path.read_text() != page():
                raise CommandError("docs/permissions.md is out of date: run manage.py permissions")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(page())
            self.stdout.write(f"Wrote {path}")
