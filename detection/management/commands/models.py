"""`manage.py models sync|list`: what the catalogue offers and what is installed."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from detection.errors import ModelFileInvalid
from detection.models import Model
from detection.services import catalogue


class Command(BaseCommand):
    help = "Bring the catalogue of models in line with what is shipped and installed, or list it."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        commands.add_parser("sync", help="write every shipped and official model to the catalogue")
        commands.add_parser("list", help="print the catalogue")

    def handle(self, *args: Any, command: str, **options: Any) -> None:
        getattr(self, command)(**options)

    def sync(self, **options: Any) -> None:
        try:
            synced = catalogue.sync()
        except ModelFileInvalid as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{len(synced.listed)} models listed; installed: {', '.join(synced.installed) or 'none'}")

    def list(self, **options: Any) -> None:
        for model in Model.objects.prefetch_related("versions").order_by("family", "created_at", "name"):
            versions = ", ".join(
                f"{version.version} ({version.engine}, {version.channel})"
                for version in model.versions.all()
                if version.installed
            )
            self.stdout.write(f"{model.name:<20} {model.task:<8} {model.letter}  {versions or 'not installed'}")
