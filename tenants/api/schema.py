"""What operations of the API have in common, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

PROBLEM_MEDIA = "application/problem+json"


class Problem(serializers.Serializer):
    """RFC 9457, with a stable `code`."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    request_id = serializers.CharField()


_MEANING = {
    400: "The request or the image cannot be read: `invalid_request`, `invalid_image`, `image_too_large_to_decode`.",
    401: "`missing_token`, `invalid_token`, `expired_token`, `revoked_token`.",
    402: "`payment_failed`: nothing was credited.",
    403: "`suspended_token`, `organization_frozen`, `model_not_allowed`, `task_not_allowed`, `ip_not_allowed`, "
    "`insufficient_scope`, `organization_closing`, `debt_outstanding` (with `top_up_url`).",
    404: "`not_found`: it does not exist, or it is not yours to see.",
    406: "`not_acceptable`.",
    409: "`conflict`, `code_not_applicable`, `refund_refused` (with a `reason`).",
    413: "`payload_too_large`.",
    415: "`unsupported_media_type`.",
    422: "`validation_error`, `idempotency_mismatch`, `code_mistyped`, `code_invalid`.",
    429: "`rate_limited`, `concurrency_limited` (with Retry-After); "
    "`insufficient_tokens`, `quota_exceeded` (with `top_up_url`).",
    500: "`internal_error`: our fault, nothing is charged.",
    502: "`gateway_refused`: the payment service refused what it was asked; nothing was charged.",
    503: "`model_not_installed`, `model_loading`, `no_capacity`: nothing is charged. `gateway_away`: the payments "
    "service does not answer, try again. `payments_unavailable`: buying is not set up. `service_unavailable` (with "
    "Retry-After): the database does not answer just now.",
}


def problems(*statuses: int) -> dict[Any, OpenApiResponse]:
    """Return the error answers of an operation, for `extend_schema`."""
    return {
        (status, PROBLEM_MEDIA): OpenApiResponse(Problem, description=_MEANING[status]) for status in sorted(statuses)
    }


def header(name: str, description: str, **more: Any) -> OpenApiParameter:
    """Return a request header's description."""
    return OpenApiParameter(name, OpenApiTypes.STR, OpenApiParameter.HEADER, description=description, **more)


IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    OpenApiParameter.HEADER,
    description="1 to 255 printable ASCII characters. The same request with the same key is done once, and answered "
    "again (`Idempotent-Replayed: true`) without the secret that the first answer showed.",
)
READING = (401, 403, 406)
WRITING = (400, 401, 403, 406, 409, 413, 415, 422)


def page_of(name: str, row: type[serializers.Serializer]) -> type[serializers.Serializer]:
    """Return the serializer of a page of such rows, called `name` in the document."""

    # A serializer has a `data` of its own, so the field cannot be declared.
    def get_fields(self: serializers.Serializer) -> dict[str, Any]:
        return {"data": row(many=True), "next_cursor": serializers.CharField(allow_null=True)}

    return type(name, (serializers.Serializer,), {"get_fields": get_fields, "__doc__": "Rows, latest first."})
