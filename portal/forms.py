"""The form that a new customer fills in."""

from __future__ import annotations

from typing import Any, ClassVar

from allauth.account.adapter import get_adapter
from allauth.account.forms import SignupForm as AllauthSignupForm
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


class SignupForm(AllauthSignupForm):
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
    field_order: ClassVar[list[str]] = ["name", "organization_name", "email", "password1"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password1"].help_text = _("At least 10 characters; neither a common password nor like your name.")
        if invited := context.request and context.request.session.get(INVITED):
            del self.fields["organization_name"]
            self.initial.setdefault("email", invited)
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)

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
