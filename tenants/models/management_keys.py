from __future__ import annotations

from datetime import datetime

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models.tenant import TenantModel


class ManagementKey(TenantModel):
    """A credential for administration over the API. It holds no Tokens, and only the hash of its secret is kept."""

    name = models.CharField(_("name"), max_length=120)
    prefix = models.CharField(max_length=16)
    secret_hash = models.CharField(max_length=64, unique=True)
    scopes = ArrayField(models.CharField(max_length=40), verbose_name=_("scopes"))
    created_by = models.ForeignKey("tenants.User", null=True, on_delete=models.SET_NULL, related_name="+")
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    last_used_ip = models.GenericIPAddressField(null=True, editable=False)
    ip_allow_list = ArrayField(
        models.CharField(max_length=43), verbose_name=_("IP allow-list"), default=list, blank=True
    )

    # Of a key that was found by its secret: when that secret stops working, None for the newest.
    secret_ends_at: datetime | None = None
    # Since when its organization is being deleted, for one found by its secret.
    closing_since: datetime | None = None

    class Meta:
        indexes = [models.Index(fields=["organization", "-created_at"], name="management_key_newest")]

    def __str__(self) -> str:
        return self.name

    def status_at(self, now: datetime) -> str:
        """Return `active`, `expired` or `revoked`."""
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at and self.expires_at <= now else "active"
