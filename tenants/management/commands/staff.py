from __future__ import annotations

from typing import Any

import structlog
from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.errors import NotFound
from tenants.models import User
from tenants.services.staff import set_staff

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = "Say who may use the staff console at /staff/ (they need a second factor there)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("act", choices=["add", "remove", "list"])
        parser.add_argument("email", nargs="?", help="who; not for list")

    def handle(self, **options: Any) -> None:
        if options["act"] == "list":
            for email in User.objects.filter(is_staff=True).order_by("email").values_list("email", flat=True):
                self.stdout.write(email)
            return
        if not options["email"]:
            raise CommandError("Say whom: manage.py staff add somebody@example.com")
        try:
            user, changed = set_staff(email=options["email"], is_staff=options["act"] == "add")
        except NotFound as error:
            raise CommandError(f"Nobody has signed up as {options['email']!r}.") from error
        log.warning("staff_changed", user=str(user.id), is_staff=user.is_staff, changed=changed)
        self.stdout.write(f"{user.email} is {'' if user.is_staff else 'not '}of the staff.")
