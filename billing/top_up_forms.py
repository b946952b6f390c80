"""The forms of buying Tokens."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.code_forms import CodeField
from billing.enums import Currency
from billing.errors import TopUpInvalid
from billing.pricing import MTOK_PER_TOKEN
from billing.queries.top_ups import MOST_MINOR, Offer, offer_of_amount, offer_of_package, tiers_of


class TopUpForm(forms.Form):
    """A package, or a free amount in a currency, with a code or without.

    `key` makes a form that is sent twice one payment.
    """

    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)
    package = forms.UUIDField(required=False, widget=forms.HiddenInput)
    currency = forms.ChoiceField(choices=Currency.choices, widget=forms.HiddenInput)
    tokens = forms.IntegerField(
        label=gettext_lazy("Tokens"),
        required=False,
        min_value=1,
        max_value=10**12,
        widget=forms.NumberInput(attrs={"inputmode": "numeric", "step": "1"}),
    )
    code = CodeField(
        label=gettext_lazy("Promotion code"),
        required=False,
        help_text=gettext_lazy("If you have one: it is reserved for you until you have paid."),
    )

    offer: Offer

    def clean(self) -> dict[str, Any]:
        """Set `offer` to what is to be bought."""
        values = super().clean() or {}
        if self.errors:
            return values
        package: UUID | None = values.get("package")
        tokens: int | None = values.get("tokens")
        try:
            if package is not None:
                self.offer = offer_of_package(package)
            elif tokens is not None:
                self.offer = offer_of_amount(tokens_mtok=tokens * MTOK_PER_TOKEN, currency=values["currency"])
            else:
                self.add_error("tokens", _("Say how many Tokens you want, or choose a package."))
        except TopUpInvalid as error:
            self.add_error("tokens" if package is None else None, words_of(error, values["currency"]))
        return values


def words_of(error: TopUpInvalid, currency: str) -> str:
    """Return why something cannot be bought, in the reader's language."""
    if error.field == "package":
        return _("This package is no longer on sale. Choose another one.")
    if error.field == "currency":
        return _("No free amounts are sold in this currency. Choose a package.")
    tiers = tiers_of(currency)
    least = f"{tiers[0].from_mtok // MTOK_PER_TOKEN:,}" if tiers else "–"
    most = f"{MOST_MINOR // 100:,} {currency}"
    return _("From %(least)s Tokens up to what costs %(most)s can be bought at once.") % {"least": least, "most": most}
