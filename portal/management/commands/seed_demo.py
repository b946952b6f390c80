"""`manage.py seed_demo FILE`: demo organizations, and a file (mode 600) with all that is needed to use them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from portal.services.demo import seed_demo


class Command(BaseCommand):
    help = "Make two demo organizations (what exists is kept) and write their credentials to a file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="written with mode 600; an earlier one tells which secrets to keep")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        if not settings.DEVELOPMENT:
            raise CommandError("Demo accounts have passwords in a file: they are only made with DEVELOPMENT=1.")
        try:
            remembered = json.loads(file.read_text()) if file.exists() else {}
        except ValueError as error:
            raise CommandError(
                f"{file} is not what seed_demo wrote ({error}). Remove it: new secrets are made."
            ) from error
        demo = {
            "base_url": settings.BASE_URL,
            **seed_demo(remembered=remembered, now=timezone.now()),
            "database_url": os.environ.get("DATABASE_URL", ""),
            "redis_url": settings.REDIS_URL,
            "stripe_url": settings.STRIPE_API_BASE,
        }
        addresses = {name: demo[name] for name in ("base_url", "database_url", "redis_url")}
        demo["other"] = {"base_url": demo["base_url"], **demo["other"], **addresses}
        _write_private(file, json.dumps(demo, indent=2) + "\n")


def _write_private(file: Path, text: str) -> None:
    """Replace a file in one step by one that nobody else can read at any moment."""
    new = file.with_name(file.name + ".part")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(text)
    new.replace(file)
