"""What staff fill in to make codes."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.enums import CodeBenefit
from billing.forms import TokensField
from billing.services.code_sets import MOST_CODES, MOST_DAYS, MOST_USES, CodeTerms
from portal.staff.forms import ReasonForm


class CodeSetForm(ReasonForm):
    """A set of codes with the same terms; what does not fit together the service says."""

    name = forms.CharField(label=_("Name"), max_length=120, help_text=_("For staff alone."))
    benefit = forms.ChoiceField(label=_("Worth"), choices=CodeBenefit.choices)
    tokens = TokensField(label=_("Tokens"), required=False, help_text=_("For a code that is worth Tokens."))
    percent = forms.IntegerField(
        label=_("Percent"),
        required=False,
        min_value=1,
        max_value=1000,
        help_text=_("For a code that is worth a percent."),
    )
    valid_days = forms.IntegerField(
        label=_("Its Tokens are valid for days"),
        required=False,
        min_value=1,
        max_value=MOST_DAYS,
        help_text=_("Empty: for ever."),
    )
    count = forms.IntegerField(label=_("How many codes"), initial=1, min_value=1, max_value=MOST_CODES)
    uses_per_code = forms.IntegerField(label=_("Uses of each code"), initial=1, min_value=1, max_value=MOST_USES)
    uses_per_organization = forms.IntegerField(
        label=_("Uses by one organization"),
        initial=1,
        required=False,
        min_value=1,
        max_value=MOST_USES,
        help_text=_("Of all codes of the set together. Empty: as often as they work."),
    )
    last_day = forms.DateField(
        label=_("Last day"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("In UTC. Empty: until you end them."),
    )
    first_purchase_only = forms.BooleanField(label=_("For an organization's first purchase only"), required=False)
    field_order = ["name", "benefit", "tokens", "percent", "valid_days", "count", "uses_per_code",
                   "uses_per_organization", "last_day", "first_purchase_only", "reason"]  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].help_text = _("Kept with the codes, for staff.")

    def terms(self) -> CodeTerms:
        """Return what was asked for, of a valid form."""
        data = self.cleaned_data
        last_day = data["last_day"]
        return CodeTerms(
            name=data["name"],
            benefit=CodeBenefit(data["benefit"]),
            tokens_mtok=data["tokens"],
            percent=data["percent"],
            count=data["count"],
            uses_per_code=data["uses_per_code"],
            uses_per_organization=data["uses_per_organization"],
            first_purchase_only=data["first_purchase_only"],
            valid_days=data["valid_days"],
            expires_at=datetime.combine(last_day + timedelta(days=1), time.min, UTC) if last_day else None,
        )


# Which field of the form stands for which of the terms.
FIELD_OF = {"expires_at": "last_day"}
