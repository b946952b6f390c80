from __future__ import annotations

from django.db import models

from tenants.models import TenantModel
from tenants.models.tenant import tenant_key


class WaitingInput(TenantModel):
    """The image of a job that waits for Tokens; its id and `created_at` are the job's.

    It lies in PostgreSQL, which keeps it for as long as the job waits (docs/adr/0010). Only services/waiting_room.py
    writes it: with the job, and away with the job's move into the queue or its end.
    """

    account = tenant_key("billing.Account", db_index=False)
    content = models.BinaryField()
    size = models.PositiveIntegerField()

    class Meta:
        indexes = [models.Index(fields=["organization", "account", "created_at"], name="waiting_by_account")]

    def __str__(self) -> str:
        return str(self.id)
