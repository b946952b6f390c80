"""What the platform sells. Needs no scope: packages are no tenant's."""

from __future__ import annotations

from django.db.models import QuerySet

from billing.models import Package


def packages_on_sale(currency: str | None = None) -> QuerySet[Package]:
    """Return the packages that can be bought, in the order in which they are offered."""
    found = Package.objects.filter(active=True).order_by("position", "currency", "id")
    return found.filter(currency=currency) if currency else found
