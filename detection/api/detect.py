"""`POST /v1/detect` and `POST /v1/estimate`."""

from __future__ import annotations

from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request

from billing.api.authentication import SubTokenAuthentication
from detection.api import schema
from detection.api.bodies import read_json_object, read_submission
from detection.api.owner import sub_token_of
from detection.api.preferences import Preference, hang_up_detector, idempotency_key, preference, wants_fresh
from detection.services import answers
from detection.services.parameters import read_parameters
from detection.services.run import Call, Outcome, detect, quote_mtok
from tenants.api.problems import Problem
from tenants.api.views import ApiView
from tenants.client_ip import client_ip

_RAW = [
    OpenApiParameter(
        name,
        kind,
        OpenApiParameter.QUERY,
        description=f"{schema.MEANING[name]}. Only where the body is the image itself.",
    )
    for name, kind in (
        ("model", OpenApiTypes.STR),
        ("img_size", OpenApiTypes.INT),
        ("conf", OpenApiTypes.FLOAT),
        ("iou", OpenApiTypes.FLOAT),
        ("max_det", OpenApiTypes.INT),
        ("classes", OpenApiTypes.STR),
        ("tags", OpenApiTypes.STR),
    )
]
_IMAGES = dict.fromkeys(("image/jpeg", "image/png", "image/webp", "image/bmp"), OpenApiTypes.BINARY)


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> HttpResponse:
    """Return an answer in JSON, without the detour over renderers."""
    return HttpResponse(orjson.dumps(body), status=status, content_type="application/json", headers=headers)


class DetectView(ApiView):
    """Looks at one image."""

    authentication_classes = [SubTokenAuthentication]

    @extend_schema(
        operation_id="detect",
        summary="Find objects in one image",
        parameters=[*schema.CALL_HEADERS, *_RAW],
        request={
            "application/json": schema.DetectionRequest,
            "multipart/form-data": schema.UploadRequest,
            **_IMAGES,
        },
        responses={
            200: schema.Detection,
            202: OpenApiResponse(schema.Job, description="The job is under way: fetch it from `Location`."),
            **schema.problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503),
        },
        examples=[schema.DETECTION_EXAMPLE],
    )
    def post(self, request: Request) -> HttpResponse:
        """Run one image through a model and charge the sub-token for it.

        Costs the price of `POST /v1/estimate`, captured when the job succeeds; 0 for an answer that is repeated within
        the cache's life (`usage.cached`), and 0 for everything that is refused or fails. A caller who hangs up before
        the job starts takes it back; later it is charged, and the result is kept under its id.

        Answers 200 with the predictions. Answers 202 with the job when that takes longer than the caller waits (30
        seconds, less with `Prefer: wait=N`, not at all with `Prefer: respond-async`). While no worker runs at all, a
        caller who waits gets 503 `no_capacity` after a few seconds; with `respond-async` the job stays in the queue.

        When Tokens, a quota or a limit have no room for the call, it is refused with 429 `insufficient_tokens`,
        `quota_exceeded` or `hourly_limit_exceeded`, which say whose (`level`), which (`limit`), and what helps
        (`top_up_url`, or `resets_at` with `Retry-After`). A sub-token whose `on_exhausted` is `wait` gets 202 with a
        job that is `waiting` instead: it runs in order when there is room again.
        """
        raw = request._request
        wish = preference(raw)
        call = Call(
            request_id=getattr(raw, "request_id", ""),
            client_ip=client_ip(raw),
            idempotency_key=idempotency_key(raw),
            wait_seconds=wish.wait_seconds,
            use_cache=not wants_fresh(raw),
            hung_up=hang_up_detector(raw),
        )
        return _response(detect(sub_token_of(request), lambda: read_submission(raw), call), wish)


class EstimateView(ApiView):
    """Prices one image."""

    authentication_classes = [SubTokenAuthentication]

    @extend_schema(
        operation_id="estimate",
        summary="Tell what a call would cost",
        request={"application/json": schema.EstimateRequest},
        responses={200: schema.Estimate, **schema.problems(400, 401, 403, 404, 413, 415, 422)},
    )
    def post(self, request: Request) -> HttpResponse:
        """Tell what a call with these parameters would cost, without an image and without a charge.

        Takes the same parameters as `POST /v1/detect`, and checks them in the same way; `image` is ignored. A model
        that is not installed is priced too (`model.installed` is false).
        """
        fields = _without_image(request._request)
        size = {name: _pixels(fields.pop(name, None), name) for name in ("width", "height")}
        parameters = read_parameters(fields, textual=False)
        sub_token_of(request).require_model(parameters.model.name, parameters.model.task)
        mtok, price_book = quote_mtok(parameters, **size)
        return json_response(
            {
                "tokens": answers.tokens(mtok),
                "price_book": price_book,
                "model": {
                    "name": parameters.model.name,
                    "version": parameters.version.version if parameters.version else None,
                    "installed": parameters.version is not None,
                },
                "task": parameters.model.task,
                "img_size": parameters.img_size,
            }
        )


def _response(outcome: Outcome, wish: Preference) -> HttpResponse:
    document, headers = outcome.document, dict(outcome.headers)
    usage = document["usage"]
    headers["Tokens-Used"] = str(usage["tokens"])
    if usage["remaining_tokens"] is not None:
        headers["Tokens-Remaining"] = str(usage["remaining_tokens"])
    if outcome.replayed:
        headers["Idempotent-Replayed"] = "true"
    if outcome.finished:
        return json_response(answers.answer(document), 200, headers)
    headers["Location"] = f"/v1/jobs/{document['id']}"
    if wish.respond_async:
        headers["Preference-Applied"] = "respond-async"
    return json_response(document, 202, headers)


def _without_image(request: HttpRequest) -> dict[str, Any]:
    fields = read_json_object(request)
    for name in ("image", "image_url"):
        fields.pop(name, None)
    return fields


def _pixels(value: Any, name: str) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 1_000_000):
        return value
    errors = {name: [{"message": "This must be a whole number of px above 0.", "code": "invalid"}]}
    raise Problem("validation_error", f"{name} is not valid.", errors=errors)
