"""A letterbox fits an image into what the model takes, and boxes find their way back from it."""

import numpy as np
import pytest

from workers.letterbox import letterbox

SIZES = [(640, 640), (1080, 810), (720, 1280), (333, 500), (1, 3000), (3000, 2), (17, 23), (641, 639), (480, 640)]


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 10_000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_stride_divides_the_canvas_and_the_image_fills_it(height: int, width: int) -> None:
    canvas, placement = letterbox(picture(height, width), 640)
    assert canvas.shape[0] % 32 == canvas.shape[1] % 32 == 0
    assert max(canvas.shape) == 640
    left, top = placement.left, placement.top
    corners = [left, top, left + width * placement.gain_x, top + height * placement.gain_y]
    np.testing.assert_allclose(placement.to_image(np.array([corners], np.float32)), [[0, 0, width, height]], rtol=1e-5)


def test_a_thin_canvas_grows_to_the_least_area() -> None:
    canvas, placement = letterbox(picture(10, 1000), 320, minimum_area=128 * 128)
    assert canvas.shape == (64, 320, 3)
    assert canvas.shape[0] * canvas.shape[1] >= 128 * 128
    assert placement.top == (64 - 3 + 1) // 2 - 1


def test_padding_is_grey_and_leaves_the_image_alone() -> None:
    image = picture(600, 640)
    canvas, placement = letterbox(image, 640)
    assert canvas.shape == (608, 640, 3)
    np.testing.assert_array_equal(canvas[4:604], image)
    assert (canvas[:4] == 114).all()
    assert (canvas[604:] == 114).all()
    assert (placement.left, placement.top, placement.gain_x, placement.gain_y) == (0, 4, 1.0, 1.0)
