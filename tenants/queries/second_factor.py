"""Who has a second factor: an app that shows codes, or a passkey. Recovery codes alone are none."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from allauth.mfa.models import Authenticator

FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def has_second_factor(user_id: uuid.UUID) -> bool:
    """Return whether a person has set up a second factor."""
    return bool(with_second_factor([user_id]))


def with_second_factor(user_ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of the persons who have set up a second factor."""
    found = Authenticator.objects.filter(user_id__in=list(user_ids), type__in=FACTORS)
    return set(found.values_list("user_id", flat=True))
