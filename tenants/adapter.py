"""What signing up and in does differently here than in a plain django-allauth."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailConfirmation
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import translation

from tenants.client_ip import client_ip
from tenants.models import User


class AccountAdapter(DefaultAccountAdapter):
    """Mails in the reader's language, links on the portal's own address, and the address of whoever asks."""

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address that limits are counted by."""
        return client_ip(request) or "unix"

    def get_email_confirmation_url(self, request: HttpRequest, emailconfirmation: EmailConfirmation) -> str:
        """Return the link that proves a mail address, whatever Host header the asking request bore."""
        return urljoin(settings.BASE_URL, reverse("account_confirm_email", args=[emailconfirmation.key]))

    def get_reset_password_from_key_url(self, key: str) -> str:
        """Return the link that lets a person choose a new password."""
        path = reverse("account_reset_password_from_key", kwargs={"uidb36": "UID", "key": "KEY"})
        return urljoin(settings.BASE_URL, path.replace("UID-KEY", key))

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send a mail in the language that its reader chose, or else that of the page that caused it."""
        reader = context.get("user") or User.objects.filter(email=email.lower()).first()
        language = getattr(reader, "language", "") or translation.get_language()
        with translation.override(language):
            super().send_mail(template_prefix, email, {**context, "base_url": settings.BASE_URL})

    def post_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse:
        """Go on in the language that the person chose."""
        response: HttpResponse = super().post_login(request, user, **kwargs)
        if user.language:
            set_language_cookie(response, user.language)
        return response


def set_language_cookie(response: HttpResponse, language: str) -> None:
    """Let this browser see the next pages in `language`."""
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=settings.LANGUAGE_COOKIE_AGE,
        path=settings.LANGUAGE_COOKIE_PATH,
        secure=settings.LANGUAGE_COOKIE_SECURE,
        httponly=settings.LANGUAGE_COOKIE_HTTPONLY,
        samesite=settings.LANGUAGE_COOKIE_SAMESITE,
    )
