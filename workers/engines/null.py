"""An engine that finds nothing and takes no time: it measures what everything else costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workers.engines.base import Engine, Floats, Image, RawDetections
from workers.letterbox import Placement


class NullEngine(Engine):
    """Answers at once with one box over the whole image. Runs only where the settings allow it (benchmarks)."""

    def forward(self, batch: Floats) -> Floats:
        return np.zeros((len(batch), 0, 6), np.float32)

    def infer(self, images: Sequence[Image], img_size: int, *, confidence: float) -> list[RawDetections]:
        found = []
        for image in images:
            height, width = image.shape[:2]
            box = np.array([[0, 0, width, height]], np.float32)
            placement = Placement(width, height, 1.0, 1.0, 0, 0)
            found.append(RawDetections(box, np.ones(1, np.float32), np.zeros(1, np.int64), placement, suppressed=True))
        return found
