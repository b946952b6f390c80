from __future__ import annotations

from django.db import models

from tenants.models import TenantModel


class SpareInput(TenantModel):
    """The image of a queued job that could not be put into Redis; its id is the job's (docs/adr/0016).

    Only services/spare_inputs.py writes it.
    """

    content = models.BinaryField()
    size = models.PositiveIntegerField()

    def __str__(self) -> str:
        return str(self.id)
