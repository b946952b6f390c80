"""Secrets that have to be read again, encrypted where they are stored.

The key is derived from the portal's `SECRET_KEY` and from what it is for, so that a text sealed for one thing opens
nothing else. `SECRET_KEY_FALLBACKS` still open what was sealed before the key was changed. HKDF: RFC 5869; the cipher
is Fernet (AES-128-CBC with HMAC-SHA-256).
"""

from __future__ import annotations

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class SealBroken(Exception):
    """A sealed text was altered, or sealed with a key or for a purpose that is not known here."""


def seal(text: str, *, purpose: str = "") -> str:
    """Return a text that only this portal can read, and only for `purpose`."""
    return _box(purpose).encrypt(text.encode()).decode()


def unseal(sealed: str, *, purpose: str = "") -> str:
    """Return what was sealed for `purpose`. Raises `SealBroken`."""
    try:
        return _box(purpose).decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise SealBroken(purpose) from error


def reseal(sealed: str, *, purpose: str = "") -> str:
    """Return the same secret sealed with the present key. Raises `SealBroken`."""
    try:
        return _box(purpose).rotate(sealed.encode()).decode()
    except InvalidToken as error:
        raise SealBroken(purpose) from error


def _box(purpose: str) -> MultiFernet:
    return MultiFernet(
        [Fernet(_key(secret, purpose)) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    )


def _key(secret: str, purpose: str = "") -> bytes:
    derived = HKDF(SHA256(), length=32, salt=None, info=f"tokensight:{purpose}".encode())
    return base64.urlsafe_b64encode(derived.derive(secret.encode()))
