from __future__ import annotations

from django.db import models
from django.db.models import Q

from tenants.models.tenant import TenantModel


class OwnershipOffer(TenantModel):
    """An owner's offer to hand the organization over to a member, who has to accept it."""

    offered_by = models.ForeignKey("tenants.User", on_delete=models.CASCADE, related_name="+")
    offered_to = models.ForeignKey("tenants.User", on_delete=models.CASCADE, related_name="+")
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization"], condition=Q(ended_at=None), name="ownership_one_offer_at_a_time"
            )
        ]

    def __str__(self) -> str:
        return f"{self.offered_by} → {self.offered_to}"
