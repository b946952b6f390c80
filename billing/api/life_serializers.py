"""The bodies of what becomes of sub-tokens."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from billing.api.fields import TokensField
from billing.api.serializers import SubTokenAnswer, expiry_of
from billing.services.sub_token_bulk import MOST, BulkAct
from tenants.api.serializers import StrictSerializer


class BulkRequest(StrictSerializer):
    """One act on many sub-tokens."""

    act = serializers.ChoiceField(BulkAct.values)
    ids = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=MOST)
    reclaim = serializers.BooleanField(
        default=False, help_text="`revoke` only: give what is free in them back to where it came from"
    )
    expires_in_days = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=36500, help_text="`expire` only: days from now"
    )
    expires_at = serializers.DateTimeField(required=False, allow_null=True, help_text="`expire` only: the new end")
    dry_run = serializers.BooleanField(default=False, help_text="only say what would happen")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse members that do not go together."""
        ends = [name for name in ("expires_at", "expires_in_days") if attrs.get(name)]
        if attrs["act"] == BulkAct.EXPIRE and len(ends) != 1:
            raise serializers.ValidationError({"expires_at": ["Say this or expires_in_days, and not both."]})
        if attrs["act"] != BulkAct.EXPIRE and ends:
            raise serializers.ValidationError({ends[0]: ["This goes with the act expire only."]})
        if attrs["act"] != BulkAct.REVOKE and attrs["reclaim"]:
            raise serializers.ValidationError({"reclaim": ["This goes with the act revoke only."]})
        return attrs

    def choice(self, now: Any) -> dict[str, Any]:
        """Return the arguments of the service."""
        values = self.validated_data
        return {
            "act": BulkAct(values["act"]),
            "sub_token_ids": values["ids"],
            "reclaim": values["reclaim"],
            "expires_at": expiry_of(values, now),
        }


class BulkAnswer(serializers.Serializer):
    """What an act did, or with `dry_run` would do. Amounts of capped sub-tokens are their parents' and not counted."""

    act = serializers.ChoiceField(BulkAct.values)
    dry_run = serializers.BooleanField()
    changed = serializers.ListField(child=serializers.UUIDField(), help_text="those that it changes")
    unchanged = serializers.ListField(child=serializers.UUIDField(), help_text="those that it leaves as they are")
    held_tokens = TokensField(help_text="held by their running calls, which are finished and charged")
    reclaimed_tokens = TokensField(help_text="given back to where they came from")
    left_tokens = TokensField(help_text="staying in them")


class LookupRequest(StrictSerializer):
    """A secret that was found somewhere, or how one begins."""

    secret = serializers.CharField(required=False, max_length=100, help_text="the whole of it")
    prefix = serializers.RegexField(
        r"^tsk_[0-9A-Za-z]{4,12}$", required=False, help_text="its first 8 characters or more, `tsk_` included"
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse both and neither."""
        if len(attrs) != 1:
            raise serializers.ValidationError({"secret": ["Give this or prefix, and not both."]})
        return attrs


class FoundSecret(serializers.Serializer):
    """A secret of this organization and what it opens."""

    prefix = serializers.CharField(help_text="how the secret begins")
    state = serializers.ChoiceField(
        ["current", "grace", "ended"],
        help_text="`current`: the newest secret; `grace`: an older one that works on; `ended`: opens nothing any more",
    )
    ends_at = serializers.DateTimeField(allow_null=True, help_text="when an older one stops, or stopped, working")
    sub_token = SubTokenAnswer()


class LookupAnswer(serializers.Serializer):
    """Whose secret it is; empty when it is none of this organization's."""

    def get_fields(self) -> dict[str, Any]:
        """Return the one member, whose name a serializer has already."""
        return {"data": FoundSecret(many=True)}
