"""What every request gets (an id), the API's short way, and what its errors look like wherever they come from."""

from __future__ import annotations

import re
from collections.abc import Callable

import orjson
import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import resolve
from django.utils import translation

from tenants.api.handler import AWAY
from tenants.api.problems import Problem
from tenants.api.unread import discard_body
from tenants.identifiers import new_id
from tenants.origin import answering
from tenants.secrets import without_secrets

API_PREFIX = "/v1/"
OF_THE_BODY = ("Content-Type", "Content-Length", "Content-Encoding")
SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:\-]{8,128}")
CODE_OF_STATUS = {
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    422: "validation_error",
    503: "service_unavailable",
}
DETAIL_OF_CODE = {
    "not_found": "There is nothing at this address.",
    "validation_error": "The query holds a null character, which no text may hold.",
    "service_unavailable": AWAY,
    "internal_error": "Something went wrong on our side. Tell us the request_id.",
}

Answer = Callable[[HttpRequest], HttpResponseBase]


class RequestId:
    """Give the request an id, `request.request_id`: the caller's `X-Request-Id` when it is sane, else a new one.

    The answer and every log line bear it.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        offered = request.headers.get("X-Request-Id", "")
        sane = SANE_REQUEST_ID.fullmatch(offered) and without_secrets(offered) == offered
        request_id = offered if sane else str(new_id())
        request.request_id = request_id  # type: ignore[attr-defined]
        with structlog.contextvars.bound_contextvars(request_id=request_id), answering(request):
            response = self.get_response(request)
        response["X-Request-Id"] = request_id
        return response


class ApiErrors:
    """Turn what Django itself answers under `/v1/` (unknown path, bad host, crash) into a problem document."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if response.status_code < 400 or not request.path_info.startswith(API_PREFIX):
            return response
        discard_body(request)
        if response.get("Content-Type", "") == "application/problem+json":
            return response
        problem = _problem_response(request, response.status_code)
        # What the middleware between here and there has said to the browser still holds.
        for name, value in response.items():
            if name not in OF_THE_BODY:
                problem.headers.setdefault(name, value)
        return problem


class ApiShortcut:
    """Answer what is under `/v1/` at once: sessions, cookies, forms and page headers are for pages.

    The middleware after this one is spared about a fifth of a call's time. What the API does need of it is done here:
    the host is checked, texts are English whatever language this thread spoke last, and the length is told.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(API_PREFIX):
            return self.get_response(request)
        request.get_host()
        if "%00" in request.META.get("QUERY_STRING", ""):
            # PostgreSQL can store no null character, and look for none.
            return _problem_response(request, 422)
        translation.activate(settings.LANGUAGE_CODE)
        match = request.resolver_match = resolve(request.path_info)
        response = match.func(request, *match.args, **match.kwargs)
        if callable(getattr(response, "render", None)):
            response = response.render()
        if not response.streaming:
            response.headers.setdefault("Content-Length", str(len(response.content)))
        return response


def _problem_response(request: HttpRequest, status: int) -> HttpResponse:
    code = CODE_OF_STATUS.get(status, "internal_error" if status >= 500 else "invalid_request")
    problem = Problem(code, DETAIL_OF_CODE.get(code, "The server could not understand this request."))
    return HttpResponse(
        orjson.dumps(problem.body(request.request_id)),  # type: ignore[attr-defined]
        status=problem.status,
        content_type="application/problem+json",
    )
