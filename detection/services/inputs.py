"""What an image's header says about it, read before a single pixel is decoded.

Web processes never decode: a picture of any claimed size costs them a look at its first bytes. Pillow reads only the
header when it opens a file, and the plugin is chosen by content, never by the name or type that the caller claims.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.conf import settings
from PIL import ExifTags, Image

from tenants.api.problems import Problem

# What Pillow finds strange about a picture is no news to whoever runs this server.
warnings.filterwarnings("ignore", module=r"PIL\.")

_SWAPS_SIDES = frozenset({5, 6, 7, 8})


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Size in pixels as a person sees the picture, that is after turning it by its EXIF orientation (1 to 8)."""

    format: str
    width: int
    height: int
    orientation: int


def inspect_image(content: bytes) -> ImageHeader:
    """Read an image's header and refuse what may not be decoded.

    Raises Problem: payload_too_large, unsupported_media_type, invalid_image, image_too_large_to_decode.
    """
    if len(content) > settings.MAX_IMAGE_BYTES:
        raise too_many_bytes()
    if not content:
        raise Problem("invalid_image", "The image is empty.")
    kind = _format(content)
    if kind is None:
        raise Problem(
            "unsupported_media_type", "The content is none of the formats that are read here: JPEG, PNG, WebP, BMP."
        )
    width, height, orientation = _open(content, kind)
    if width * height > settings.MAX_IMAGE_PIXELS:
        raise _too_many_pixels()
    if not _ENDS[kind](content):
        raise Problem("invalid_image", f"This {kind} is cut off before its end.")
    if orientation in _SWAPS_SIDES:
        width, height = height, width
    return ImageHeader(kind, width, height, orientation)


def too_many_bytes() -> Problem:
    """Return the refusal of an image that is over the limit on bytes."""
    return Problem(
        "payload_too_large",
        f"An image may have at most {settings.MAX_IMAGE_BYTES} bytes.",
        max_bytes=settings.MAX_IMAGE_BYTES,
    )


def _format(content: bytes) -> str | None:
    if content.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    if content.startswith(b"BM"):
        return "BMP"
    return None


def _open(content: bytes, kind: str) -> tuple[int, int, int]:
    try:
        # Pillow's plugin for WebP hands the whole file to its decoder already on opening; the others read the header.
        width, height, exif = _webp(content) if kind == "WEBP" else _lazily(content, kind)
        orientation = _orientation(exif)
    except Problem:
        raise
    except Exception as error:  # Pillow's parsers raise whatever a broken header leads them to
        raise _invalid(kind) from error
    if width < 1 or height < 1:
        raise _invalid(kind)
    return width, height, orientation


def _lazily(content: bytes, kind: str) -> tuple[int, int, bytes | None]:
    try:
        with Image.open(io.BytesIO(content), formats=[kind]) as image:
            return *image.size, image.info.get("exif")
    except Image.DecompressionBombError:
        raise _too_many_pixels() from None


def _webp(content: bytes) -> tuple[int, int, bytes | None]:
    chunks = _webp_chunks(content)
    name, head = next(chunks)
    if name == b"VP8 ":
        if head[3:6] != b"\x9d\x01\x2a":
            raise ValueError("no start code")
        return int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF, None
    if name == b"VP8L":
        if head[0] != 0x2F:
            raise ValueError("no signature")
        bits = int.from_bytes(head[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, None
    if name == b"VP8X":
        exif = next((body for name, body in chunks if name == b"EXIF"), None) if head[0] & 0x08 else None
        return int.from_bytes(head[4:7], "little") + 1, int.from_bytes(head[7:10], "little") + 1, exif
    raise ValueError("no picture")


def _webp_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 12
    while position + 8 < len(content):
        length = int.from_bytes(content[position + 4 : position + 8], "little")
        start = position + 8
        body = content[start : start + (length if content[position : position + 4] == b"EXIF" else 10)]
        if len(body) < 10 and length >= 10:
            raise ValueError("cut off")
        yield content[position : position + 4], body
        position = start + length + length % 2


def _orientation(exif: bytes | None) -> int:
    if not exif:
        return 1
    tags = Image.Exif()
    try:
        tags.load(exif)
        value = tags.get(ExifTags.Base.Orientation, 1)
    except Exception:  # a picture with broken metadata is still a picture
        return 1
    return value if value in range(1, 9) else 1


def _jpeg_ends(content: bytes) -> bool:
    # From one segment to the next up to the first scan, so that neither a thumbnail's end counts nor what a camera put
    # behind the picture. Within a scan these two bytes stand for the marker alone.
    position = 2
    while (marker := content[position : position + 2]) != b"\xff\xda" and marker[:1] == b"\xff":
        position += 1 if marker == b"\xff\xff" else 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    return content.find(b"\xff\xd9", position) > 0


def _bmp_ends(content: bytes) -> bool:
    start = int.from_bytes(content[10:14], "little")
    if int.from_bytes(content[14:18], "little") < 40 or content[30:34] not in (b"\0\0\0\0", b"\3\0\0\0"):
        return len(content) > start
    width = int.from_bytes(content[18:22], "little", signed=True)
    height = abs(int.from_bytes(content[22:26], "little", signed=True))
    row = (width * int.from_bytes(content[28:30], "little") + 31) // 32 * 4
    return len(content) >= start + row * height


# Decoders fill up what is missing with grey, and a caller should not pay for that.
_ENDS: dict[str, Callable[[bytes], bool]] = {
    "JPEG": _jpeg_ends,
    "PNG": lambda content: content.rfind(b"IEND\xaeB`\x82") > 0,
    "WEBP": lambda content: len(content) >= int.from_bytes(content[4:8], "little") + 8,
    "BMP": _bmp_ends,
}


def _invalid(kind: str) -> Problem:
    return Problem("invalid_image", f"This looks like {kind}, but its header is broken or cut off.")


def _too_many_pixels() -> Problem:
    return Problem(
        "image_too_large_to_decode",
        f"The image has more than {settings.MAX_IMAGE_PIXELS} pixels, and more are not decoded.",
        max_pixels=settings.MAX_IMAGE_PIXELS,
    )
