"""On trained weights both engines give the boxes of `ultralytics predict`: IoU over 0.99, confidence within 0.01.

The reference is ultralytics itself, on the same file and the same pixels.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from detection.models.catalogue import SHIPPED
from workers import torchvision_shim
from workers.engines.base import Engine, EngineError, ModelFile
from workers.engines.onnx import OnnxEngine
from workers.export import export
from workers.nms import Detections, select

pytest.importorskip("torch")
torchvision_shim.install()
ultralytics = pytest.importorskip("ultralytics")
torch_engine = pytest.importorskip("workers.engines.torch")

SHIPPED_MODEL = SHIPPED / "pcb-defect-n"
CHECKPOINT = SHIPPED_MODEL / "model.pt"
METADATA = json.loads((SHIPPED_MODEL / "metadata.json").read_text())
CONFIDENCE, IOU = 0.1, 0.6
pytestmark = pytest.mark.torch


def pictures() -> list[np.ndarray]:
    """Return boards as they are, and cut and scaled to other shapes."""
    boards = [cv2.imread(str(path)) for path in sorted((SHIPPED_MODEL / "samples").glob("*.jpg"))]
    wide, tall = boards[0][100:420], boards[1][:, 50:377]
    large = cv2.resize(boards[2], None, fx=1.7, fy=1.7)
    return [*boards, wide, tall, large]


def model_file(path: Path, *, end_to_end: bool) -> ModelFile:
    return ModelFile(
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        class_count=len(METADATA["classes"]),
        end_to_end=end_to_end,
        stride=METADATA["stride"],
        default_img_size=METADATA["default_img_size"],
    )


@pytest.fixture(scope="module")
def needs_nms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the trained weights as ONNX with the head that needs NMS."""
    folder = tmp_path_factory.mktemp("export")
    checkpoint = folder / "model.pt"
    checkpoint.write_bytes(CHECKPOINT.read_bytes())
    export(checkpoint, folder / "made", end_to_end=False)
    return folder / "made" / "model.onnx"


def assert_same_boxes(engine: Engine, reference: Path, *, end_to_end: bool, img_size: int) -> None:
    """Run a mixed batch through the engine, each picture alone through ultralytics, and compare box by box."""
    yolo = ultralytics.YOLO(str(reference), task="detect")
    images = pictures()
    expected_boxes = 0
    for image, raw in zip(images, engine.infer(images, img_size, confidence=CONFIDENCE), strict=True):
        ours = select(raw, confidence=CONFIDENCE, iou=IOU, max_det=300)
        (result,) = yolo.predict(
            image,
            imgsz=img_size,
            conf=CONFIDENCE,
            iou=IOU,
            max_det=300,
            nms=False if end_to_end else None,
            device="cpu",
            verbose=False,
        )
        theirs = result.boxes.cpu().numpy()
        expected_boxes += len(theirs)
        assert_same(ours, theirs.xyxy, theirs.conf, theirs.cls.astype(int))
    assert expected_boxes > 20


def assert_same(ours: Detections, boxes: np.ndarray, scores: np.ndarray, class_ids: np.ndarray) -> None:
    """Match best first within a class; only boxes at the very threshold may be missing on either side."""
    free = set(range(len(ours.scores)))
    for box, score, class_id in zip(boxes, scores, class_ids, strict=True):
        same = [i for i in free if ours.class_ids[i] == class_id]
        best = max(same, key=lambda i: overlap(ours.boxes[i], box), default=None)
        if best is None or overlap(ours.boxes[best], box) <= 0.99:
            assert score < CONFIDENCE + 0.01, f"{box} of class {class_id} with {score} was not found"
            continue
        assert abs(ours.scores[best] - score) <= 0.01
        free.remove(best)
    assert all(ours.scores[i] < CONFIDENCE + 0.01 for i in free), "boxes that ultralytics does not find"


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Return the IoU of two boxes xyxy."""
    width, height = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    shared = width * height
    return float(shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared))


@pytest.mark.parametrize("img_size", [320, 640])
def test_onnx_as_shipped(img_size: int) -> None:
    file = SHIPPED_MODEL / "model.onnx"
    engine = OnnxEngine(model_file(file, end_to_end=METADATA["end_to_end"]), threads=1)
    assert_same_boxes(engine, file, end_to_end=METADATA["end_to_end"], img_size=img_size)


@pytest.mark.parametrize("img_size", [320, 640])
def test_onnx_as_shipped_equals_the_checkpoint(img_size: int) -> None:
    file = SHIPPED_MODEL / "model.onnx"
    engine = OnnxEngine(model_file(file, end_to_end=METADATA["end_to_end"]), threads=1)
    assert_same_boxes(engine, CHECKPOINT, end_to_end=METADATA["end_to_end"], img_size=img_size)


def test_onnx_with_a_head_that_needs_nms(needs_nms: Path) -> None:
    engine = OnnxEngine(model_file(needs_nms, end_to_end=False), threads=1)
    assert_same_boxes(engine, CHECKPOINT, end_to_end=False, img_size=320)


@pytest.mark.parametrize("end_to_end", [True, False])
def test_torch(end_to_end: bool) -> None:
    engine = torch_engine.TorchEngine(model_file(CHECKPOINT, end_to_end=end_to_end), threads=1)
    assert_same_boxes(engine, CHECKPOINT, end_to_end=end_to_end, img_size=320)


def test_a_tiny_size_and_a_thin_picture_run() -> None:
    engine = OnnxEngine(model_file(SHIPPED_MODEL / "model.onnx", end_to_end=METADATA["end_to_end"]), threads=1)
    for image, img_size in ((pictures()[0], 32), (np.zeros((10, 2000, 3), np.uint8), 320)):
        (raw,) = engine.infer([image], img_size, confidence=0.0)
        found = select(raw, confidence=0.0, iou=0.7, max_det=300)
        height, width = image.shape[:2]
        assert (found.boxes >= 0).all()
        assert (found.boxes <= [width, height, width, height]).all()


def test_a_result_does_not_depend_on_what_else_is_in_the_batch() -> None:
    engine = OnnxEngine(model_file(SHIPPED_MODEL / "model.onnx", end_to_end=METADATA["end_to_end"]), threads=1)
    images = pictures()
    together = engine.infer(images, 320, confidence=CONFIDENCE)
    for image, raw in zip(images, together, strict=True):
        (alone,) = engine.infer([image], 320, confidence=CONFIDENCE)
        np.testing.assert_allclose(raw.boxes, alone.boxes, atol=0.01)
        np.testing.assert_allclose(raw.scores, alone.scores, atol=1e-4)


def test_a_file_that_is_not_what_the_catalogue_says_is_refused(tmp_path: Path) -> None:
    file = SHIPPED_MODEL / "model.onnx"
    with pytest.raises(EngineError, match="SHA-256"):
        OnnxEngine(ModelFile(file, "0" * 64, 6, METADATA["end_to_end"], 32, 320), threads=1)
    with pytest.raises(EngineError, match="head"):
        OnnxEngine(model_file(file, end_to_end=not METADATA["end_to_end"]), threads=1)
    broken = tmp_path / "model.onnx"
    broken.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(EngineError, match="not a model that ONNX Runtime can load"):
        OnnxEngine(model_file(broken, end_to_end=True), threads=1)
    with pytest.raises(EngineError, match="cannot be read"):
        OnnxEngine(ModelFile(tmp_path / "none.onnx", "", 6, True, 32, 320), threads=1)
