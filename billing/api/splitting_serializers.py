"""The bodies of accounts, pools and splits."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.api.fields import TokensField, TokensInput
from billing.api.serializers import LifeFields
from billing.enums import AccountKind, AccountMode, SubTokenMode
from billing.services.splits import MOST_PARTS
from billing.services.sub_tokens import Policy
from tenants.api.serializers import StrictSerializer

SPENDING_KINDS = [AccountKind.ORG_WALLET.value, AccountKind.TEAM_POOL.value, AccountKind.SUB_TOKEN.value]
MOST_CHANGES = 1_000


class AccountNode(serializers.Serializer):
    """An account in the tree: alone, and (`below`) with everything that hangs below it."""

    class Below(serializers.Serializer):
        """Sums over the account and all below it."""

        free_tokens = TokensField(source="all_free_mtok")
        held_tokens = TokensField(source="all_held_mtok")
        burned_tokens = TokensField(source="all_burned_mtok", help_text="in the last 30 days")

    id = serializers.UUIDField(source="account_id")
    parent = serializers.UUIDField(source="parent_id", allow_null=True)  # type: ignore[assignment]
    kind = serializers.ChoiceField(SPENDING_KINDS)
    mode = serializers.ChoiceField(
        AccountMode.values, help_text="`ring_fenced` has Tokens of its own; `capped` draws on its parent"
    )
    name = serializers.CharField(source="label", allow_blank=True)
    team = serializers.UUIDField(source="team_id", allow_null=True)
    sub_token = serializers.UUIDField(source="sub_token_id", allow_null=True)
    available_tokens = TokensField(source="available_mtok", help_text="what a call could spend now")
    free_tokens = TokensField(source="free_mtok", help_text="its own Tokens that nothing holds; 0 for a capped one")
    held_tokens = TokensField(source="held_mtok", help_text="what its running calls hold")
    burned_tokens = TokensField(source="burned_mtok", help_text="what its calls have cost in the last 30 days")
    ceiling_tokens = TokensField(source="cap_mtok", allow_null=True, help_text="of a capped one, null for none")
    drawn_tokens = TokensField(source="drawn_mtok", help_text="what a capped one has drawn of it")
    expires_at = serializers.DateTimeField(allow_null=True)
    closed_at = serializers.DateTimeField(allow_null=True)
    below = Below(source="*")


class PoolRequest(StrictSerializer):
    """A pool for a team that has none."""

    mode = serializers.ChoiceField(
        SubTokenMode.values,
        default=SubTokenMode.CAPPED,
        help_text="`allocated`: the pool has Tokens of its own; `capped`: it draws on its parent up to a ceiling",
    )
    tokens = TokensInput(required=False, allow_null=True, help_text="its Tokens, or its ceiling (null: none)")


class CeilingRequest(StrictSerializer):
    """How much may be drawn in all."""

    tokens = TokensInput(allow_null=True, help_text="counting what was drawn so far; null for no ceiling")


class MoveTeamRequest(StrictSerializer):
    """To which team, and how many Tokens; all that are free if unsaid."""

    to = serializers.UUIDField(help_text="a team whose pool hangs below the same parent")
    tokens = TokensInput(required=False, allow_null=True)


class MoveSubTokenRequest(StrictSerializer):
    """To which sub-token, and how many Tokens; all that are free if unsaid."""

    to = serializers.UUIDField(help_text="a sub-token below the same parent")
    tokens = TokensInput(required=False, allow_null=True)


class MovedAnswer(serializers.Serializer):
    """Both accounts afterwards, and how much was moved."""

    moved_tokens = TokensField()
    source = AccountNode()  # type: ignore[assignment]
    target = AccountNode()


class TakenAnswer(AccountNode):
    """The account afterwards, and how much was taken back."""

    reclaimed_tokens = TokensField()


class EndRequest(StrictSerializer):
    """Whether sub-tokens are revoked too."""

    revoke = serializers.BooleanField(default=False, help_text="end all sub-tokens below it for good")
    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class EndAnswer(serializers.Serializer):
    """What came back."""

    reclaimed_tokens = TokensField(source="reclaimed_mtok")
    accounts = serializers.IntegerField(help_text="from so many accounts")
    held_tokens = TokensField(source="held_mtok", help_text="what stays for running calls")
    revoked_sub_tokens = serializers.ListField(child=serializers.UUIDField())


@extend_schema_field(
    {
        "oneOf": [
            {"type": "number", "multipleOf": 0.001},
            {"type": "string", "pattern": r"^-?[0-9]{1,13}(\.[0-9]{1,3})?$"},
        ],
        "example": -30,
    }
)
class SignedTokensInput(TokensField):
    """Takes Tokens that may be negative."""

    def to_internal_value(self, data: Any) -> int:
        """Return Tokens as mtok, with their sign."""
        if isinstance(data, str) and data.startswith("-"):
            return -super().to_internal_value(data[1:])
        if isinstance(data, (int, float)) and not isinstance(data, bool) and data < 0:
            return -super().to_internal_value(-data)
        return super().to_internal_value(data)


class ChangeRequest(StrictSerializer):
    """What one account gets, or gives back."""

    account = serializers.UUIDField()
    tokens = SignedTokensInput(help_text="above 0 gives, below 0 takes back; for a capped one, of its ceiling")


class RearrangeRequest(StrictSerializer):
    """Changes that are made together or not at all."""

    changes = ChangeRequest(many=True, min_length=1, max_length=MOST_CHANGES)  # type: ignore[call-arg]
    state = serializers.CharField(
        required=False,
        allow_null=True,
        max_length=64,
        help_text="what a dry run answered: 409 `conflict` if Tokens were moved by others since",
    )
    dry_run = serializers.BooleanField(default=False, help_text="only say what would happen")

    def validate_changes(self, changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Refuse an account that is named twice."""
        if len({change["account"] for change in changes}) < len(changes):
            raise serializers.ValidationError("An account may be named once.")
        return changes


class ChangeAnswer(serializers.Serializer):
    """One account before and after: free Tokens, or the ceiling of a capped one."""

    account = serializers.UUIDField(source="account_id")
    name = serializers.CharField(source="label")
    mode = serializers.ChoiceField(AccountMode.values)
    tokens_before = TokensField(source="before_mtok")
    tokens_change = TokensField(source="mtok")
    tokens_after = TokensField(source="after_mtok")


class RearrangeAnswer(serializers.Serializer):
    """What was, or would be, changed."""

    changes = ChangeAnswer(many=True)
    free_tokens_before = TokensField(source="free_before_mtok", help_text="of what pays for this account")
    free_tokens_after = TokensField(source="free_after_mtok")
    state = serializers.CharField(help_text="what this was worked out on")


class PartRequest(StrictSerializer):
    """One sub-token to be."""

    name = serializers.CharField(max_length=120)
    tokens = TokensInput(required=False, allow_null=True, help_text="its amount, when `by` is `amount`")
    weight = serializers.DecimalField(
        max_digits=15, decimal_places=6, min_value=0, required=False, allow_null=True, help_text="when `by` is `weight`"
    )
    expires_in_days = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=36500)


class SplitRequest(LifeFields):
    """Into which sub-tokens, and how. What is said outside of `parts` holds for all of them."""

    name = None  # type: ignore[assignment]
    grant = serializers.UUIDField(
        required=False, allow_null=True, help_text="only Tokens of this grant; all in burn order if unsaid"
    )
    by = serializers.ChoiceField(["equal", "weight", "amount"], default="equal")
    tokens = TokensInput(required=False, allow_null=True, help_text="the whole; needed unless `by` is `amount`")
    parts = PartRequest(many=True, min_length=1, max_length=MOST_PARTS)  # type: ignore[call-arg]
    dry_run = serializers.BooleanField(default=False, help_text="only say what each part would get")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse parts that lack what they are to be divided by."""
        needed = {"amount": "tokens", "weight": "weight"}.get(attrs["by"])
        if needed and any(part.get(needed) is None for part in attrs["parts"]):
            raise serializers.ValidationError({"parts": [f"Each part needs its {needed}."]})
        if attrs["by"] != "amount" and attrs.get("tokens") is None:
            raise serializers.ValidationError({"tokens": ["Say how many Tokens are to be divided."]})
        return super().validate(attrs)

    def policy(self) -> Policy:
        """Return the policy that all parts get."""
        return Policy(**self.policy_values())


class PartAnswer(serializers.Serializer):
    """One new sub-token; in a dry run without id and secret."""

    id = serializers.UUIDField(allow_null=True)
    name = serializers.CharField()
    prefix = serializers.CharField(allow_null=True)
    secret = serializers.CharField(allow_null=True, help_text="shown once; null when the answer is given again")
    tokens = TokensField()
    expires_at = serializers.DateTimeField(allow_null=True)


class SplitAnswer(serializers.Serializer):
    """The whole and its parts."""

    tokens = TokensField()
    sub_tokens = PartAnswer(many=True)
