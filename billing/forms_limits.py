"""Forms of the pages about limits."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.enums import Level
from billing.forms import MTOK, TokensField
from billing.services.limits import Ceilings

LARGEST = 1_000_000
TOKENS = ("tokens_per_hour", "tokens_per_day", "tokens_per_month", "tokens_total")


class LimitsFilter(forms.Form):
    """Which accounts are shown."""

    q = forms.CharField(label=_("Name"), required=False, max_length=120)
    level = forms.ChoiceField(label=_("Level"), required=False, choices=[("", _("All")), *Level.choices])
    show = forms.ChoiceField(label=_("Sub-tokens"), required=False, choices=[("", _("With limits")), ("all", _("All"))])


def _tokens(label: Any, help_text: Any = "") -> TokensField:
    return TokensField(label=label, required=False, min_value=Decimal(0), help_text=help_text)


def _count(label: Any, help_text: Any = "") -> forms.IntegerField:
    return forms.IntegerField(label=label, required=False, min_value=1, max_value=LARGEST, help_text=help_text)


class LimitsForm(forms.Form):
    """All limits of one account; an empty field means none."""

    tokens_per_hour = _tokens(_("Tokens per hour"), _("Clock hours, UTC."))
    tokens_per_day = _tokens(_("Tokens per day"), _("Days of UTC."))
    tokens_per_month = _tokens(_("Tokens per month"), _("Calendar months, UTC."))
    tokens_total = _tokens(_("Tokens in all"), _("From the beginning; it never starts anew."))
    requests_per_second = forms.DecimalField(
        label=_("Requests per second"),
        required=False,
        min_value=Decimal("0.001"),
        max_value=LARGEST - 1,
        decimal_places=3,
        max_digits=9,
    )
    burst = _count(_("Requests at once"), _("Empty: one second's worth."))
    requests_per_day = _count(_("Requests per day"), _("Days of UTC."))
    concurrency = _count(_("Calls at a time"))

    @staticmethod
    def initial_of(ceilings: Ceilings) -> dict[str, Any]:
        """Return what the fields show for limits that are set."""
        values = asdict(ceilings)
        shown = {name: value for name, value in values.items() if not name.endswith("_mtok")}
        for name in TOKENS:
            mtok = values[f"{name}_mtok"]
            shown[name] = None if mtok is None else (Decimal(mtok) / MTOK).normalize()
        return {
            name: format(value.normalize(), "f") if isinstance(value, Decimal) else value
            for name, value in shown.items()
        }

    def ceilings(self) -> Ceilings:
        """Return the limits that were typed."""
        values = dict(self.cleaned_data)
        return Ceilings(**{f"{name}_mtok": values.pop(name) for name in TOKENS}, **values)
