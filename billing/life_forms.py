"""Forms of the pages about what becomes of sub-tokens."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.forms import LIVES, PolicyForm
from billing.models import SubToken
from billing.services.sub_token_bulk import MOST, BulkAct

MINUTE = "%Y-%m-%dT%H:%M"


class IdsField(forms.Field):
    """Ids of rows; whether they are there is the service's to say, the same for a stranger's as for none."""

    def clean(self, value: Any) -> list[uuid.UUID]:
        if not value:
            raise forms.ValidationError(_("Tick at least one."))
        if len(value) > MOST:
            raise forms.ValidationError(_("Tick fewer."))
        try:
            return [uuid.UUID(text) for text in value]
        except ValueError:
            raise forms.ValidationError(_("Tick at least one.")) from None


class SubTokenChangeForm(PolicyForm):
    """Another name, end or policy for a sub-token."""

    expires_at = forms.DateTimeField(
        label=_("Ends (UTC)"),
        input_formats=[MINUTE, "%Y-%m-%dT%H:%M:%S"],
        widget=forms.DateTimeInput(format=MINUTE, attrs={"type": "datetime-local"}),
    )

    def __init__(self, *args: Any, sub_token: SubToken, **kwargs: Any) -> None:
        self.sub_token = sub_token
        initial = {name: getattr(sub_token, name) for name in self.base_fields}
        if sub_token.requests_per_second is not None:
            initial["requests_per_second"] = format(sub_token.requests_per_second.normalize(), "f")
        super().__init__(*args, **kwargs | {"initial": initial})

    def clean_expires_at(self) -> datetime:
        """Return the end; the present one, to the microsecond, where the minute was left as it is."""
        chosen: datetime = self.cleaned_data["expires_at"].replace(tzinfo=UTC)
        same = chosen == self.sub_token.expires_at.replace(second=0, microsecond=0)
        return self.sub_token.expires_at if same else chosen

    def changes(self) -> dict[str, Any]:
        """Return what `change_sub_token` takes."""
        chosen = self.cleaned_data
        return {**self.policy_values(), "name": chosen["name"], "expires_at": chosen["expires_at"]}


class BulkForm(forms.Form):
    """One act on the sub-tokens that were ticked."""

    act = forms.ChoiceField(label=_("With those ticked"), choices=BulkAct.choices)
    reclaim = forms.BooleanField(label=_("Take their free Tokens back"), required=False)
    expires_in_days = forms.TypedChoiceField(label=_("Set the end: in"), choices=LIVES, coerce=int, required=False)
    ids = IdsField(widget=forms.MultipleHiddenInput)

    def choice(self, now: datetime) -> dict[str, Any]:
        """Return the arguments of the service."""
        chosen = self.cleaned_data
        act = BulkAct(chosen["act"])
        days = chosen["expires_in_days"] or 30
        return {
            "act": act,
            "sub_token_ids": chosen["ids"],
            "reclaim": chosen["reclaim"] and act is BulkAct.REVOKE,
            "expires_at": now + timedelta(days=days) if act is BulkAct.EXPIRE else None,
        }


class LookupForm(forms.Form):
    """A secret that was found somewhere, or how one begins."""

    secret = forms.CharField(
        label=_("Secret, or its beginning"),
        min_length=8,
        max_length=100,
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text=_("At least its first 8 characters. It is compared and not kept."),
    )
