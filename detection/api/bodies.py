"""The three forms in which an image may come: JSON, multipart, or the image itself as the body.

The body is read here and not by Django, so that no more than the limit is ever held in memory, whatever the caller
says about its length.
"""

from __future__ import annotations

import base64
import binascii
import io
from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.files.base import ContentFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, QueryDict
from django.http.multipartparser import MultiPartParser, MultiPartParserError

from detection.services.inputs import too_many_bytes
from detection.services.run import Submission
from tenants.api.json import loads
from tenants.api.problems import Problem

# What a body may have beside the image: parameters, boundaries, JSON's quotes.
ENVELOPE_BYTES = 64 * 1024


def read_submission(request: HttpRequest) -> Submission:
    """Return what was sent, in whichever of the three forms.

    Raises Problem: payload_too_large, unsupported_media_type, invalid_request, invalid_image, validation_error.
    """
    media_type = request.META.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if request.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise Problem("unsupported_media_type", "Send the body without Content-Encoding.")
    if media_type == "application/json":
        return _from_json(_read(request, settings.MAX_IMAGE_BYTES * 4 // 3 + ENVELOPE_BYTES))
    if media_type == "multipart/form-data":
        return _from_multipart(request, _read(request, settings.MAX_IMAGE_BYTES + ENVELOPE_BYTES))
    if media_type.startswith("image/") or media_type in ("", "application/octet-stream"):
        return Submission(_read(request, settings.MAX_IMAGE_BYTES), _once_each(request.GET), textual=True)
    raise Problem(
        "unsupported_media_type",
        f"A body of type {media_type[:80]} is not read here. Send the image itself with its own Content-Type"
        " (image/jpeg, image/png, image/webp, image/bmp), multipart/form-data with a 'file', or JSON.",
    )


def read_json_object(request: HttpRequest) -> dict[str, Any]:
    """Return the JSON object that is the body, which may hold an image. Raises Problem as `read_submission`."""
    media_type = request.META.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem("unsupported_media_type", "Send a JSON object with Content-Type: application/json.")
    return _object(_read(request, settings.MAX_IMAGE_BYTES * 4 // 3 + ENVELOPE_BYTES))


def _read(request: HttpRequest, limit: int) -> bytes:
    announced = request.META.get("CONTENT_LENGTH") or ""
    length = int(announced) if announced.isdecimal() else None
    if length is not None and length > limit:
        raise too_many_bytes()
    chunked = length is None and request.META.get("wsgi.input_terminated")
    stream = request.META["wsgi.input"] if chunked else request
    try:
        body = stream.read(limit + 1)
    except Exception:  # the connection broke, or the server found no chunk where there should be one
        raise Problem("invalid_request", "The body could not be read to its end.") from None
    if len(body) > limit:
        raise too_many_bytes()
    if getattr(request.META["wsgi.input"], "late", False):
        raise Problem("invalid_request", "The body came too slowly. Nothing was charged.")
    if length is not None and len(body) < length:
        raise Problem("invalid_request", "The body ended before its Content-Length.")
    return body


def _from_json(body: bytes) -> Submission:
    fields = _object(body)
    image = fields.pop("image", None)
    if fields.get("image_url") is not None:
        raise Problem("invalid_request", "image_url is not offered yet: send the image itself, as 'image' in base64.")
    fields.pop("image_url", None)
    if image is None:
        raise _missing("image", "Send the image in base64, or as a data URL.")
    if not isinstance(image, str):
        raise Problem("invalid_image", "'image' must be a text: the image in base64, or a data URL.")
    return Submission(_decode(image), fields)


def _object(body: bytes) -> dict[str, Any]:
    fields = loads(body)
    if not isinstance(fields, dict):
        raise Problem("invalid_request", "The body must be a JSON object.")
    return fields


def _decode(text: str) -> bytes:
    if text[:5].lower() == "data:":
        head, comma, text = text.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise Problem("invalid_image", "The data URL is not in base64.")
    if len(text) // 4 * 3 > settings.MAX_IMAGE_BYTES + 2:
        raise too_many_bytes()
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    try:
        # As mail programs and `base64` on the command line write it: with line breaks.
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Problem("invalid_image", "'image' is not valid base64.") from None


class _InMemory(FileUploadHandler):
    """Keeps an uploaded file in memory, which the limit on the body bounds."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self.content = io.BytesIO()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.content.write(raw_data)

    def file_complete(self, file_size: int) -> Any:
        return ContentFile(self.content.getvalue(), name=self.file_name)


def _from_multipart(request: HttpRequest, body: bytes) -> Submission:
    meta = {"CONTENT_TYPE": request.META.get("CONTENT_TYPE", ""), "CONTENT_LENGTH": str(len(body))}
    try:
        fields, files = MultiPartParser(meta, io.BytesIO(body), [_InMemory(request)], "utf-8").parse()
    except (MultiPartParserError, SuspiciousOperation, ValueError) as error:
        raise Problem("invalid_request", f"The multipart body cannot be read: {error}") from None
    found = files.getlist("file")
    if len(found) != 1 or len(files) != 1:
        raise _missing("file", "Send exactly one file, named 'file'.")
    content = found[0].read()
    return Submission(content, _once_each(fields), textual=True)


def _once_each(fields: QueryDict) -> dict[str, str]:
    """Return each field's value; `classes` may be given several times."""
    texts = {}
    for name, values in fields.lists():
        if len(values) > 1 and name != "classes":
            errors = {name[:80]: [{"message": "This is given more than once.", "code": "repeated"}]}
            raise Problem("validation_error", "A parameter is given more than once.", errors=errors)
        texts[name] = ",".join(str(value) for value in values)
        if "\0" in texts[name] or "\0" in name:
            raise Problem("invalid_request", "A parameter holds a null character, which no text may hold.")
    return texts


def _missing(name: str, message: str) -> Problem:
    return Problem("validation_error", message, errors={name: [{"message": message, "code": "required"}]})
