"""The codes that an authenticator app shows."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
import time


def code_of(key: str, *, steps: int = 0) -> str:
    """Return the code that an app shows now, or `steps` times 30 s later (RFC 6238, with SHA-1 and 6 digits)."""
    counter = int(time.time()) // 30 + steps
    digest = hmac.new(base64.b32decode(key), struct.pack(">Q", counter), hashlib.sha1).digest()
    offset = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[offset : offset + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"
