from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.enums import Currency
from billing.money import money_text
from tenants.identifiers import new_id


class Package(models.Model):
    """What the platform sells: an amount of Tokens at a price, and how long they last. No tenant's; staff change it.

    A sale keeps what it was in its grant, so that changing or retiring a package changes nothing that was sold.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(_("name"), max_length=120)
    tokens_mtok = models.BigIntegerField(_("Tokens"))
    price_minor = models.BigIntegerField(_("price"))
    currency = models.CharField(_("currency"), max_length=3, choices=Currency.choices)
    # From the sale; null for ever.
    valid_days = models.PositiveIntegerField(_("valid for days"), null=True, blank=True)
    active = models.BooleanField(_("on sale"), default=True)
    position = models.PositiveIntegerField(_("position"), default=0)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    # Last, because from here on its name hides the module's inside this class. Empty: all models.
    models = ArrayField(models.CharField(max_length=120), verbose_name=_("models"), default=list, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["name", "currency"], name="package_once_per_currency"),
            models.CheckConstraint(condition=Q(tokens_mtok__gt=0), name="package_tokens_positive"),
            models.CheckConstraint(condition=Q(price_minor__gte=0), name="package_price_not_negative"),
            models.CheckConstraint(condition=Q(valid_days__gt=0), name="package_validity_positive"),
            models.CheckConstraint(condition=Q(currency__in=Currency.values), name="package_currency_known"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.currency})"

    @property
    def price(self) -> str:
        """Return its price in the currency's unit."""
        return money_text(self.price_minor, self.currency)
