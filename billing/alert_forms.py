"""Forms of the pages about alerts and webhooks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.enums import AlertChannel, AlertRule, WebhookKind
from billing.models import AlertSettings, WebhookEndpoint
from billing.services.alert_preferences import Choice, Wanted, time_zones


class AlertFilter(forms.Form):
    """Which alerts are shown."""

    SHOWS = (
        ("mine", gettext_lazy("In my inbox")),
        ("unread", gettext_lazy("Not read yet")),
        ("all", gettext_lazy("All of the organization")),
    )

    show = forms.ChoiceField(label=gettext_lazy("Show"), choices=SHOWS, required=False)
    rule = forms.ChoiceField(
        label=gettext_lazy("Kind"), choices=[("", gettext_lazy("All")), *AlertRule.choices], required=False
    )
    cursor = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def criteria(self) -> dict[str, str]:
        """Return the arguments of `billing.queries.alerts.alerts_for`; what is not valid is left out."""
        chosen: dict[str, Any] = self.cleaned_data if self.is_bound and self.is_valid() else {}
        return {"show": chosen.get("show") or "mine", "rule": chosen.get("rule") or ""}


class MuteForm(forms.Form):
    """For how long not to hear of something."""

    DAYS = (("1", gettext_lazy("1 day")), ("7", gettext_lazy("7 days")), ("30", gettext_lazy("30 days")))

    days = forms.ChoiceField(label=gettext_lazy("For"), choices=DAYS)

    def until(self, now: datetime) -> datetime:
        """Return when the mute ends."""
        return now + timedelta(days=int(self.cleaned_data["days"]))


class AlertSettingsForm(forms.Form):
    """What the whole organization is told of."""

    levels = forms.CharField(
        label=gettext_lazy("Levels, percent"),
        max_length=60,
        help_text=gettext_lazy("Of grants, pools, quotas and limits, such as 80, 95, 100."),
    )
    error_run = forms.IntegerField(
        label=gettext_lazy("Failed calls in a row"),
        min_value=1,
        max_value=1000,
        help_text=gettext_lazy("Per sub-token."),
    )
    burn_score = forms.FloatField(
        label=gettext_lazy("Unusual spending, score"),
        min_value=0.1,
        max_value=100,
        help_text=gettext_lazy(
            "Robust standard deviations above the last 14 days. 3.5 is usual; more tells less often."
        ),
    )
    rules = forms.MultipleChoiceField(
        label=gettext_lazy("Alerts"), choices=AlertRule.choices, required=False, widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, data: Any = None, *, settings: AlertSettings) -> None:
        initial = {
            "levels": ", ".join(str(level) for level in settings.levels),
            "error_run": settings.error_run,
            "burn_score": settings.burn_score,
            "rules": [rule for rule in AlertRule.values if rule not in settings.rules_off],
        }
        super().__init__(data, initial=initial)

    def clean_levels(self) -> list[int]:
        """Return the levels as numbers."""
        try:
            return [int(part) for part in self.cleaned_data["levels"].replace("%", "").split(",")]
        except ValueError:
            raise forms.ValidationError(_("Give whole percents, with commas between them.")) from None

    def rules_off(self) -> list[str]:
        """Return the rules that were not ticked."""
        return [rule for rule in AlertRule.values if rule not in self.cleaned_data["rules"]]


class PreferencesForm(forms.Form):
    """When a member wants mail, and of what. The boxes are named `<rule>-<channel>`."""

    quiet_from = forms.TimeField(
        label=gettext_lazy("Quiet from"), required=False, widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
    )
    quiet_until = forms.TimeField(
        label=gettext_lazy("Quiet until"),
        required=False,
        widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"),
    )
    time_zone = forms.ChoiceField(label=gettext_lazy("Time zone"))
    daily_digest = forms.BooleanField(label=gettext_lazy("One mail a day instead of one each"), required=False)
    digest_at = forms.TimeField(
        label=gettext_lazy("The daily mail at"), widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
    )
    critical_passes = forms.BooleanField(
        label=gettext_lazy("What is critical (all used, nothing left) comes at once, whatever the hour"),
        required=False,
    )

    def __init__(self, data: Any = None, *, choice: Choice) -> None:
        own = choice.preferences
        fields = ("quiet_from", "quiet_until", "time_zone", "daily_digest", "digest_at", "critical_passes")
        super().__init__(data, initial={name: getattr(own, name) for name in fields})
        self.fields["time_zone"].choices = [(zone, zone) for zone in time_zones()]  # type: ignore[attr-defined]
        for rule, channels in choice.wanted.items():
            for channel, yes in channels.items():
                label = f"{AlertRule(rule).label}: {AlertChannel(channel).label}"
                self.fields[f"{rule}-{channel}"] = forms.BooleanField(label=label, initial=yes, required=False)

    def clean(self) -> dict[str, Any]:
        """Refuse quiet hours with one end."""
        values: dict[str, Any] = super().clean() or {}
        if (values.get("quiet_from") is None) != (values.get("quiet_until") is None):
            self.add_error("quiet_until", _("Give both ends of the quiet hours, or none."))
        return values

    def rows(self) -> list[dict[str, Any]]:
        """Return the table of rules and their boxes."""
        return [
            {"label": rule.label, "boxes": [self[f"{rule.value}-{channel}"] for channel in AlertChannel.values]}
            for rule in AlertRule
        ]

    def wanted(self) -> Wanted:
        """Return what was ticked."""
        return {
            rule: {channel: self.cleaned_data[f"{rule}-{channel}"] for channel in AlertChannel.values}
            for rule in AlertRule.values
        }


class EndpointForm(forms.Form):
    """A webhook endpoint; its kind never changes."""

    name = forms.CharField(
        label=gettext_lazy("Name"), max_length=120, help_text=gettext_lazy("What listens there, such as “ERP”.")
    )
    kind = forms.ChoiceField(
        label=gettext_lazy("Kind"),
        choices=WebhookKind.choices,
        help_text=gettext_lazy("Signed JSON for programs of your own; Slack-compatible for chat rooms."),
    )
    url = forms.CharField(
        label=gettext_lazy("Address"),
        max_length=500,
        widget=forms.URLInput(attrs={"placeholder": "https://", "autocomplete": "off"}),
    )
    rules = forms.MultipleChoiceField(
        label=gettext_lazy("Alerts"),
        choices=AlertRule.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("None ticked: all of them."),
    )
    enabled = forms.BooleanField(label=gettext_lazy("Enabled"), required=False, initial=True)

    def __init__(self, *args: Any, endpoint: WebhookEndpoint | None = None, **kwargs: Any) -> None:
        if endpoint is not None:
            fields = ("name", "kind", "url", "rules", "enabled")
            kwargs["initial"] = {name: getattr(endpoint, name) for name in fields}
        super().__init__(*args, **kwargs)
        if endpoint is None:
            del self.fields["enabled"]
        else:
            del self.fields["kind"]
