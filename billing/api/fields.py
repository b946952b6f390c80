"""Amounts of Tokens in JSON: mtok inside, a number with at most three decimals outside."""

from __future__ import annotations

import ipaddress
import re
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.pricing import MTOK_PER_TOKEN
from billing.tags import MAX_TAGS, MAX_VALUE, checked_tags
from billing.tags import NAME as TAG_NAME

# A number of JSON holds so many thousandths exactly.
MOST_TOKENS = 10**12
DECIMAL = re.compile(r"[0-9]{1,13}(\.[0-9]{1,3})?")


def tokens_number(mtok: int) -> Decimal:
    """Return an amount as the number that answers show; the JSON renderer writes its digits exactly."""
    return Decimal(mtok) / MTOK_PER_TOKEN


@extend_schema_field({"type": "number", "example": 5.625})
class TokensField(serializers.Field):
    """Shows mtok as Tokens."""

    def to_representation(self, value: int) -> Decimal:
        """Return mtok as Tokens."""
        return tokens_number(value)

    def to_internal_value(self, data: Any) -> int:
        """Return Tokens, a number or a text with at most three decimals, as mtok."""
        text = data
        if isinstance(data, (int, float)) and not isinstance(data, bool):
            text = format(Decimal(repr(data)), "f")
            text = text.rstrip("0").rstrip(".") if "." in text else text
        if not isinstance(text, str) or not DECIMAL.fullmatch(text):
            raise serializers.ValidationError("This must be an amount of Tokens, not negative, of at most 3 decimals.")
        mtok = int(Decimal(text) * MTOK_PER_TOKEN)
        if mtok > MOST_TOKENS * MTOK_PER_TOKEN:
            raise serializers.ValidationError(f"This is more than {MOST_TOKENS} Tokens.")
        return mtok


@extend_schema_field(
    {
        "oneOf": [
            {"type": "number", "minimum": 0, "maximum": MOST_TOKENS, "multipleOf": 0.001},
            {"type": "string", "pattern": f"^{DECIMAL.pattern}$"},
        ],
        "example": 50,
    }
)
class TokensInput(TokensField):
    """Takes Tokens as a number or as a text."""


@extend_schema_field({"type": "string", "example": "203.0.113.0/24", "maxLength": 43})
class NetworkField(serializers.Field):
    """An address or a network (CIDR) of IPv4 or IPv6."""

    def to_internal_value(self, data: Any) -> str:
        """Return the network in its usual form."""
        try:
            if not isinstance(data, str):
                raise ValueError
            return str(ipaddress.ip_network(data.strip(), strict=False))
        except ValueError:
            raise serializers.ValidationError("This must be an address or a network, as 203.0.113.0/24.") from None

    def to_representation(self, value: str) -> str:
        """Return the network."""
        return value


@extend_schema_field(
    {
        "type": "object",
        "maxProperties": MAX_TAGS,
        "propertyNames": {"pattern": f"^{TAG_NAME.pattern}$"},
        "additionalProperties": {"type": "string", "maxLength": MAX_VALUE},
        "example": {"site": "Ulm", "cost_centre": "4711"},
    }
)
class TagsField(serializers.Field):
    """Labels, name to value."""

    def to_internal_value(self, data: Any) -> dict[str, str]:
        """Return the tags, or raise ValidationError."""
        try:
            return checked_tags(data)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from None

    def to_representation(self, value: dict[str, str]) -> dict[str, str]:
        """Return the tags."""
        return value
