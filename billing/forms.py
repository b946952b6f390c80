"""Forms of the pages about Tokens."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.enums import SubTokenMode
from billing.services.sub_tokens import Policy
from tenants.models import Team

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
    """Which sub-tokens are shown."""

    q = forms.CharField(label=gettext_lazy("Name"), required=False, max_length=120)
    status = forms.ChoiceField(
        label=gettext_lazy("Status"),
        required=False,
        choices=[
            ("", gettext_lazy("All")),
            ("active", gettext_lazy("Active")),
            ("expired", gettext_lazy("Expired")),
            ("revoked", gettext_lazy("Revoked")),
        ],
    )


class SubTokenForm(forms.Form):
    """A new sub-token: its slice of Tokens, and the policy of its calls."""

    name = forms.CharField(
        label=gettext_lazy("Name"), max_length=120, help_text=gettext_lazy("The line, device or program that uses it.")
    )
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
    requests_per_second = forms.DecimalField(
        label=gettext_lazy("Calls a second"),
        required=False,
        min_value=Decimal("0.001"),
        max_digits=9,
        decimal_places=3,
        help_text=gettext_lazy("Empty: as many as the plan allows."),
    )
    concurrency = forms.IntegerField(label=gettext_lazy("Calls at once"), required=False, min_value=1, max_value=10_000)
    models = forms.CharField(
        label=gettext_lazy("Models"),
        required=False,
        max_length=1000,
        help_text=gettext_lazy("Names with commas between them. Empty: all."),
    )
    ip_allow_list = forms.CharField(
        label=gettext_lazy("Allowed addresses"),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy("Networks such as 10.2.0.0/16, one a line. Empty: from everywhere."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["team"].queryset = Team.objects.order_by("name")  # type: ignore[attr-defined]

    def clean_models(self) -> list[str]:
        return [name.strip() for name in self.cleaned_data["models"].split(",") if name.strip()]

    def clean_ip_allow_list(self) -> list[str]:
        networks = []
        for text in self.cleaned_data["ip_allow_list"].replace(",", "\n").split():
            try:
                networks.append(str(ipaddress.ip_network(text, strict=False)))
            except ValueError:
                raise forms.ValidationError(_("%(text)s is no address or network.") % {"text": text}) from None
        return networks

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("mode") == SubTokenMode.ALLOCATED and "tokens" in cleaned and cleaned["tokens"] is None:
            self.add_error("tokens", _("Say how many Tokens to set aside."))
        return cleaned

    def expires_at(self, now: datetime) -> datetime:
        """Return when the new sub-token ends."""
        return now + timedelta(days=self.cleaned_data["expires_in_days"])

    def policy(self) -> Policy:
        """Return the policy that was chosen."""
        chosen = self.cleaned_data
        return Policy(
            requests_per_second=chosen["requests_per_second"],
            concurrency=chosen["concurrency"],
            models=chosen["models"],
            ip_allow_list=chosen["ip_allow_list"],
        )
