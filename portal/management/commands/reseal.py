"""Seal all secrets anew with the present SECRET_KEY, so that an earlier one can be forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from allauth.mfa.models import Authenticator
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Model

from billing.models import WebhookEndpoint
from tenants.adapter import MFA_PURPOSE
from tenants.models import SingleSignOn
from tenants.scope import platform_scope
from tenants.sealing import SealBroken, reseal
from tenants.services.single_sign_on import PURPOSE as SSO_PURPOSE

# django-allauth's names for what it has encrypted, in the data of an app and of recovery codes.
ENCRYPTED = ("secret", "seed", "migrated_codes")


class Command(BaseCommand):
    """Safe to repeat, and while the portal runs. Ends with an error when something opens with no key that is known."""

    help = "Seal secrets with SECRET_KEY that were sealed with one of SECRET_KEY_FALLBACKS, which can then be dropped."

    def handle(self, *args: Any, **options: Any) -> None:
        resealed = broken = 0
        for row, changes in _rows():
            try:
                with platform_scope("seal secrets anew"):
                    locked = type(row)._default_manager.select_for_update().filter(pk=row.pk).first()
                    if locked is not None:
                        resealed += changes(locked)
            except SealBroken:
                broken += 1
                self.stderr.write(f"{row._meta.label} {row.pk} opens with no key that is known.")
        self.stdout.write(f"{resealed} secrets are sealed with the present key.")
        if broken:
            raise CommandError(
                f"{broken} could not be opened: name their key in SECRET_KEY_FALLBACKS, or make them anew."
            )


def _rows() -> Iterator[tuple[Model, Any]]:
    """Yield every row that has sealed secrets, and what seals them anew and returns how many there were."""
    with platform_scope("find sealed secrets"):
        rows: list[tuple[Model, Any]] = [(row, _authenticator) for row in Authenticator.objects.order_by("pk")]
        rows += [(row, _provider) for row in SingleSignOn.objects.order_by("pk")]
        rows += [(row, _endpoint) for row in WebhookEndpoint.objects.order_by("pk")]
    yield from rows


def _authenticator(row: Authenticator) -> int:
    count = 0
    for name in ENCRYPTED:
        value = row.data.get(name)
        if isinstance(value, list):
            row.data[name] = [reseal(one, purpose=MFA_PURPOSE) for one in value]
            count += len(value)
        elif value:
            row.data[name] = reseal(value, purpose=MFA_PURPOSE)
            count += 1
    if count:
        row.save(update_fields=["data"])
    return count


def _provider(row: SingleSignOn) -> int:
    row.sealed_client_secret = reseal(row.sealed_client_secret, purpose=SSO_PURPOSE)
    row.save(update_fields=["sealed_client_secret"])
    return 1


def _endpoint(row: WebhookEndpoint) -> int:
    names = [name for name in ("sealed_secret", "sealed_previous") if getattr(row, name)]
    for name in names:
        setattr(row, name, reseal(getattr(row, name)))
    if names:
        row.save(update_fields=names)
    return len(names)
