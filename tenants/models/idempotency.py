from __future__ import annotations

from django.db import models

from tenants.models.tenant import TenantModel


class IdempotencyRecord(TenantModel):
    """The answer to a request that bore an `Idempotency-Key`, to be given again when the request comes again.

    Written in the transaction of what the request did, so there is a record if and only if it was done. `body` is JSON
    without the secret that the first answer may have shown.
    """

    key = models.CharField(max_length=255)
    route = models.CharField(max_length=200)
    request_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    body = models.TextField(default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "key", "route"], name="idempotency_record_once_per_key")
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotency_record_by_age")]

    def __str__(self) -> str:
        return f"{self.route} {self.key}"
