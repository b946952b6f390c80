"""Pre- and post-processing are ultralytics' own: the same canvas, the same boxes kept, the same way back."""

import numpy as np
import pytest

from workers import torchvision_shim
from workers.letterbox import letterbox
from workers.nms import suppress

torch = pytest.importorskip("torch")
torchvision_shim.install()
augment = pytest.importorskip("ultralytics.data.augment")
nms = pytest.importorskip("ultralytics.utils.nms")
ops = pytest.importorskip("ultralytics.utils.ops")

pytestmark = pytest.mark.torch
SIZES = [(640, 640), (1080, 810), (720, 1280), (333, 500), (1, 3000), (3000, 2), (17, 23), (641, 639)]


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 10_000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("img_size", [320, 640, 960])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_same_canvas(height: int, width: int, img_size: int, square: bool) -> None:
    image = picture(height, width)
    canvas, _ = letterbox(image, img_size, square=square)
    expected = augment.LetterBox((img_size, img_size), auto=not square, stride=32)(image=image)
    np.testing.assert_array_equal(canvas, expected)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_same_way_back(height: int, width: int) -> None:
    canvas, placement = letterbox(picture(height, width), 640)
    boxes = np.random.default_rng(0).uniform(-20, 660, (50, 4)).astype(np.float32)
    expected = ops.scale_boxes(canvas.shape[:2], boxes.copy(), (height, width))
    np.testing.assert_allclose(placement.to_image(boxes), expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("seed", range(12))
def test_the_same_boxes_kept(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, classes, iou = int(rng.integers(1, 1500)), int(rng.choice([1, 6, 80])), float(rng.uniform(0.05, 0.95))
    centre, size = rng.uniform(0, 640, (count, 2)), rng.uniform(2, 200, (count, 2))
    boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1).astype(np.float32)
    scores = np.sort(rng.uniform(0.01, 1, count).astype(np.float32))[::-1].copy()
    class_ids = rng.integers(0, classes, count)

    shifted = torch.from_numpy(boxes) + torch.from_numpy(class_ids[:, None] * 7680.0).float()
    expected = nms.TorchNMS.nms(shifted, torch.from_numpy(scores), iou).numpy()
    np.testing.assert_array_equal(suppress(boxes, scores, class_ids, iou), expected)
