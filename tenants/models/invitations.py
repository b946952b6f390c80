from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from tenants.models.organizations import Role
from tenants.models.tenant import TenantModel


class Invitation(TenantModel):
    """A place in an organization that is offered to a mail address. Only the hash of its link's secret is kept.

    `sent_at` is when the link that works now was sent; a link that was sent before it is dead.
    """

    email = models.EmailField(_("email"))
    role = models.CharField(_("role"), max_length=16, choices=Role.choices)
    secret_hash = models.CharField(max_length=64, unique=True)
    invited_by = models.ForeignKey("tenants.User", null=True, on_delete=models.SET_NULL, related_name="+")
    invited_by_name = models.CharField(max_length=254)
    expires_at = models.DateTimeField()
    sent_at = models.DateTimeField()
    sent_count = models.PositiveSmallIntegerField(default=1)
    accepted_at = models.DateTimeField(null=True)
    accepted_by = models.ForeignKey("tenants.User", null=True, on_delete=models.SET_NULL, related_name="+")
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "email"],
                condition=Q(accepted_at=None, revoked_at=None),
                name="invitation_one_open_per_address",
            ),
            # An owner is made of a member, by an owner.
            models.CheckConstraint(
                condition=Q(role__in=[role for role in Role.values if role != Role.OWNER]),
                name="invitation_role_known",
            ),
            models.CheckConstraint(condition=Q(accepted_at=None) | Q(revoked_at=None), name="invitation_ends_once"),
        ]

    def __str__(self) -> str:
        return self.email

    def status_at(self, now: datetime) -> str:
        """Return `open`, `expired`, `accepted` or `revoked`."""
        if self.accepted_at:
            return "accepted"
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at <= now else "open"
