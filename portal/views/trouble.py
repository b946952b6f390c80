"""The page of what went wrong on our side."""

from __future__ import annotations

import sys

from django.http import HttpRequest, HttpResponse
from django.template import loader

from tenants.outages import RETRY_SECONDS, is_outage


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer what nobody foresaw with a 500, and a database that is away with a 503 that says when to come again.

    Called while the error is being handled. Neither session nor user can be asked for: what is away may be theirs too.
    """
    away = is_outage(sys.exc_info()[1])
    response = HttpResponse(loader.render_to_string("500.html", {"away": away}), status=503 if away else 500)
    if away:
        response["Retry-After"] = str(RETRY_SECONDS)
    return response
