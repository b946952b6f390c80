"""How a code looks that people type: made, recognised and kept.

`TSC-7KQ2M-X4V9B-…`: 21 random characters of 32 that look like no other, which are 105 bits, and 4 of a checksum, so
that a slip of the finger is told from a code that nobody knows, without asking the database. Only the SHA-256 is
stored. Staff tell codes apart by their first five characters, which leaves 80 bits to whoever knows these.
"""

from __future__ import annotations

import hashlib
import re
import secrets

# Crockford's: no I, L, O and U. What is typed for them is read as 1, 1 and 0.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PREFIX = "TSC"
RANDOM_LENGTH, CHECKSUM_LENGTH, GROUP = 21, 4, 5
LENGTH = RANDOM_LENGTH + CHECKSUM_LENGTH
LONGEST_TYPED = 80

_READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1"})
_BETWEEN = re.compile(r"[\s\-_.]+")


def new_code() -> str:
    """Return a new code as it is shown. Show it once: it cannot be read back from what is stored."""
    body = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_LENGTH))
    return shown(body + _checksum(body))


def read_code(typed: str) -> str | None:
    """Return the 25 characters that somebody meant, or None when they are too few, too many or do not belong together.

    Small letters, spaces, dashes and a missing prefix do no harm.
    """
    text = _BETWEEN.sub("", typed[:LONGEST_TYPED]).upper()
    if len(text) == len(PREFIX) + LENGTH and text.startswith(PREFIX):
        text = text[len(PREFIX) :]
    text = text.translate(_READ_AS)
    if len(text) != LENGTH or any(character not in ALPHABET for character in text):
        return None
    return text if _checksum(text[:RANDOM_LENGTH]) == text[RANDOM_LENGTH:] else None


def shown(characters: str) -> str:
    """Return 25 characters in groups, behind the prefix."""
    groups = [characters[place : place + GROUP] for place in range(0, LENGTH, GROUP)]
    return "-".join([PREFIX, *groups])


def hint_of(code: str) -> str:
    """Return what staff and members tell a code by: its prefix and its first group."""
    return code[: len(PREFIX) + 1 + GROUP]


def hash_code(characters: str) -> str:
    """Return the SHA-256 (hex) that is stored and looked up. Of the 25 characters, as `read_code` returns them."""
    return hashlib.sha256(f"{PREFIX}{characters}".encode()).hexdigest()


def _checksum(body: str) -> str:
    number = int.from_bytes(hashlib.sha256(f"checksum of {body}".encode()).digest()[:4])
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(0, 5 * CHECKSUM_LENGTH, 5))
