"""What signing up and in does differently here than in a plain django-allauth."""

from __future__ import annotations

import base64
import secrets
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailConfirmation
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy as _

from tenants.client_ip import client_ip
from tenants.identifiers import new_id
from tenants.models import User
from tenants.sealing import SealBroken, seal, unseal
from tenants.services.outbox import queue_mail
from tenants.user_agents import browser_of

log = structlog.get_logger(__name__)

# Of who comes over a bare Unix socket.
NO_ADDRESS = "0.0.0.0"  # noqa: S104 nothing listens here
MFA_PURPOSE = "second factor"
# What a person is told of by mail, by the name that django-allauth gives it.
CHANGED = {
    "account/email/email_changed": _("Your mail address has changed"),
    "account/email/email_confirm": _("Your mail address is confirmed"),
    "account/email/email_deleted": _("A mail address was removed from your account"),
    "account/email/password_changed": _("Your password has changed"),
    "account/email/password_reset": _("Your password has changed"),
    "account/email/password_set": _("Your account has a password now"),
    "mfa/email/recovery_codes_generated": _("You have new recovery codes"),
    "mfa/email/totp_activated": _("An app with codes protects your account"),
    "mfa/email/totp_deactivated": _("The app with codes was turned off"),
    "mfa/email/webauthn_added": _("A passkey was added to your account"),
    "mfa/email/webauthn_removed": _("A passkey was removed from your account"),
}


class AccountAdapter(DefaultAccountAdapter):
    """Mails in the reader's language, links on the portal's own address, and the address of whoever asks."""

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address that limits are counted by."""
        return client_ip(request) or NO_ADDRESS

    def get_email_confirmation_url(self, request: HttpRequest, emailconfirmation: EmailConfirmation) -> str:
        """Return the link that proves a mail address, whatever Host header the asking request bore."""
        return urljoin(settings.BASE_URL, reverse("account_confirm_email", args=[emailconfirmation.key]))

    def get_reset_password_from_key_url(self, key: str) -> str:
        """Return the link that lets a person choose a new password."""
        path = reverse("account_reset_password_from_key", kwargs={"uidb36": "UID", "key": "KEY"})
        return urljoin(settings.BASE_URL, path.replace("UID-KEY", key))

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Owe a mail in the language that its reader chose, or else that of the page that caused it.

        Through the outbox: nobody who signs up waits for a mail server, and one that is away loses no mail.
        """
        reader = context.get("user") or User.objects.filter(email=email.lower()).first()
        language = getattr(reader, "language", "") or translation.get_language() or settings.LANGUAGE_CODE
        with translation.override(language):
            said = {**context, "request": self.request, "email": email, "base_url": settings.BASE_URL}
            message = cast(EmailMultiAlternatives, self.render_mail(template_prefix, email, said))
        queue_mail(
            organization_id=None,
            to=email,
            kind="account",
            context={"subject": message.subject, "text": message.body, "html": message.alternatives[0][0]},
            dedupe_key=f"account:{new_id()}",
            language=language,
            now=timezone.now(),
        )

    def send_notification_mail(
        self, template_prefix: str, user: User, context: dict[str, Any] | None = None, email: str | None = None
    ) -> None:
        """Tell a person that something about signing in to their account has changed, from where, and what to do."""
        changed = {
            "changed": CHANGED.get(template_prefix, _("Something about your account has changed")),
            "browser": browser_of(self.get_http_user_agent(self.request)),
            "button_url": urljoin(settings.BASE_URL, reverse("account")),
        }
        super().send_notification_mail("account/email/changed", user, {**(context or {}), **changed}, email)

    def post_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse:
        """Go on in the language that the person chose."""
        response: HttpResponse = super().post_login(request, user, **kwargs)
        if user.language:
            set_language_cookie(response, user.language)
        return response


class MfaAdapter(DefaultMFAAdapter):
    """Second factors whose secrets are stored encrypted."""

    def encrypt(self, text: str) -> str:
        """Seal what an app's codes and recovery codes are made from."""
        return seal(text, purpose=MFA_PURPOSE)

    def decrypt(self, encrypted_text: str) -> str:
        """Open it; what opens with no key that is known is taken for a secret that nobody has, and no code fits it."""
        try:
            return unseal(encrypted_text, purpose=MFA_PURPOSE)
        except SealBroken:
            log.error("second_factor_without_its_key")
            return base64.b32encode(secrets.token_bytes(20)).decode()

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """Return whom a passkey is for: the portal's own host, whatever Host header the request bore."""
        return {"id": urlsplit(settings.BASE_URL).hostname or "localhost", "name": "Tokensight"}


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
