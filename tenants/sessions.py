"""When a session was last used, written down now and then and not with every page."""

from __future__ import annotations

import time
from collections.abc import Callable

from allauth.usersessions.models import UserSession
from django.http import HttpRequest
from django.http.response import HttpResponseBase

SEEN = "seen_at"
NOTE_EVERY_SECONDS = 300


class NoteSession:
    """Note time, address and browser of a signed-in session, at most every 5 minutes."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.user.is_authenticated and time.time() - request.session.get(SEEN, 0) >= NOTE_EVERY_SECONDS:
            request.session[SEEN] = time.time()
            UserSession.objects.create_from_request(request)
        return self.get_response(request)
