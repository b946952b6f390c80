"""What Stripe answers when it refuses: the status, the error's type and code, and a sentence."""

from __future__ import annotations

from typing import Any

DOCUMENTATION = "https://docs.stripe.com/error-codes"


class StripeError(Exception):
    """A refusal: `status` is the HTTP status, `fields` what Stripe adds (decline_code, param, payment_intent, ...)."""

    def __init__(self, status: int, kind: str, message: str, code: str | None = None, **fields: Any) -> None:
        super().__init__(message)
        self.status = status
        self.error: dict[str, Any] = {"type": kind, "message": message}
        if code:
            self.error |= {"code": code, "doc_url": f"{DOCUMENTATION}/{code.replace('_', '-')}"}
        self.error |= {name: value for name, value in fields.items() if value is not None}

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the body of the answer."""
        return {"error": {**self.error, "request_log_url": f"/_config/requests/{request_id}"}}


def invalid(message: str, code: str | None = None, param: str | None = None, **fields: Any) -> StripeError:
    """Return the refusal of a request that is not valid."""
    return StripeError(400, "invalid_request_error", message, code, param=param, **fields)


def missing(kind: str, identifier: str, param: str = "id", *, status: int = 404) -> StripeError:
    """Return the refusal of an id that is not there; 400 where it was a parameter, 404 where it was the address."""
    message = f"No such {kind}: '{identifier}'"
    return StripeError(status, "invalid_request_error", message, "resource_missing", param=param)
