"""From what django-allauth tells of a person's sign-in to the audit log.

allauth offers no other place that all of these pass: the receivers only write down what has been done.
"""

from __future__ import annotations

from typing import Any

from allauth.account import signals as account
from allauth.mfa import signals as mfa
from django.contrib.auth.signals import user_logged_out
from django.http import HttpRequest
from django.utils import timezone

from tenants.client_ip import client_ip
from tenants.models import User
from tenants.services.personal import record_personal


def connect() -> None:
    """Write down what is told from now on."""
    for signal, action in (
        (account.user_logged_in, "person.signed_in"),
        (account.password_changed, "person.password_changed"),
        (account.password_set, "person.password_changed"),
        (account.password_reset, "person.password_changed"),
        (account.email_changed, "person.email_changed"),
        (mfa.authenticator_added, "person.second_factor_added"),
        (mfa.authenticator_removed, "person.second_factor_removed"),
        (mfa.authenticator_reset, "person.recovery_codes_made"),
        (user_logged_out, "person.signed_out"),
    ):
        signal.connect(_writer(action), weak=False, dispatch_uid=f"audit:{action}:{id(signal)}")


def _writer(action: str) -> Any:
    def write(sender: object, request: HttpRequest, user: User | None, **told: Any) -> None:
        if user is None or user.pk is None:  # nobody, or who has just deleted their account
            return
        after = {"kind": told["authenticator"].type} if "authenticator" in told else None
        record_personal(user=user, action=action, ip=client_ip(request), now=timezone.now(), after=after)

    return write
