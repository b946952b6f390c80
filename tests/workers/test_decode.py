"""Whatever a caller's picture is made of, the model gets 8 bit BGR, the right way up."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from detection.enums import JobError
from tests.detection.images import bmp_header, png_header, webp_header
from workers.decode import DecodeError, decode, measure


def gradient() -> np.ndarray:
    rows, columns = np.mgrid[0:120, 0:160]
    return np.stack([rows, columns, (rows + columns) // 2], axis=2).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


RGB = Image.fromarray(gradient())
BGR = gradient()[..., ::-1]


@pytest.mark.parametrize(
    ("content", "tolerance"),
    [
        pytest.param(saved(RGB, "PNG"), 0, id="png"),
        pytest.param(saved(RGB, "BMP"), 0, id="bmp"),
        pytest.param(saved(RGB, "WEBP", lossless=True), 0, id="webp"),
        pytest.param(saved(RGB, "JPEG", quality=95), 2, id="jpeg"),
        pytest.param(saved(RGB, "JPEG", quality=95, progressive=True), 2, id="progressive"),
        pytest.param(saved(RGB.convert("CMYK"), "JPEG", quality=95), 3, id="cmyk"),
        pytest.param(saved(RGB.convert("RGBA"), "PNG"), 0, id="alpha"),
        pytest.param(saved(RGB.quantize(256), "PNG"), 6, id="palette"),
        pytest.param(cv2.imencode(".png", BGR.astype(np.uint16) * 257)[1].tobytes(), 0, id="16 bit"),
    ],
)
def test_every_kind_becomes_bgr(content: bytes, tolerance: float) -> None:
    image = decode(content)
    assert image.shape == (120, 160, 3)
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - BGR).mean() <= tolerance


def test_grey_has_three_equal_channels() -> None:
    image = decode(saved(RGB.convert("L"), "PNG"))
    assert image.shape == (120, 160, 3)
    assert (image[..., 0] == image[..., 1]).all()
    assert (image[..., 1] == image[..., 2]).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_right_way_up(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(RGB, kind, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))[..., ::-1]
    image = decode(content)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() < 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_picture_cut_off_is_refused(kind: str, kept: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8))
    content = saved(noise, kind)
    with pytest.raises(DecodeError) as refusal:
        decode(content[: int(len(content) * kept)])
    assert refusal.value.code == JobError.INVALID_IMAGE


@pytest.mark.parametrize(
    "content", [png_header(60_000, 60_000), webp_header(16_000, 16_000), bmp_header(30_000, 30_000)]
)
def test_a_bomb_is_refused_from_its_header(content: bytes) -> None:
    with pytest.raises(DecodeError) as refusal:
        measure(content)
    assert refusal.value.code == JobError.IMAGE_TOO_LARGE


@pytest.mark.parametrize(
    "content", [b"", b"/etc/passwd", b"http://example.com/a.jpg", b"GIF89a" + bytes(100), bytes(1000)]
)
def test_anything_else_is_no_picture(content: bytes) -> None:
    with pytest.raises(DecodeError) as refusal:
        measure(content)
    assert refusal.value.code == JobError.INVALID_IMAGE


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_the_header_tells_how_many_pixels_there_will_be(kind: str) -> None:
    content = saved(RGB, kind)
    height, width = decode(content).shape[:2]
    assert measure(content) == width * height
