"""The form of the automatic top-up."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.enums import Currency
from billing.forms import TokensField
from billing.models import AutoTopUp, Package
from billing.money import MINOR
from billing.pricing import MTOK_PER_TOKEN
from billing.queries.packages import packages_on_sale
from billing.services.auto_top_up_settings import MOST_PER_DAY, MOST_PER_HOUR, AutoTopUpTerms

AMOUNT = "amount"
LARGEST_CEILING = Decimal(10_000_000)


class AutoTopUpForm(forms.Form):
    """When what is bought, and how much at most; what does not fit together the service says."""

    enabled = forms.BooleanField(label=_("Buy Tokens automatically"), required=False)
    threshold = TokensField(
        label=_("When the wallet has less than"),
        help_text=_("Tokens that are not given to a team or a sub-token. It is looked at when Tokens are spent."),
    )
    buys = forms.ChoiceField(label=_("Buy"))
    tokens = forms.IntegerField(
        label=_("How many Tokens"), required=False, min_value=1, max_value=10**9, help_text=_("For a free amount.")
    )
    currency = forms.ChoiceField(
        label=_("Currency"), required=False, choices=Currency.choices, help_text=_("For a free amount.")
    )
    ceiling = forms.DecimalField(
        label=_("At most in a month"),
        min_value=Decimal("0.01"),
        max_value=LARGEST_CEILING,
        decimal_places=2,
        help_text=_("In the currency of what is bought. Months are calendar months in UTC."),
    )
    most_per_hour = forms.IntegerField(
        label=_("Payments in an hour"),
        initial=2,
        min_value=1,
        max_value=MOST_PER_HOUR,
        help_text=_("One more stops automatic top-up."),
    )
    most_per_day = forms.IntegerField(
        label=_("Payments in a day"),
        initial=5,
        min_value=1,
        max_value=MOST_PER_DAY,
        help_text=_("One more stops automatic top-up."),
    )

    def __init__(self, *args: Any, row: AutoTopUp | None = None, **kwargs: Any) -> None:
        kwargs["initial"] = _initial(row)
        super().__init__(*args, **kwargs)
        packages = [(str(package.id), _package_words(package)) for package in packages_on_sale()]
        self.fields["buys"].choices = [*packages, (AMOUNT, _("A free amount"))]  # type: ignore[attr-defined]

    def terms(self) -> AutoTopUpTerms:
        """Return what was asked for, of a valid form."""
        data = self.cleaned_data
        free = data["buys"] == AMOUNT
        return AutoTopUpTerms(
            enabled=data["enabled"],
            threshold_mtok=data["threshold"],
            package_id=None if free else uuid.UUID(data["buys"]),
            tokens_mtok=(data["tokens"] or 0) * MTOK_PER_TOKEN if free else None,
            currency=data["currency"] if free else "",
            ceiling_minor=int(data["ceiling"] * MINOR),
            most_per_hour=data["most_per_hour"],
            most_per_day=data["most_per_day"],
        )


# Which field of the form stands for which of the terms.
FIELD_OF = {"package": "buys", "card": "enabled"}


def _initial(row: AutoTopUp | None) -> dict[str, Any]:
    if row is None:
        return {"enabled": True}
    return {
        "enabled": row.status != "off",
        "threshold": Decimal(row.threshold_mtok) / MTOK_PER_TOKEN,
        "buys": str(row.package_id) if row.package_id else AMOUNT,
        "tokens": row.tokens_mtok // MTOK_PER_TOKEN if row.tokens_mtok else None,
        "currency": row.currency,
        "ceiling": Decimal(row.ceiling_minor) / MINOR,
        "most_per_hour": row.most_per_hour,
        "most_per_day": row.most_per_day,
    }


def _package_words(package: Package) -> str:
    tokens = f"{package.tokens_mtok // MTOK_PER_TOKEN:,}"
    return gettext("%(name)s: %(tokens)s Tokens, %(price)s") % {
        "name": package.name,
        "tokens": tokens,
        "price": package.price,
    }
