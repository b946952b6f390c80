"""Errors as RFC 9457 `application/problem+json`, each with a stable `code` that clients may rely on."""

from __future__ import annotations

from typing import Any

STATUS_OF_CODE = {
    "invalid_request": 400,
    "invalid_image": 400,
    "image_too_large_to_decode": 400,
    "missing_token": 401,
    "invalid_token": 401,
    "expired_token": 401,
    "revoked_token": 401,
    "suspended_token": 403,
    "organization_frozen": 403,
    "model_not_allowed": 403,
    "task_not_allowed": 403,
    "ip_not_allowed": 403,
    "insufficient_scope": 403,
    "organization_closing": 403,
    "debt_outstanding": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "conflict": 409,
    "refund_refused": 409,
    "code_not_applicable": 409,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "validation_error": 422,
    "idempotency_mismatch": 422,
    "code_mistyped": 422,
    "code_invalid": 422,
    "rate_limited": 429,
    "concurrency_limited": 429,
    "insufficient_tokens": 429,
    "quota_exceeded": 429,
    "hourly_limit_exceeded": 429,
    "payment_failed": 402,
    "internal_error": 500,
    "gateway_refused": 502,
    "gateway_away": 503,
    "payments_unavailable": 503,
    "model_not_installed": 503,
    "model_loading": 503,
    "no_capacity": 503,
    "service_unavailable": 503,
}


class Problem(Exception):
    """An error that the caller is told of.

    `code` is stable and decides the status; `detail` says to a person what happened and what to do; `headers` and the
    `extra` members go into the answer as they are.
    """

    def __init__(self, code: str, detail: str, *, headers: dict[str, str] | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.code, self.detail, self.headers, self.extra = code, detail, headers or {}, extra

    @property
    def status(self) -> int:
        return STATUS_OF_CODE[self.code]

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the members of the problem document."""
        return {
            "type": f"urn:tokensight:problem:{self.code}",
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "request_id": request_id,
            **self.extra,
        }
