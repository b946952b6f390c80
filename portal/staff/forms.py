"""What staff fill in. Every act has a reason, which the organization reads in its audit log."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, cast

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.enums import EventStatus
from billing.forms import TokensField
from billing.models import Plan
from tenants.models import MailStatus

SHORTEST_REASON = 10


class ReasonForm(forms.Form):
    """Why. `key` makes an act one act, however often its form is sent."""

    reason = forms.CharField(
        label=_("Reason"),
        min_length=SHORTEST_REASON,
        max_length=500,
        help_text=_("The organization reads it in its audit log."),
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    key = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["initial"] = {"key": uuid.uuid4(), **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)


class GrantForm(ReasonForm):
    """Tokens to give by hand."""

    tokens = TokensField(label=_("Tokens"))
    days = forms.IntegerField(label=_("Valid for days"), required=False, min_value=1, max_value=3650)
    priority = forms.IntegerField(
        label=_("Priority"), initial=50, min_value=0, max_value=100, help_text=_("Lower burns first.")
    )
    field_order = ["tokens", "days", "priority", "reason"]

    def life(self) -> timedelta | None:
        """Return how long the grant lives, None for ever."""
        days = self.cleaned_data["days"]
        return None if days is None else timedelta(days=days)


class PlanForm(ReasonForm):
    """The plan to put an organization on."""

    plan = forms.ChoiceField(label=_("Plan"))
    field_order = ["plan", "reason"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        plans = Plan.objects.filter(active=True).order_by("position")
        cast(forms.ChoiceField, self.fields["plan"]).choices = [(plan.key, plan.name) for plan in plans]


class RefundForm(ReasonForm):
    """How much of a payment to refund."""

    tokens = TokensField(label=_("Tokens"), required=False, help_text=_("Empty for all that are unspent."))
    field_order = ["tokens", "reason"]


class OrganizationSearch(forms.Form):
    """Which organizations are listed."""

    q = forms.CharField(label=_("Name, address or member"), required=False, max_length=120)
    frozen = forms.BooleanField(label=_("Frozen only"), required=False)
    cursor = forms.UUIDField(required=False, widget=forms.HiddenInput)


class MailFilter(forms.Form):
    """Which mails are listed."""

    status = forms.ChoiceField(label=_("Status"), required=False, choices=[("", _("All")), *MailStatus.choices])
    cursor = forms.UUIDField(required=False, widget=forms.HiddenInput)


class EventFilter(forms.Form):
    """Which events of Stripe's are listed."""

    status = forms.ChoiceField(label=_("Status"), required=False, choices=[("", _("All")), *EventStatus.choices])
    cursor = forms.UUIDField(required=False, widget=forms.HiddenInput)
