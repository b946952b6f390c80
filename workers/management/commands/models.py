"""`manage.py models sync|list|pull`: what the catalogue offers, what is installed, and installing more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from detection.catalog.families import official_model
from detection.errors import ModelFileInvalid
from detection.models import Model
from detection.services import catalogue
from workers.export import PullError, pull


class Command(BaseCommand):
    help = "Bring the catalogue of models in line with what is shipped and installed, list it, or install a model."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        commands.add_parser("sync", help="write every shipped and official model to the catalogue")
        commands.add_parser("list", help="print the catalogue")
        puller = commands.add_parser("pull", help="download an official model and install it (needs the torch extra)")
        puller.add_argument("model", help="its name in the catalogue, for example yolo26n")
        puller.add_argument("--weights", type=Path, metavar="FILE", help="install this .pt file instead of downloading")

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

    def pull(self, *, model: str, weights: Path | None = None, **options: Any) -> None:
        listed = official_model(model)
        if listed is None:
            raise CommandError(f"{model} is no official model; 'manage.py models list' names them.")
        try:
            version = pull(listed, weights)
        except PullError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{model}@{version.version} is installed: {version.file}")
