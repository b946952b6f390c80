"""What people fill in about themselves and their organization."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tenants.models import ManagementKey, Organization, Role, SingleSignOn, Team, User
from tenants.permissions import LABELS, MANAGEMENT_KEY_SCOPES, Permission
from tenants.queries.teams import teams_outside


class NetworksField(forms.CharField):
    """Addresses or networks (CIDR), one a line; cleaned to a list of networks in their usual form."""

    widget = forms.Textarea(attrs={"rows": 2})

    def __init__(self, **kwargs: Any) -> None:
        defaults: dict[str, Any] = {
            "label": _("Allowed addresses"),
            "required": False,
            "max_length": 2000,
            "help_text": _("Networks such as 10.2.0.0/16, one a line. Empty: from everywhere."),
        }
        super().__init__(**(defaults | kwargs))

    def clean(self, value: Any) -> list[str]:
        networks = []
        for text in super().clean(value).replace(",", "\n").split():
            try:
                networks.append(str(ipaddress.ip_network(text, strict=False)))
            except ValueError:
                raise forms.ValidationError(
                    gettext("%(text)s is not an address or network.") % {"text": text}
                ) from None
        return networks

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value


_DOMAIN = re.compile(r"(?=.{3,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")


class OrganizationForm(forms.ModelForm):
    class Meta:
        model = Organization
        fields = ["name"]
        widgets = {"name": forms.TextInput(attrs={"autocomplete": "organization"})}


class OrganizationSettingsForm(OrganizationForm):
    """What an organization is called, and what becomes of its calls while Redis is away."""

    class Meta(OrganizationForm.Meta):
        fields = ["name", "when_uncounted"]
        help_texts = {
            "when_uncounted": _(
                "Requests and calls at a time are counted apart from the ledger. Should that counting fail, limits of"
                " Tokens hold all the same."
            )
        }


class RoleForm(forms.Form):
    """A role; only an owner is offered, and may give, the owner role."""

    role = forms.ChoiceField(label=_("Role"))

    def __init__(self, *args: Any, by_owner: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(role.value, role.label) for role in Role if by_owner or role is not Role.OWNER]
        self.fields["role"].choices = choices  # type: ignore[attr-defined]


class InvitationForm(forms.Form):
    """Whom to invite, as what, and how long the link works."""

    LIVES = (("1", _("1 day")), ("7", _("7 days")), ("30", _("30 days")))

    email = forms.EmailField(label=_("Mail address"), widget=forms.EmailInput(attrs={"autocomplete": "off"}))
    role = forms.ChoiceField(
        label=_("Role"),
        choices=[(role.value, role.label) for role in Role if role is not Role.OWNER],
        initial=Role.DEVELOPER,
        help_text=_("What each role allows is written in the documentation. It can be changed later."),
    )
    days = forms.TypedChoiceField(label=_("The link works for"), choices=LIVES, initial="7", coerce=int)


class SingleSignOnForm(forms.Form):
    """An organization's provider. The secret is never shown: left empty, the one that is kept stays."""

    issuer = forms.URLField(
        label=_("Issuer"), max_length=500, assume_scheme="https", help_text=_("As your provider writes it, exactly.")
    )
    client_id = forms.CharField(label=_("Client id"), max_length=255)
    client_secret = forms.CharField(
        label=_("Client secret"),
        max_length=500,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )
    domains = forms.CharField(
        label=_("Mail domains"), help_text=_("Whose addresses may come in, separated by commas: example.com")
    )
    default_role = forms.ChoiceField(
        label=_("Role of newcomers"),
        choices=[(role.value, role.label) for role in Role if role is not Role.OWNER],
        initial=Role.VIEWER,
    )

    def __init__(self, *args: Any, kept: SingleSignOn | None, **kwargs: Any) -> None:
        if kept is not None:
            kwargs["initial"] = {
                "issuer": kept.issuer,
                "client_id": kept.client_id,
                "domains": ", ".join(kept.domains),
                "default_role": kept.default_role,
            }
        super().__init__(*args, **kwargs)
        secret = self.fields["client_secret"]
        secret.required = kept is None
        if kept is not None:
            secret.help_text = _("Leave it empty to keep the one there is. It is stored encrypted and never shown.")

    def clean_domains(self) -> list[str]:
        """Return the domains as a list."""
        domains = [part.strip().lower().lstrip("@") for part in self.cleaned_data["domains"].split(",")]
        wrong = [domain for domain in domains if domain and not _DOMAIN.fullmatch(domain)]
        if wrong or not any(domains):
            raise forms.ValidationError(_("Write domains such as example.com, separated by commas."))
        return [domain for domain in domains if domain]


class MemberFilter(forms.Form):
    """Which members are listed."""

    q = forms.CharField(label=_("Search"), required=False)
    role = forms.ChoiceField(label=_("Role"), required=False, choices=[("", _("All roles")), *Role.choices])

    def wanted(self) -> dict[str, str]:
        """Return what was asked for; nothing when the form is not valid."""
        return {name: value for name, value in self.cleaned_data.items() if value} if self.is_valid() else {}


class TeamForm(forms.Form):
    """A team's name and place. Needs the organization's scope; a team is not offered its own inside as its outside."""

    name = forms.CharField(label=_("Name"), max_length=120)
    parent = forms.ModelChoiceField(Team.objects.none(), label=_("Inside"), required=False)

    def __init__(self, *args: Any, team: Team | None = None, **kwargs: Any) -> None:
        if team is not None:
            kwargs["initial"] = {"name": team.name, "parent": team.parent_id}
        super().__init__(*args, **kwargs)
        parent = self.fields["parent"]
        parent.queryset = teams_outside(team)  # type: ignore[attr-defined]
        parent.empty_label = _("No other team")  # type: ignore[attr-defined]


class ManagementKeyForm(forms.Form):
    """A key's name, scopes (at most what its maker may do) and life."""

    LIVES = (("30", _("30 days")), ("90", _("90 days")), ("365", _("1 year")), ("never", _("No end")))

    name = forms.CharField(label=_("Name"), max_length=120, help_text=_("What will use it, such as “ERP” or “CI”."))
    scopes = forms.MultipleChoiceField(label=_("It may"), widget=forms.CheckboxSelectMultiple)
    days = forms.ChoiceField(label=_("Valid for"), choices=LIVES, initial="90")
    ip_allow_list = NetworksField()

    def __init__(self, *args: Any, allowed: Iterable[Permission], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        may = set(allowed)
        choices = [(scope.value, LABELS[scope]) for scope in MANAGEMENT_KEY_SCOPES if scope in may]
        self.fields["scopes"].choices = choices  # type: ignore[attr-defined]

    def wanted_scopes(self) -> list[Permission]:
        """Return the chosen scopes."""
        return [Permission(scope) for scope in self.cleaned_data["scopes"]]

    def expires_at(self, now: datetime) -> datetime | None:
        """Return when the key ends, None for never."""
        days = self.cleaned_data["days"]
        return None if days == "never" else now + timedelta(days=int(days))


class ManagementKeyChangeForm(ManagementKeyForm):
    """Another name, scopes, life or addresses for a key; scopes that it has may stay whoever changes it."""

    KEEP = ("keep", _("As it is"))

    def __init__(self, *args: Any, key: ManagementKey, allowed: Iterable[Permission], **kwargs: Any) -> None:
        initial = {"name": key.name, "scopes": key.scopes, "days": "keep", "ip_allow_list": key.ip_allow_list}
        scopes = {*allowed, *(Permission(scope) for scope in key.scopes)}
        super().__init__(*args, allowed=scopes, **kwargs | {"initial": initial})
        self.fields["days"].choices = [self.KEEP, *self.LIVES]  # type: ignore[attr-defined]

    def changes(self, now: datetime) -> dict[str, Any]:
        """Return what `change_management_key` takes."""
        chosen = self.cleaned_data
        changes = {"name": chosen["name"], "scopes": chosen["scopes"], "ip_allow_list": chosen["ip_allow_list"]}
        return changes if chosen["days"] == "keep" else changes | {"expires_at": self.expires_at(now)}


class GraceForm(forms.Form):
    """How long an old secret works on."""

    HOURS = ((0, _("Not at all")), (1, _("1 hour")), (24, _("24 hours")), (72, _("3 days")), (168, _("7 days")))

    grace_hours = forms.TypedChoiceField(
        label=_("Keep the old secret working for"), choices=HOURS, coerce=int, initial=24
    )

    def grace(self) -> timedelta:
        """Return the grace that was chosen."""
        return timedelta(hours=self.cleaned_data["grace_hours"])


class ManagementKeyFilter(forms.Form):
    """Which keys are shown; what is not valid leaves none out."""

    q = forms.CharField(label=_("Name or prefix"), required=False, max_length=120)
    status = forms.ChoiceField(
        label=_("Status"),
        required=False,
        choices=[("", _("All")), ("active", _("Active")), ("expired", _("Expired")), ("revoked", _("Revoked"))],
    )
    cursor = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_valid()
        self.chosen: dict[str, Any] = getattr(self, "cleaned_data", {})

    def search(self) -> dict[str, str]:
        """Return the arguments of `management_keys`."""
        return {"text": self.chosen.get("q", ""), "status": self.chosen.get("status", "")}


class ProfileForm(forms.ModelForm):
    language = forms.ChoiceField(label=_("Language"), choices=settings.LANGUAGES)

    class Meta:
        model = User
        fields = ["name", "language"]
        widgets = {"name": forms.TextInput(attrs={"autocomplete": "name"})}
