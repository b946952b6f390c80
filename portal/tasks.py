"""The scheduler's part that goes through all rooms."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from portal.services.erasure import erase_due_organizations
from tenants.beside import Beside, stopping

_erasing = Beside("erasure", lambda: erase_due_organizations(timezone.now(), stop=stopping.is_set))


@shared_task(name="portal.erase_organizations")
def erase_organizations() -> None:
    """Every hour: erase the organizations whose grace is over, beside the scheduler."""
    _erasing.start()
