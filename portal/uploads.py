"""A limit on what may be uploaded to a page."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import FileUploadHandler

from detection.api.bodies import ENVELOPE_BYTES


class BoundedUpload(FileUploadHandler):
    """Refuses a body that announces more than a picture may have, before any of it is written to the disk.

    Stands before the handlers that store files. Anybody may send a form: it is read before it is known who they are.
    """

    def handle_raw_input(
        self,
        input_data: Any,
        META: dict[str, Any],  # noqa: N803 Django names it
        content_length: int,
        boundary: Any,
        encoding: str | None = None,
    ) -> None:
        """Raise RequestDataTooBig (400) for a body that is too long."""
        if content_length > settings.MAX_IMAGE_BYTES + ENVELOPE_BYTES:
            raise RequestDataTooBig("The body is longer than any form of these pages.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Pass everything on."""
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """Leave the file to the next handler."""
