"""Forms of the splitting pages, and the list of parts that one of them reads."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.enums import SubTokenMode
from billing.errors import DivisionInvalid, ExpiryOutOfRange
from billing.forms import LIVES, TokensField
from billing.queries.balances import GrantBalance
from billing.queries.tree import Node
from billing.services.splits import MOST_PARTS, Share, amounts_of
from billing.services.sub_tokens import Policy, check_expiry

MOST_BYTES = 200_000


class MoveForm(forms.Form):
    """To which sibling, and how much; none means all that is free."""

    to = forms.ChoiceField(label=gettext_lazy("To"))
    tokens = TokensField(
        label=gettext_lazy("Tokens"), required=False, help_text=gettext_lazy("Empty moves all that is free.")
    )

    def __init__(self, *args: Any, siblings: list[Node], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(str(node.account_id), node.label) for node in siblings]
        self.fields["to"].choices = choices  # type: ignore[attr-defined]


class CeilingForm(forms.Form):
    """How much may be drawn in all; none means no ceiling."""

    tokens = TokensField(
        label=gettext_lazy("Ceiling"),
        required=False,
        min_value=Decimal(0),
        help_text=gettext_lazy("In all, counting what was drawn so far. Empty takes the ceiling away."),
    )


class PoolForm(forms.Form):
    """How a team's pool gets its Tokens."""

    mode = forms.ChoiceField(
        label=gettext_lazy("Where its Tokens are"),
        choices=[
            (SubTokenMode.ALLOCATED, gettext_lazy("Set aside for it alone")),
            (SubTokenMode.CAPPED, gettext_lazy("Drawn from above, up to a ceiling")),
        ],
        initial=SubTokenMode.ALLOCATED,
    )
    tokens = TokensField(
        label=gettext_lazy("Tokens"),
        required=False,
        help_text=gettext_lazy("What it gets now, or its ceiling. Empty: nothing yet, or no ceiling."),
    )


class EndForm(forms.Form):
    """Whether the sub-tokens end too, and why."""

    revoke = forms.BooleanField(label=gettext_lazy("Revoke all its sub-tokens as well, for good"), required=False)
    reason = forms.CharField(label=gettext_lazy("Reason"), required=False, max_length=500)


@dataclass(frozen=True)
class Row:
    """One line of the list: a name, its amount or weight, and its own days of life."""

    name: str
    value: Decimal | None = None
    days: int | None = None


class SplitForm(forms.Form):
    """Into which sub-tokens an account's Tokens are split, and how."""

    EQUAL, WEIGHT, AMOUNT = "equal", "weight", "amount"

    grant = forms.ChoiceField(label=gettext_lazy("From"), required=False)
    by = forms.ChoiceField(
        label=gettext_lazy("How"),
        choices=[
            (EQUAL, gettext_lazy("In equal parts")),
            (WEIGHT, gettext_lazy("By weight")),
            (AMOUNT, gettext_lazy("Each its own amount")),
        ],
        initial=EQUAL,
    )
    tokens = TokensField(
        label=gettext_lazy("Tokens to split"),
        required=False,
        help_text=gettext_lazy("The whole. With amounts of their own, leave it empty or let it match their sum."),
    )
    count = forms.IntegerField(label=gettext_lazy("Parts"), required=False, min_value=1, max_value=MOST_PARTS)
    stem = forms.CharField(
        label=gettext_lazy("Named"),
        required=False,
        max_length=100,
        help_text=gettext_lazy("Each gets a number after it: Camera 1, Camera 2."),
    )
    rows = forms.CharField(
        label=gettext_lazy("List"),
        required=False,
        max_length=MOST_BYTES,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false", "class": "mono"}),
        help_text=gettext_lazy("One a line: name, amount or weight, days of life. The last two may be left out."),
    )
    file = forms.FileField(label=gettext_lazy("Or a CSV file"), required=False)
    expires_in_days = forms.TypedChoiceField(label=gettext_lazy("Expires in"), choices=LIVES, coerce=int, initial=30)
    requests_per_second = forms.DecimalField(
        label=gettext_lazy("Calls a second"),
        required=False,
        min_value=Decimal("0.001"),
        max_digits=9,
        decimal_places=3,
        help_text=gettext_lazy("For each. Empty: as many as the plan allows."),
    )

    def __init__(self, *args: Any, grants: list[GrantBalance], names: dict[Any, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", _("All grants, in burn order"))] + [(str(grant.id), names[grant.id]) for grant in grants]
        self.fields["grant"].choices = choices  # type: ignore[attr-defined]

    def clean_file(self) -> str:
        file = self.cleaned_data["file"]
        if not file:
            return ""
        if file.size > MOST_BYTES:
            raise forms.ValidationError(
                _("This file is too large for a list of %(most)s parts.") % {"most": MOST_PARTS}
            )
        try:
            return file.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise forms.ValidationError(_("This file is not text in UTF-8.")) from None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        text = cleaned.get("file") or cleaned.get("rows") or ""
        if text.strip():
            cleaned["parts"] = self._read(text)
        elif cleaned.get("by") != self.EQUAL:
            self.add_error("rows", _("List the parts, each with its amount or weight."))
        elif cleaned.get("count"):
            stem = cleaned.get("stem") or _("Part")
            cleaned["parts"] = [Row(f"{stem} {number}") for number in range(1, cleaned["count"] + 1)]
        elif "count" in cleaned:
            self.add_error("count", _("Say into how many parts, or list them."))
        return cleaned

    def _read(self, text: str) -> list[Row]:
        rows: list[Row] = []
        for number, cells in enumerate(csv.reader(io.StringIO(text)), start=1):
            cells = [cell.strip() for cell in cells]
            if not any(cells) or (not rows and cells[0].lower() == "name"):
                continue
            try:
                rows.append(self._row(cells))
            except (ValueError, InvalidOperation):
                self.add_error("rows", _("Line %(number)s cannot be read: %(text)s") % {
                    "number": number, "text": ", ".join(cells)[:80]
                })  # fmt: skip
                return []
            if len(rows) > MOST_PARTS:
                self.add_error("rows", _("There may be %(most)s parts at most.") % {"most": MOST_PARTS})
                return []
        return rows

    def _row(self, cells: list[str]) -> Row:
        name, value, days, *more = [*cells, "", ""][: max(len(cells), 3)]
        if not 0 < len(name) <= 120 or any(more):
            raise ValueError
        amount = Decimal(value) if value else None
        if amount is not None and (not amount.is_finite() or amount <= 0 or amount > 10**12):
            raise ValueError
        if self.cleaned_data.get("by") != self.EQUAL and amount is None:
            raise ValueError
        if self.cleaned_data.get("by") == self.AMOUNT and amount is not None and amount * 1000 % 1:
            raise ValueError
        return Row(name, amount, int(days) if days else None)

    def shares(self, now: datetime) -> list[Share]:
        """Return the parts with their exact amounts. Raises DivisionInvalid, ExpiryOutOfRange."""
        chosen = self.cleaned_data
        parts: list[Row] = chosen.get("parts") or []
        if not parts:
            raise DivisionInvalid(_("There is nobody to split for."))
        values = [part.value or Decimal(0) for part in parts]
        amounts = amounts_of(
            len(parts),
            total_mtok=chosen["tokens"],
            weights=values if chosen["by"] == self.WEIGHT else None,
            amounts_mtok=[int(value * 1000) for value in values] if chosen["by"] == self.AMOUNT else None,
        )
        policy = Policy(requests_per_second=chosen["requests_per_second"])
        shares = []
        for part, mtok in zip(parts, amounts, strict=True):
            expires_at = now + timedelta(days=part.days or chosen["expires_in_days"])
            try:
                check_expiry(expires_at, now)
            except ExpiryOutOfRange as error:
                raise ExpiryOutOfRange(f"{part.name}: {error}") from error
            shares.append(Share(part.name, mtok, expires_at, policy))
        return shares
