"""Who belongs to the platform's staff. Given and taken on the platform's own machine only (`manage.py staff`)."""

from __future__ import annotations

from django.db import transaction

from tenants.errors import NotFound
from tenants.models import User


def set_staff(*, email: str, is_staff: bool) -> tuple[User, bool]:
    """Make a person one of the staff, or no longer; return them and whether that changed. Raises NotFound.

    Whoever is no longer one is out at once: every staff page asks anew.
    """
    with transaction.atomic():
        user = User.objects.select_for_update().filter(email=email.lower()).first()
        if user is None:
            raise NotFound
        changed = user.is_staff != is_staff
        if changed:
            user.is_staff = is_staff
            user.save(update_fields=["is_staff"])
        return user, changed
