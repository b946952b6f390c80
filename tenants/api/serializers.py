"""Serializers that take nothing they do not know."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from rest_framework import serializers


class StrictSerializer(serializers.Serializer):
    """Refuses unknown fields, so that a mistyped limit is an error and not a sub-token without limit."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the validated values, or raise ValidationError, for unknown fields too."""
        values = super().to_internal_value(data)
        unknown = sorted(set(data) - set(self.fields))
        if unknown:
            raise serializers.ValidationError({name: ["There is no such field."] for name in unknown})
        return values


class StrictSerializerExtension(OpenApiSerializerExtension):
    """Says in the OpenAPI document what `StrictSerializer` does."""

    target_class = StrictSerializer
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: str) -> dict:
        """Return the schema, closed to other members."""
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return {**schema, "additionalProperties": False}
