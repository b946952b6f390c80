"""From a caller's bytes to pixels. Never from a path or an address: only bytes that the API has accepted."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.enums import JobError
from detection.services import inputs
from tenants.api.problems import Problem


class DecodeError(Exception):
    """The bytes are no picture that may be decoded. `code` and the message are fit for the caller."""

    def __init__(self, code: JobError, message: str) -> None:
        super().__init__(message)
        self.code = code


def measure(content: bytes) -> int:
    """Return how many pixels a picture has, by its header, before any memory is taken for them.

    Raises DecodeError for what is no picture, or one over the limit on pixels.
    """
    try:
        header = inputs.inspect_image(content)
    except Problem as problem:
        too_large = problem.code == JobError.IMAGE_TOO_LARGE
        code = JobError.IMAGE_TOO_LARGE if too_large else JobError.INVALID_IMAGE
        raise DecodeError(code, str(problem.detail)) from problem
    return header.width * header.height


def decode(content: bytes) -> NDArray[np.uint8]:
    """Return a picture that was measured as (H, W, 3) BGR, turned as its EXIF orientation says.

    Grey, palette, 16 bit and CMYK become 8 bit BGR; transparency is dropped. Raises DecodeError.
    """
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise DecodeError(JobError.INVALID_IMAGE, "The image cannot be decoded.") from error
    if image is None:
        raise DecodeError(JobError.INVALID_IMAGE, "The image is broken or cut off.")
    return image
