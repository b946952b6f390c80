from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.pricing import PriceScheme
from tenants.identifiers import new_id


class PriceBook(models.Model):
    """One version of the platform's prices. Append-only: a job keeps the version that priced it, so it must not change.

    In force is the highest version whose `active_from` has passed. `parameters` are as billing/pricing.py reads them:
    every number a decimal written as text.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    version = models.PositiveIntegerField(_("version"), unique=True)
    scheme = models.CharField(
        _("scheme"), max_length=16, choices=[(scheme.value, scheme.value) for scheme in PriceScheme]
    )
    parameters = models.JSONField(_("parameters"))
    active_from = models.DateTimeField(_("active from"))
    note = models.CharField(_("note"), max_length=500, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(scheme__in=[s.value for s in PriceScheme]), name="price_book_scheme_known"
            ),
            models.CheckConstraint(condition=Q(version__gt=0), name="price_book_version_positive"),
        ]

    def __str__(self) -> str:
        return f"Price book {self.version}"
