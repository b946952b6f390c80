"""torchvision imports and suppresses boxes, whether or not its compiled operators load."""

from __future__ import annotations

import importlib

import pytest

from workers.torchvision_shim import install

torch = pytest.importorskip("torch")
pytest.importorskip("ultralytics")
pytestmark = pytest.mark.torch


def test_nms_keeps_the_best_of_each_cluster_and_installing_twice_is_harmless():
    assert install() is install()
    ops = importlib.import_module("torchvision.ops")

    boxes = torch.tensor([[0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]], dtype=torch.float32)
    scores = torch.tensor([0.5, 0.9, 0.3])
    assert ops.nms(boxes, scores, 0.5).tolist() == [1, 2]
    assert ops.nms(boxes, scores, 0.95).tolist() == [1, 0, 2]
    assert ops.batched_nms(boxes, scores, torch.tensor([0, 1, 1]), 0.5).tolist() == [1, 0, 2]
