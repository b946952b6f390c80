"""The bodies that the rotation of any secret has in common."""

from __future__ import annotations

from datetime import timedelta

from rest_framework import serializers

from tenants.api.serializers import StrictSerializer
from tenants.services.rotation import DEFAULT_GRACE, LONGEST_GRACE

HOUR = timedelta(hours=1)


class RotateRequest(StrictSerializer):
    """How long the old secret works on."""

    grace_hours = serializers.IntegerField(
        min_value=0,
        max_value=LONGEST_GRACE // HOUR,
        default=DEFAULT_GRACE // HOUR,
        help_text="hours in which both secrets work; 0 ends the old one, and all before it, at once",
    )

    @property
    def grace(self) -> timedelta:
        """Return the grace that was asked for."""
        return timedelta(hours=self.validated_data["grace_hours"])


class OldSecretAnswer(serializers.Serializer):
    """A former secret that still works."""

    prefix = serializers.CharField(help_text="how it begins")
    ends_at = serializers.DateTimeField(help_text="when it stops working")
