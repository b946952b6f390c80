"""In which language a person is written to."""

from __future__ import annotations

from django.conf import settings

from tenants.models import User


def language_of(user: User) -> str:
    """Return the language that a person chose on their account page ("en" or "zh-hans"), or else the portal's own."""
    return user.language if user.language in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE
