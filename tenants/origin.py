"""From where the request came that is being answered, for the audit log."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from django.http import HttpRequest

from tenants.client_ip import client_ip

LONGEST_USER_AGENT = 300

_request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


@dataclass(frozen=True)
class Origin:
    """Address, browser, session and request; all empty where no request is answered (commands, the scheduler).

    `session` is a fingerprint: it tells sessions apart and opens none.
    """

    ip: str | None = None
    user_agent: str = ""
    session: str = ""
    request_id: str = ""


@contextmanager
def answering(request: HttpRequest) -> Iterator[None]:
    """Let what happens inside know that this request is the cause."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


def origin() -> Origin:
    """Return from where the request came that is being answered."""
    request = _request.get()
    if request is None:
        return Origin()
    session = getattr(request, "session", None)
    return Origin(
        ip=client_ip(request),
        user_agent=request.headers.get("User-Agent", "")[:LONGEST_USER_AGENT],
        session=session_fingerprint(session.session_key) if session is not None else "",
        request_id=getattr(request, "request_id", ""),
    )


def session_fingerprint(session_key: str | None) -> str:
    """Return the few characters by which the audit log names a session, empty for none."""
    return hashlib.sha256(session_key.encode()).hexdigest()[:12] if session_key else ""
