"""Second factors for tests: an app whose codes can be computed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
import time

from allauth.mfa.models import Authenticator

from tenants.adapter import MfaAdapter
from tenants.models import User

KEY = base64.b32encode(b"a key for the tests!").decode()


def code_of(key: str = KEY, *, steps: int = 0) -> str:
    """Return the code that an app shows now, or `steps` times 30 s later (RFC 6238, with SHA-1 and 6 digits)."""
    counter = int(time.time()) // 30 + steps
    digest = hmac.new(base64.b32decode(key), struct.pack(">Q", counter), hashlib.sha1).digest()
    offset = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[offset : offset + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"


def give_app(user: User, key: str = KEY) -> Authenticator:
    """Give a person an app with codes."""
    data = {"secret": MfaAdapter().encrypt(key)}
    return Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data=data)
