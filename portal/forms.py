"""The forms of signing up and in: django-allauth's, in our words."""

from __future__ import annotations

from typing import Any

from allauth.account import forms as allauth_forms
from allauth.account.adapter import get_adapter
from allauth.core import context
from django import forms
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy as _

from portal.services.onboarding import open_organization
from tenants.actors import user_actor
from tenants.client_ip import client_ip
from tenants.models import User
from tenants.views.invitations import INVITED

LABELS = {
    "login": _("Mail address"),
    "email": _("Mail address"),
    "remember": _("Stay signed in"),
    "oldpassword": _("Current password"),
    "password1": _("New password"),
    "password2": _("New password, once more"),
}
PASSWORD_HINT = _("At least 10 characters; neither a common password nor like your name.")


class InOurWords(forms.Form):
    """Labels as on all other pages, and no hint inside a field that says what its label says."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.label = LABELS.get(name, field.label)
            field.widget.attrs.pop("placeholder", None)
        if "password1" in self.fields:
            self.fields["password1"].help_text = PASSWORD_HINT


class LoginForm(InOurWords, allauth_forms.LoginForm):
    """Signing in."""


class ReauthenticateForm(InOurWords, allauth_forms.ReauthenticateForm):
    """The password once more."""


class AddEmailForm(InOurWords, allauth_forms.AddEmailForm):
    """Another mail address."""


class ChangePasswordForm(InOurWords, allauth_forms.ChangePasswordForm):
    """A new password for the old one."""


class ResetPasswordForm(InOurWords, allauth_forms.ResetPasswordForm):
    """Where to send the link that lets a person choose a new password."""


class ResetPasswordKeyForm(InOurWords, allauth_forms.ResetPasswordKeyForm):
    """The new password, after that link."""


class SignupForm(InOurWords, allauth_forms.SignupForm):
    """Mail address and password, and the names of the person and of their organization.

    Who comes by an invitation opens no organization: one waits for them.
    """

    name = forms.CharField(
        label=_("Your name"),
        max_length=150,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    organization_name = forms.CharField(
        label=_("Organization"),
        max_length=120,
        help_text=_("Your company, your team or yourself. It can be renamed."),
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
    )
    field_order = ("name", "organization_name", "email", "password1")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password1"].label = _("Password")
        if invited := context.request and context.request.session.get(INVITED):
            del self.fields["organization_name"]
            self.initial.setdefault("email", invited)

    def save(self, request: HttpRequest) -> User:
        """Create the person and their organization in one transaction."""
        if self.cleaned_data["email"].lower() != request.session.get(INVITED):
            # The link of an invitation proves the invited address, and no account for another one.
            get_adapter().unstash_verified_email(request)
        with transaction.atomic():
            user: User = super().save(request)
            user.name = self.cleaned_data["name"]
            user.language = translation.get_language() or ""
            user.save(update_fields=["name", "language"])
            if "organization_name" in self.cleaned_data:
                open_organization(
                    name=self.cleaned_data["organization_name"],
                    owner=user,
                    actor=user_actor(user.id, user.email, client_ip(request)),
                    now=timezone.now(),
                )
        return user

    def try_save(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        """Save, or answer as always when the address is taken, even if it was taken a moment ago."""
        try:
            result: tuple[Any, Any] = super().try_save(request)
        except IntegrityError:
            if not User.objects.filter(email=self.cleaned_data["email"]).exists():
                raise
            self.account_already_exists = True
            result = super().try_save(request)
        return result
