"""What a caller wishes by header: `Prefer` (RFC 7240), `Idempotency-Key`, `Cache-Control`, and whether they hung up."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest

from tenants.api.problems import Problem

_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,254}")
_WAIT = re.compile(r"wait\s*=\s*\"?(\d{1,6})\"?")


@dataclass(frozen=True, slots=True)
class Preference:
    """How long the caller stays, in seconds, and whether they asked for 202 rather than to stay."""

    wait_seconds: float
    respond_async: bool


def preference(request: HttpRequest) -> Preference:
    """Read `Prefer`. What is not understood there is no error, as the RFC says."""
    wishes = [wish.partition(";")[0].strip().lower() for wish in request.headers.get("Prefer", "").split(",")]
    respond_async = "respond-async" in wishes
    waits = [int(found[1]) for wish in wishes if (found := _WAIT.fullmatch(wish))]
    longest: float = settings.DETECT_WAIT_SECONDS
    if waits:
        return Preference(min(float(waits[0]), longest), respond_async)
    return Preference(0.0 if respond_async else longest, respond_async)


def idempotency_key(request: HttpRequest) -> str | None:
    """Return the `Idempotency-Key`, if there is one. Raises Problem `invalid_request` for one that cannot be kept."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    key = key.strip()
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise Problem("invalid_request", "An Idempotency-Key has 1 to 255 printable ASCII characters.")
    return key


def wants_fresh(request: HttpRequest) -> bool:
    """Say whether the caller refuses a cached answer."""
    directives = request.headers.get("Cache-Control", "").lower().split(",")
    return any(directive.strip() in ("no-cache", "no-store") for directive in directives)


def hang_up_detector(request: HttpRequest) -> Callable[[], bool]:
    """Return a function that says whether the caller has closed the connection; a server that cannot tell says no."""
    connection = request.META.get("gunicorn.socket")
    if not isinstance(connection, socket.socket):
        return lambda: False

    def hung_up() -> bool:
        try:
            return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except (BlockingIOError, InterruptedError):
            return False
        except ValueError:  # a TLS socket cannot be peeked into
            return False
        except OSError:
            return True

    return hung_up
