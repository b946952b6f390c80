"""The bodies of sub-tokens and teams."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from rest_framework import serializers

from billing.api.fields import NetworkField, TagsField, TokensField, TokensInput
from billing.enums import OnExhausted, PriorityClass, SubTokenMode, SubTokenStatus
from billing.queries.plans import longest_life_days
from billing.queries.sub_tokens import SubTokenState
from billing.services.sub_tokens import Policy
from tenants.api.rotation import OldSecretAnswer
from tenants.api.serializers import StrictSerializer

LONGEST_LIST = 100
LARGEST_LIMIT = 1_000_000
PRIORITIES = {"high": PriorityClass.HIGH, "normal": PriorityClass.NORMAL, "low": PriorityClass.LOW}
POLICY_FIELDS = frozenset(field.name for field in fields(Policy))
PRIORITY_NAMES = {value: name for name, value in PRIORITIES.items()}


def _texts(length: int) -> serializers.ListField:
    return serializers.ListField(
        child=serializers.CharField(max_length=length), max_length=LONGEST_LIST, required=False, allow_null=True
    )


def expiry_of(values: dict[str, Any], now: datetime) -> datetime | None:
    """Return the end that `expires_at` or `expires_in_days` says, or None if neither does."""
    if values.get("expires_at"):
        return values["expires_at"]
    return now + timedelta(days=values["expires_in_days"]) if values.get("expires_in_days") else None


class LifeFields(StrictSerializer):
    """What of a sub-token is chosen when it is made, and can be changed later."""

    name = serializers.CharField(max_length=120)
    expires_in_days = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=36500)
    expires_at = serializers.DateTimeField(
        required=False, allow_null=True, help_text="instead of expires_in_days; at least a minute from now"
    )
    requests_per_second = serializers.DecimalField(
        max_digits=9,
        decimal_places=3,
        min_value=Decimal("0.001"),
        max_value=LARGEST_LIMIT - 1,
        required=False,
        allow_null=True,
    )
    burst = serializers.IntegerField(
        min_value=1,
        max_value=LARGEST_LIMIT,
        required=False,
        allow_null=True,
        help_text="calls that may come at once; one second's worth if unsaid",
    )
    concurrency = serializers.IntegerField(min_value=1, max_value=LARGEST_LIMIT, required=False, allow_null=True)
    models = _texts(120)
    tasks = _texts(40)
    ip_allow_list = serializers.ListField(
        child=NetworkField(), max_length=LONGEST_LIST, required=False, allow_null=True, help_text="addresses or CIDR"
    )
    on_exhausted = serializers.ChoiceField(
        OnExhausted.values,
        default=OnExhausted.REJECT,
        help_text="of a call for which Tokens, a quota or a limit have no room: 429, or the job waits (202)",
    )
    priority_class = serializers.ChoiceField(list(PRIORITIES), default="normal")
    tags = TagsField(required=False, allow_null=True, help_text="your own labels, name to value, for finding it")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse members that contradict each other."""
        if attrs.get("expires_at") and attrs.get("expires_in_days"):
            raise serializers.ValidationError({"expires_at": ["Give this or expires_in_days, not both."]})
        days, longest = attrs.get("expires_in_days"), longest_life_days()
        if days and days > longest:
            raise serializers.ValidationError({"expires_in_days": [f"The plan allows at most {longest} days."]})
        return attrs

    def expiry(self, now: datetime) -> datetime | None:
        """Return when the sub-token ends, or None if that was not said."""
        return expiry_of(self.validated_data, now)

    def policy_values(self) -> dict[str, Any]:
        """Return the members of the policy that were sent, each as `Policy` has it."""
        values = self.validated_data
        sent = {name: values[name] for name in POLICY_FIELDS & values.keys()}
        for name, nothing in {"models": list, "tasks": list, "ip_allow_list": list, "tags": dict}.items():
            if name in sent:
                sent[name] = sent[name] or nothing()
        if "priority_class" in sent:
            sent["priority_class"] = PRIORITIES[sent["priority_class"]]
        return sent


class SubTokenRequest(LifeFields):
    """A new sub-token. Null or an empty list means: as the plan allows."""

    team = serializers.UUIDField(required=False, allow_null=True, help_text="the team below whose pool it hangs")
    mode = serializers.ChoiceField(
        SubTokenMode.values,
        default=SubTokenMode.ALLOCATED,
        help_text="`allocated` has Tokens of its own; `capped` draws on its parent up to a quota",
    )
    tokens = TokensInput(
        required=False, allow_null=True, help_text="its Tokens, or its quota (null: as far as the parent goes)"
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse members that contradict each other."""
        if attrs["mode"] == SubTokenMode.ALLOCATED and attrs.get("tokens") is None:
            raise serializers.ValidationError({"tokens": ["An allocated sub-token needs an amount (0 for later)."]})
        return super().validate(attrs)

    def policy(self) -> Policy:
        """Return the policy that was asked for."""
        return Policy(**self.policy_values())


class SubTokenChange(LifeFields):
    """What to change; members that are not sent stay. Null or an empty list means: as the plan allows."""

    def changes(self, now: datetime) -> dict[str, Any]:
        """Return what `change_sub_token` takes."""
        changes = self.policy_values()
        if "name" in self.validated_data:
            changes["name"] = self.validated_data["name"]
        expires_at = self.expiry(now)
        return changes | ({"expires_at": expires_at} if expires_at else {})


class SubTokenAnswer(serializers.Serializer):
    """A sub-token and what it has."""

    id = serializers.UUIDField(source="sub_token.id")
    name = serializers.CharField(source="sub_token.name")
    prefix = serializers.CharField(source="sub_token.prefix", help_text="how its secret begins")
    old_secrets = OldSecretAnswer(many=True, help_text="former secrets that work until their grace is over")
    team = serializers.UUIDField(source="sub_token.team_id", allow_null=True)
    mode = serializers.ChoiceField(SubTokenMode.values, source="sub_token.mode")
    tokens = TokensField(
        source="total_mtok",
        allow_null=True,
        help_text="allocated: what it still has and has used; capped: its quota, null for none",
    )
    remaining_tokens = TokensField(source="balance.available_mtok", help_text="what its next calls can spend")
    held_tokens = TokensField(source="balance.held_mtok", help_text="what its running calls hold")
    used_tokens = TokensField(source="used_mtok", help_text="what its calls have cost so far")
    status = serializers.ChoiceField(SubTokenStatus.values)
    expires_at = serializers.DateTimeField(source="sub_token.expires_at")
    requests_per_second = serializers.DecimalField(
        source="sub_token.requests_per_second", max_digits=9, decimal_places=3, allow_null=True
    )
    burst = serializers.IntegerField(source="sub_token.burst", allow_null=True)
    concurrency = serializers.IntegerField(source="sub_token.concurrency", allow_null=True)
    models = serializers.ListField(child=serializers.CharField(), source="sub_token.models")
    tasks = serializers.ListField(child=serializers.CharField(), source="sub_token.tasks")
    ip_allow_list = serializers.ListField(child=serializers.CharField(), source="sub_token.ip_allow_list")
    on_exhausted = serializers.ChoiceField(OnExhausted.values, source="sub_token.on_exhausted")
    priority_class = serializers.SerializerMethodField()
    tags = TagsField(source="sub_token.tags")
    created_at = serializers.DateTimeField(source="sub_token.created_at")
    created_by = serializers.CharField(source="sub_token.created_by", help_text="whoever made it, as called then")
    revoked_at = serializers.DateTimeField(source="sub_token.revoked_at", allow_null=True)
    suspended_at = serializers.DateTimeField(source="sub_token.suspended_at", allow_null=True)
    last_used_at = serializers.DateTimeField(source="sub_token.last_used_at", allow_null=True)
    last_used_ip = serializers.CharField(source="sub_token.last_used_ip", allow_null=True)

    def get_priority_class(self, state: SubTokenState) -> str:
        """Return the name of the priority."""
        return PRIORITY_NAMES[PriorityClass(state.sub_token.priority_class)]


class NewSubTokenAnswer(SubTokenAnswer):
    """A new sub-token, with its secret: here and nowhere else."""

    secret = serializers.CharField(allow_null=True, help_text="shown once; null when the answer is given again")


class AllocateRequest(StrictSerializer):
    """How many Tokens more, or by how much to raise the quota."""

    tokens = TokensInput()


class ReclaimRequest(StrictSerializer):
    """How many Tokens to take back; all that are free if unsaid."""

    tokens = TokensInput(required=False, allow_null=True)


class ReclaimAnswer(SubTokenAnswer):
    """The sub-token afterwards, and how much was taken back."""

    reclaimed_tokens = TokensField()


class TeamRequest(StrictSerializer):
    """A new team and its pool."""

    name = serializers.CharField(max_length=120)
    parent = serializers.UUIDField(  # type: ignore[assignment]
        required=False, allow_null=True, help_text="the team that it is inside of"
    )
    mode = serializers.ChoiceField(
        SubTokenMode.values,
        default=SubTokenMode.CAPPED,
        help_text="`allocated`: the pool has Tokens of its own; `capped`: it draws on its parent up to a quota",
    )
    tokens = TokensInput(required=False, allow_null=True, help_text="its Tokens, or its quota (null: no quota)")


class TeamChange(StrictSerializer):
    """What to change of a team; members that are not sent stay."""

    name = serializers.CharField(max_length=120)
    parent = serializers.UUIDField(  # type: ignore[assignment]
        required=False, allow_null=True, help_text="the team that it is to be inside of, null for none"
    )


class PoolAnswer(serializers.Serializer):
    """What a team has."""

    mode = serializers.ChoiceField(SubTokenMode.values)
    quota_tokens = TokensField(allow_null=True)
    remaining_tokens = TokensField()
    held_tokens = TokensField()


class TeamAnswer(serializers.Serializer):
    """A team and its pool, which is null until something hangs below it."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    parent = serializers.UUIDField(allow_null=True)  # type: ignore[assignment]
    pool = PoolAnswer(allow_null=True)
    created_at = serializers.DateTimeField()
