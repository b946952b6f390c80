"""An image's header decides whether it is taken, and no pixel is decoded for that."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pytest_django.fixtures import Settings

from detection.services.inputs import ImageHeader, inspect_image
from tenants.api.problems import Problem
from tests.detection.images import bmp_header, jpeg_header, picture, png_header, webp_header

KINDS = ["JPEG", "PNG", "WEBP", "BMP"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_tells_its_size(kind: str) -> None:
    header = inspect_image(picture(kind, (64, 48)))
    assert (header.format, header.width, header.height, header.orientation) == (kind, 64, 48, 1)


def test_lossless_and_animated_webp_tell_their_size() -> None:
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "blue")]
    for options in ({"lossless": True}, {"save_all": True, "append_images": frames[1:]}):
        buffer = io.BytesIO()
        frames[0].save(buffer, "WEBP", **options)
        header = inspect_image(buffer.getvalue())
        assert (header.width, header.height) == (30, 20)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_that_of_the_picture_turned_upright(kind: str, orientation: int) -> None:
    header = inspect_image(picture(kind, (64, 48), orientation=orientation))
    assert header.orientation == orientation
    assert (header.width, header.height) == ((48, 64) if orientation >= 5 else (64, 48))


@pytest.mark.parametrize("bomb", [png_header, webp_header, bmp_header, jpeg_header])
@pytest.mark.parametrize("side", [7_072, 16_000, 60_000])
def test_a_bomb_is_refused_by_its_header_and_costs_no_memory(bomb: Callable[[int, int], bytes], side: int) -> None:
    if bomb is webp_header and side > 16_384:
        side = 16_384
    content = bomb(side, side)
    inspect_image(picture("JPEG"))  # Pillow loads its plugins the first time
    tracemalloc.start()
    with pytest.raises(Problem) as refusal:
        inspect_image(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refusal.value.code == "image_too_large_to_decode"
    assert peak < 2_000_000


@pytest.mark.parametrize(
    "content", [b"GIF89a" + bytes(50), b"%PDF-1.7", b"<svg></svg>", b"II*\0" + bytes(40), b"hello"]
)
def test_other_formats_are_refused_by_content(content: bytes) -> None:
    with pytest.raises(Problem) as refusal:
        inspect_image(content)
    assert refusal.value.code == "unsupported_media_type"


def test_nothing_is_no_image() -> None:
    with pytest.raises(Problem) as refusal:
        inspect_image(b"")
    assert refusal.value.code == "invalid_image"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [3, 8, 12, 16, 20, 24, 28])
def test_a_header_that_is_cut_off_is_refused(kind: str, length: int) -> None:
    with pytest.raises(Problem) as refusal:
        inspect_image(picture(kind)[:length])
    assert refusal.value.code in {"invalid_image", "unsupported_media_type"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", [None, 6])
def test_a_picture_that_is_cut_off_anywhere_is_refused(kind: str, orientation: int | None) -> None:
    content = picture(kind, orientation=orientation if kind != "BMP" else None)
    for length in range(30, len(content) - 1, 7):
        with pytest.raises(Problem) as refusal:
            inspect_image(content[:length])
        assert refusal.value.code == "invalid_image"


@pytest.mark.parametrize("kind", KINDS)
def test_what_cameras_put_behind_a_picture_is_no_harm(kind: str) -> None:
    assert inspect_image(picture(kind) + b"maker's own notes").width == 64


def test_a_film_behind_a_photo_is_no_harm() -> None:
    film = b"\0\0\0\x18ftypmp42" + b"\xff\xd9 one frame \xff\xda another"
    assert inspect_image(picture("JPEG") + film).width == 64


def test_too_many_bytes_are_refused(settings: Settings) -> None:
    settings.MAX_IMAGE_BYTES = 100
    with pytest.raises(Problem) as refusal:
        inspect_image(picture())
    assert refusal.value.code == "payload_too_large"


@given(kind=st.sampled_from(KINDS), flips=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=12))
def test_any_damage_is_either_read_or_refused(kind: str, flips: list[tuple[int, int]]) -> None:
    content = bytearray(picture(kind, (24, 16)))
    for position, value in flips:
        content[position % len(content)] = value
    header = _header_or_problem(bytes(content))
    if isinstance(header, Problem):
        assert header.status in {400, 415}
    else:
        assert 0 < header.width * header.height <= 50_000_000


def _header_or_problem(content: bytes) -> ImageHeader | Problem:
    try:
        return inspect_image(content)
    except Problem as problem:
        return problem
