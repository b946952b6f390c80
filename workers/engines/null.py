"""An engine without a model: it measures, and puts to the test, everything else."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from workers.engines.base import Engine, Floats, Image, ModelFile, RawDetections
from workers.letterbox import Placement


class NullEngine(Engine):
    """Answers with one box over each whole image, after `seconds` for the batch. Only where the settings allow it."""

    def __init__(self, model: ModelFile, *, seconds: float = 0.0) -> None:
        super().__init__(model)
        self._seconds = seconds

    def forward(self, batch: Floats) -> Floats:
        return np.zeros((len(batch), 0, 6), np.float32)

    def infer(self, images: Sequence[Image], img_size: int, *, confidence: float) -> list[RawDetections]:
        if self._seconds:
            time.sleep(self._seconds)
        found = []
        for image in images:
            height, width = image.shape[:2]
            box = np.array([[0, 0, width, height]], np.float32)
            placement = Placement(width, height, 1.0, 1.0, 0, 0)
            found.append(RawDetections(box, np.ones(1, np.float32), np.zeros(1, np.int64), placement, suppressed=True))
        return found
