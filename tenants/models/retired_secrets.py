from __future__ import annotations

from django.db import models

from tenants.models.tenant import TenantModel, tenant_key


class OldSecret(TenantModel):
    """A secret that was replaced by a newer one, and still opens what it opened until `ends_at`.

    The row stays afterwards: whoever still sends the secret, or finds it leaked, is told what became of it.
    """

    prefix = models.CharField(max_length=16)
    secret_hash = models.CharField(max_length=64, unique=True)
    ends_at = models.DateTimeField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.prefix


class RetiredKeySecret(OldSecret):
    """A management key's former secret."""

    key = tenant_key("tenants.ManagementKey", related_name="retired_secrets")
