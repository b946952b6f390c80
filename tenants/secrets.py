"""The secrets of sub-tokens and management keys: how they are made, recognised and kept.

A secret is `tsk_` or `tsm_`, 32 random base62 characters and 6 base62 characters of CRC-32 over everything before them.
The fixed form lets secret scanners find a leaked one, and lets a typo be refused without asking the database. Only the
SHA-256 is stored: with 190 random bits there is nothing to guess, so a slow hash would only slow the callers.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from enum import StrEnum
from typing import Any

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM_LENGTH = 32
CHECKSUM_LENGTH = 6
SHOWN_LENGTH = 12
# What people may be shown of a secret, and then too much of it.
_WHOLE_SECRET = re.compile(
    r"((?:ts[km]_|whsec_|[sr]k_(?:live|test)_)[0-9A-Za-z]{8}|\bTSC-[0-9A-Z]{5})[0-9A-Za-z+/=_\-]{8,}"
)
# What lets a browser finish a payment at Stripe.
_CLIENT_SECRET = re.compile(r"\b((?:pi|seti|cs|src)_[0-9A-Za-z_]+?_secret_)[0-9A-Za-z]+")


class SecretKind(StrEnum):
    """What a secret opens; the value is what it begins with."""

    SUB_TOKEN = "tsk_"  # noqa: S105 how a secret begins, not a secret
    MANAGEMENT_KEY = "tsm_"
    WEBHOOK = "tsw_"


def new_secret(kind: SecretKind) -> str:
    """Return a new secret. Show it once: it cannot be read back from what is stored."""
    body = kind.value + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_LENGTH))
    return body + _checksum(body)


def kind_of(secret: str) -> SecretKind | None:
    """Return what a secret opens, or None when its form or its checksum is wrong."""
    body, checksum = secret[:-CHECKSUM_LENGTH], secret[-CHECKSUM_LENGTH:]
    kind = next((kind for kind in SecretKind if body.startswith(kind.value)), None)
    if kind is None or len(body) != len(kind.value) + RANDOM_LENGTH or not body.isascii():
        return None
    return kind if _checksum(body) == checksum else None


def hash_secret(secret: str) -> str:
    """Return the SHA-256 (hex) that is stored and looked up instead of the secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def shown_prefix(secret: str) -> str:
    """Return the beginning of a secret, by which people tell their credentials apart."""
    return secret[:SHOWN_LENGTH]


def without_secrets(value: Any) -> Any:
    """Return text, and whatever is in lists and mappings, with every whole secret in it cut short: ours and Stripe's.

    Codes that are worth Tokens (billing/codes.py) are among ours.
    What people type lands in names, reasons and headers; some day somebody pastes a secret there.
    """
    if isinstance(value, str):
        return _CLIENT_SECRET.sub(r"\1…", _WHOLE_SECRET.sub(r"\1…", value))
    if isinstance(value, dict):
        return {name: without_secrets(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    return value


def _checksum(body: str) -> str:
    value, digits = zlib.crc32(body.encode()), []
    for _ in range(CHECKSUM_LENGTH):
        value, digit = divmod(value, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
