"""From whatever an API view raises to the problem document that its caller gets."""

from __future__ import annotations

from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.db import Error as DatabaseError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

from tenants.api.problems import Problem
from tenants.outages import RETRY_SECONDS, is_outage

log = structlog.get_logger(__name__)

AWAY = (
    "The database does not answer just now. Try again in a few seconds, with the same Idempotency-Key if there was "
    "one: what was done already is not done again."
)


def problem_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer any error of an API view with a problem document; what nobody foresaw stays Django's 500."""
    problem = _as_problem(error)
    if problem is None:
        return None
    request_id = getattr(context["request"], "request_id", "")
    response = Response(
        problem.body(request_id),
        status=problem.status,
        headers=problem.headers,
        content_type="application/problem+json",
    )
    if problem.status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="tokensight"'
    return response


def _as_problem(error: Exception) -> Problem | None:
    match error:
        case Problem():
            return error
        case Http404() | exceptions.NotFound():
            return Problem("not_found", "There is nothing here, or it is not yours to see.")
        case exceptions.ValidationError():
            return Problem("validation_error", "Some fields are not valid.", errors=error.get_full_details())
        case exceptions.ParseError():
            return Problem("invalid_request", str(error.detail))
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return Problem("missing_token", "Send a token as 'Authorization: Bearer ...'.")
        case PermissionDenied() | exceptions.PermissionDenied():
            return Problem("insufficient_scope", "This credential may not do that.")
        case exceptions.MethodNotAllowed():
            return Problem("method_not_allowed", str(error.detail))
        case exceptions.NotAcceptable():
            return Problem("not_acceptable", str(error.detail))
        case exceptions.UnsupportedMediaType():
            return Problem("unsupported_media_type", str(error.detail))
        case DatabaseError() if is_outage(error):
            log.error("database_away", error=str(error).strip())
            return Problem("service_unavailable", AWAY, headers={"Retry-After": str(RETRY_SECONDS)})
    return None
