"""The shapes of requests and answers, for the OpenAPI document. Nothing at run time goes through them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema_field
from rest_framework import serializers

from tenants.api.schema import header, problems

__all__ = ["header", "problems"]


class ModelRef(serializers.Serializer):
    name = serializers.CharField()
    version = serializers.CharField()


class ImageRef(serializers.Serializer):
    width = serializers.IntegerField(help_text="px, of the picture turned upright")
    height = serializers.IntegerField(help_text="px, of the picture turned upright")
    sha256 = serializers.CharField()


class Prediction(serializers.Serializer):
    class_id = serializers.IntegerField()
    class_name = serializers.CharField()
    confidence = serializers.FloatField(min_value=0, max_value=1)
    bbox = serializers.ListField(
        child=serializers.FloatField(), min_length=4, max_length=4, help_text="x1, y1, x2, y2 in px of the image"
    )


class Usage(serializers.Serializer):
    tokens = serializers.FloatField(help_text="what this call cost")
    remaining_tokens = serializers.FloatField(allow_null=True, help_text="what the sub-token can still spend")
    cached = serializers.BooleanField()
    price_book = serializers.IntegerField()


class JobUsage(Usage):
    price_tokens = serializers.FloatField(help_text="what is held while the job is under way")


class Timing(serializers.Serializer):
    queue_ms = serializers.FloatField(allow_null=True)
    inference_ms = serializers.FloatField(allow_null=True)
    total_ms = serializers.FloatField(allow_null=True)


class Detection(serializers.Serializer):
    id = serializers.UUIDField()
    model = ModelRef()
    task = serializers.CharField()
    image = ImageRef()
    predictions = Prediction(many=True)
    count = serializers.IntegerField()
    usage = Usage()
    timing = Timing()


class EngineParameters(serializers.Serializer):
    conf = serializers.FloatField()
    iou = serializers.FloatField()
    max_det = serializers.IntegerField()
    classes = serializers.ListField(child=serializers.IntegerField(), allow_null=True)


class JobError(serializers.Serializer):
    code = serializers.CharField()
    detail = serializers.CharField(allow_blank=True)


class Job(serializers.Serializer):
    id = serializers.UUIDField()
    status = serializers.ChoiceField(
        ["waiting", "queued", "running", "succeeded", "failed", "cancelled"], help_text="waiting: for Tokens"
    )
    model = ModelRef()
    task = serializers.CharField()
    img_size = serializers.IntegerField()
    parameters = EngineParameters()
    tags = serializers.DictField(child=serializers.CharField())
    image = ImageRef()
    predictions = Prediction(many=True, allow_null=True)
    count = serializers.IntegerField(allow_null=True)
    usage = JobUsage()
    timing = Timing()
    error = JobError(allow_null=True)
    organization = serializers.UUIDField()
    sub_token = serializers.UUIDField()
    request_id = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class JobPage(serializers.Serializer):
    next_cursor = serializers.CharField(allow_null=True)

    # A serializer has a `data` of its own.
    def get_fields(self) -> dict[str, Any]:
        return {"data": Job(many=True), **super().get_fields()}


# What each parameter means, wherever it stands: in JSON, in a form, in the query.
MEANING = {
    "model": "a name from `GET /v1/models`, or `name@version`",
    "img_size": "side in px of what the model sees, a multiple of 32; decides the price; the model's own if unsaid",
    "conf": "boxes below this confidence are left out; 0.25 if unsaid",
    "iou": "boxes that overlap more than this are one; 0.7 if unsaid",
    "max_det": "so many boxes at most, the surest first; 300 if unsaid",
    "classes": "only these classes, by id or name; all if unsaid",
    "tags": "your own labels, for `GET /v1/usage?group_by=tag`",
}


class Question(serializers.Serializer):
    model = serializers.CharField(max_length=120, help_text=MEANING["model"])
    img_size = serializers.IntegerField(required=False, min_value=32, max_value=1280, help_text=MEANING["img_size"])
    conf = serializers.FloatField(required=False, min_value=0, max_value=1, default=0.25, help_text=MEANING["conf"])
    iou = serializers.FloatField(required=False, min_value=0, max_value=1, default=0.7, help_text=MEANING["iou"])
    max_det = serializers.IntegerField(
        required=False, min_value=1, max_value=300, default=300, help_text=MEANING["max_det"]
    )
    classes = serializers.ListField(
        child=serializers.CharField(), required=False, allow_null=True, help_text=MEANING["classes"]
    )
    tags = serializers.DictField(child=serializers.CharField(max_length=120), required=False, help_text=MEANING["tags"])


class DetectionRequest(Question):
    image = serializers.CharField(help_text="base64, or a data URL")


@extend_schema_field(OpenApiTypes.BINARY)
class Upload(serializers.FileField):
    """The bytes of a file in a form."""


class UploadRequest(serializers.Serializer):
    file = Upload(help_text="the image: JPEG, PNG, WebP or BMP, at most 20 MB")
    model = serializers.CharField(max_length=120, help_text=MEANING["model"])
    img_size = serializers.IntegerField(required=False, min_value=32, max_value=1280, help_text=MEANING["img_size"])
    conf = serializers.FloatField(required=False, min_value=0, max_value=1, help_text=MEANING["conf"])
    iou = serializers.FloatField(required=False, min_value=0, max_value=1, help_text=MEANING["iou"])
    max_det = serializers.IntegerField(required=False, min_value=1, max_value=300, help_text=MEANING["max_det"])
    classes = serializers.CharField(required=False, help_text=f"{MEANING['classes']}; commas between them")
    tags = serializers.CharField(required=False, help_text=f"{MEANING['tags']}; a JSON object of texts")


class EstimateRequest(Question):
    width = serializers.IntegerField(required=False, min_value=1, help_text="px; only a price per megapixel needs it")
    height = serializers.IntegerField(required=False, min_value=1, help_text="px; only a price per megapixel needs it")


class EstimatedModel(serializers.Serializer):
    name = serializers.CharField()
    version = serializers.CharField(allow_null=True)
    installed = serializers.BooleanField()


class Estimate(serializers.Serializer):
    tokens = serializers.FloatField()
    price_book = serializers.IntegerField()
    model = EstimatedModel()
    task = serializers.CharField()
    img_size = serializers.IntegerField()


class VersionInfo(serializers.Serializer):
    version = serializers.CharField()
    channel = serializers.CharField()
    installed = serializers.BooleanField()


class ModelInfo(serializers.Serializer):
    name = serializers.CharField()
    family = serializers.CharField()
    letter = serializers.CharField()
    task = serializers.CharField()
    title = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    installed = serializers.BooleanField()
    version = serializers.CharField(allow_null=True, help_text="what a call gets that names none")
    versions = VersionInfo(many=True)
    classes = serializers.ListField(child=serializers.CharField())
    default_img_size = serializers.IntegerField()
    price_tokens = serializers.FloatField(allow_null=True, help_text="of one image at the default size")


class ModelList(serializers.Serializer):
    price_book = serializers.IntegerField()

    def get_fields(self) -> dict[str, Any]:
        return {"data": ModelInfo(many=True), **super().get_fields()}


class UsageRow(serializers.Serializer):
    team = serializers.DictField(required=False, allow_null=True)
    sub_token = serializers.DictField(required=False)
    model = serializers.CharField(required=False)
    task = serializers.CharField(required=False)
    hour = serializers.DateTimeField(required=False)
    day = serializers.DateField(required=False)
    month = serializers.CharField(required=False, help_text="2026-11")
    tag = serializers.CharField(required=False, allow_null=True)
    calls = serializers.IntegerField()
    succeeded = serializers.IntegerField()
    failed = serializers.IntegerField()
    cached = serializers.IntegerField()
    tokens = serializers.FloatField()


class UsageReport(serializers.Serializer):
    # `from` is a word of Python's.
    def get_fields(self) -> dict[str, Any]:
        return {
            "from": serializers.DateTimeField(),
            "to": serializers.DateTimeField(),
            "group_by": serializers.ListField(child=serializers.CharField()),
            "data": UsageRow(many=True),
            "truncated": serializers.BooleanField(help_text="whether there are more groups than these"),
            "total": UsageRow(),
        }


CALL_HEADERS = [
    header("Idempotency-Key", "1 to 255 printable ASCII characters. The same key again replays the answer."),
    header("Prefer", "`respond-async` is answered 202 at once; `wait=N` waits at most N seconds."),
    header("Cache-Control", "`no-cache` refuses an answer that was paid for before, and pays again."),
]

DETECTION_EXAMPLE = OpenApiExample(
    "A board with one defect",
    value={
        "id": "019aa3b2-7c1e-7c3a-9a55-0d5a3b6c1f10",
        "model": {"name": "pcb-defect-n", "version": "1.0.0"},
        "task": "detect",
        "image": {
            "width": 640,
            "height": 640,
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        },
        "predictions": [
            {"class_id": 1, "class_name": "short", "confidence": 0.93, "bbox": [211.4, 96.2, 240.9, 121.7]}
        ],
        "count": 1,
        "usage": {"tokens": 0.7, "remaining_tokens": 49.3, "cached": False, "price_book": 1},
        "timing": {"queue_ms": 1.2, "inference_ms": 41.8, "total_ms": 49.5},
    },
    response_only=True,
    status_codes=["200"],
)
