"""Secrets that must be read again, unlike passwords: kept so that a copy of the database alone does not tell them."""

from __future__ import annotations

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class SealBroken(Exception):
    """The text was sealed with a key that this installation does not have (any more)."""


def seal(text: str) -> str:
    """Return a secret as it may be stored; it can be opened with SECRET_KEY only."""
    return _box().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """Return what was sealed. A former key in SECRET_KEY_FALLBACKS still opens. Raises SealBroken."""
    try:
        return _box().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise SealBroken("This secret was sealed with another SECRET_KEY.") from error


def _box() -> MultiFernet:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    # The key has far more than 128 random bits in production (settings refuse to start without one).
    return MultiFernet(
        [Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"tokensight.seal:" + key.encode()).digest())) for key in keys]
    )
