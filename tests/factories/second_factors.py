"""Second factors for tests: an app whose codes can be computed."""

from __future__ import annotations

import base64

from allauth.mfa.models import Authenticator

from tenants.adapter import MfaAdapter
from tenants.models import User
from tests import totp

KEY = base64.b32encode(b"a key for the tests!").decode()


def code_of(key: str = KEY, *, steps: int = 0) -> str:
    """Return the code that the app shows now, or `steps` times 30 s later."""
    return totp.code_of(key, steps=steps)


def give_app(user: User, key: str = KEY) -> Authenticator:
    """Give a person an app with codes."""
    data = {"secret": MfaAdapter().encrypt(key)}
    return Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data=data)
