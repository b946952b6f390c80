"""Forms of the pages about Tokens."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.enums import OnExhausted, PriorityClass, SubTokenMode, SubTokenStatus
from billing.queries.sub_tokens import ORDERS, SubTokenSearch
from billing.services.sub_tokens import Policy
from billing.tags import checked_tags
from tenants.forms import NetworksField
from tenants.models import Team
from tenants.queries.pages import Order

MTOK = 1000
LARGEST_TOKENS = Decimal(1_000_000_000)
LIVES = (
    (7, gettext_lazy("7 days")),
    (30, gettext_lazy("30 days")),
    (90, gettext_lazy("90 days")),
    (365, gettext_lazy("1 year")),
)


class TokensField(forms.DecimalField):
    """An amount of Tokens, typed with at most 3 decimals; cleaned to mtok."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("min_value", Decimal("0.001"))
        super().__init__(max_value=LARGEST_TOKENS, decimal_places=3, max_digits=13, **kwargs)

    def clean(self, value: Any) -> int | None:
        tokens = super().clean(value)
        return None if tokens is None else int(tokens * MTOK)


class AmountForm(forms.Form):
    """How many Tokens to give or to take back."""

    tokens = TokensField(label=gettext_lazy("Tokens"))


class ReclaimForm(forms.Form):
    """How many Tokens to take back; none means all that are free."""

    tokens = TokensField(
        label=gettext_lazy("Tokens"), required=False, help_text=gettext_lazy("Empty takes back all that is free.")
    )


class SubTokenFilter(forms.Form):
    """Which sub-tokens are shown, and in which order."""

    q = forms.CharField(label=gettext_lazy("Name or prefix"), required=False, max_length=120)
    status = forms.ChoiceField(
        label=gettext_lazy("Status"), required=False, choices=[("", gettext_lazy("All")), *SubTokenStatus.choices]
    )
    team = forms.ModelChoiceField(
        label=gettext_lazy("Team"), required=False, queryset=Team.objects.none(), empty_label=gettext_lazy("All")
    )
    tag = forms.CharField(required=False, max_length=161, widget=forms.HiddenInput)
    sort = forms.ChoiceField(
        label=gettext_lazy("Sorted by"),
        required=False,
        choices=[
            ("-created_at", gettext_lazy("Newest")),
            ("name", gettext_lazy("Name")),
            ("expires_at", gettext_lazy("Ends soonest")),
            ("-last_used_at", gettext_lazy("Used last")),
            ("last_used_at", gettext_lazy("Unused longest")),
        ],
    )
    cursor = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["team"].queryset = Team.objects.order_by("name")  # type: ignore[attr-defined]
        self.is_valid()
        self.chosen: dict[str, Any] = getattr(self, "cleaned_data", {})

    def search(self) -> SubTokenSearch:
        """Return what is looked for; what is not valid is left out."""
        team, tag = self.chosen.get("team"), self.chosen.get("tag", "")
        name, _, value = tag.partition("=")
        return SubTokenSearch(
            text=self.chosen.get("q", ""),
            status=self.chosen.get("status", ""),
            team_id=team.id if team else None,
            tag=(name, value) if value else None,
        )

    def order(self) -> Order:
        """Return the order that was chosen, the newest first if none was."""
        return ORDERS[self.chosen.get("sort") or "-created_at"]


class TagsField(forms.CharField):
    """Labels, one `name=value` a line; cleaned to an object."""

    widget = forms.Textarea(attrs={"rows": 2})

    def clean(self, value: Any) -> dict[str, str]:
        lines = [line.strip() for line in super().clean(value).splitlines() if line.strip()]
        if wrong := [line for line in lines if "=" not in line]:
            raise forms.ValidationError(_("“%(line)s” is no name=value.") % {"line": wrong[0]})
        try:
            return checked_tags(
                {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
            )
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(f"{name}={text}" for name, text in value.items()) if isinstance(value, dict) else value


class NamesField(forms.CharField):
    """Names with commas between them; cleaned to a list."""

    def clean(self, value: Any) -> list[str]:
        return [name.strip() for name in super().clean(value).split(",") if name.strip()]

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value


class PolicyForm(forms.Form):
    """What of a sub-token is chosen when it is made, and can be changed later: its name, and what its calls may do."""

    name = forms.CharField(
        label=gettext_lazy("Name"), max_length=120, help_text=gettext_lazy("The line, device or program that uses it.")
    )
    requests_per_second = forms.DecimalField(
        label=gettext_lazy("Calls a second"),
        required=False,
        min_value=Decimal("0.001"),
        max_digits=9,
        decimal_places=3,
        help_text=gettext_lazy("Empty: as many as the plan allows."),
    )
    burst = forms.IntegerField(
        label=gettext_lazy("Calls that may come together"),
        required=False,
        min_value=1,
        max_value=1_000_000,
        help_text=gettext_lazy("Empty: one second's worth."),
    )
    concurrency = forms.IntegerField(label=gettext_lazy("Calls at once"), required=False, min_value=1, max_value=10_000)
    priority_class = forms.TypedChoiceField(
        label=gettext_lazy("Priority"), choices=PriorityClass.choices, coerce=int, initial=PriorityClass.NORMAL
    )
    on_exhausted = forms.TypedChoiceField(
        label=gettext_lazy("When Tokens, a quota or a limit have no room"),
        choices=OnExhausted.choices,
        required=False,
        empty_value=OnExhausted.REJECT,
        initial=OnExhausted.REJECT,
    )
    models = NamesField(
        label=gettext_lazy("Models"),
        required=False,
        max_length=1000,
        help_text=gettext_lazy("Names with commas between them. Empty: all."),
    )
    tasks = NamesField(
        label=gettext_lazy("Tasks"),
        required=False,
        max_length=400,
        help_text=gettext_lazy("Such as detect, with commas between them. Empty: all."),
    )
    ip_allow_list = NetworksField()
    tags = TagsField(
        label=gettext_lazy("Tags"),
        required=False,
        max_length=3000,
        help_text=gettext_lazy("Your own labels, one name=value a line, such as site=Ulm."),
    )

    def policy_values(self) -> dict[str, Any]:
        """Return the policy that was chosen, by the names of `Policy`."""
        return {
            field.name: self.cleaned_data[field.name] for field in fields(Policy) if field.name in self.cleaned_data
        }


class SubTokenForm(PolicyForm):
    """A new sub-token: its slice of Tokens, and the policy of its calls."""

    team = forms.ModelChoiceField(
        label=gettext_lazy("Team"),
        required=False,
        queryset=Team.objects.none(),
        empty_label=gettext_lazy("None: straight from the organization"),
    )
    mode = forms.ChoiceField(
        label=gettext_lazy("Where its Tokens are"),
        choices=[
            (SubTokenMode.ALLOCATED, gettext_lazy("Set aside for it alone")),
            (SubTokenMode.CAPPED, gettext_lazy("Drawn from its parent, up to a quota")),
        ],
        initial=SubTokenMode.ALLOCATED,
    )
    tokens = TokensField(
        label=gettext_lazy("Tokens"),
        required=False,
        help_text=gettext_lazy("What it gets, or its quota. Without a quota it may draw all that its parent has."),
    )
    expires_in_days = forms.TypedChoiceField(label=gettext_lazy("Expires in"), choices=LIVES, coerce=int, initial=30)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["team"].queryset = Team.objects.order_by("name")  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("mode") == SubTokenMode.ALLOCATED and "tokens" in cleaned and cleaned["tokens"] is None:
            self.add_error("tokens", _("Enter how many Tokens to set aside."))
        return cleaned

    def expires_at(self, now: datetime) -> datetime:
        """Return when the new sub-token ends."""
        return now + timedelta(days=self.cleaned_data["expires_in_days"])

    def policy(self) -> Policy:
        """Return the policy that was chosen."""
        return Policy(**self.policy_values())
