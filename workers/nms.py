"""From candidates to a request's answer: its confidence, classes, overlap limit and number of boxes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.engines.base import RawDetections

# Shifts each class to an area of its own, so that boxes of two classes never overlap.
CLASS_OFFSET = 7680
# More candidates than this are noise, and suppression takes the square of their number.
MAX_CANDIDATES = 30_000


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found in one image, best first: `boxes` (N, 4) xyxy in the image's px, `scores`, `class_ids` (N,)."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]


def select(
    raw: RawDetections, *, confidence: float, iou: float, max_det: int, classes: Collection[int] = ()
) -> Detections:
    """Apply one request's filters to the candidates of its image. No `classes` means all of them."""
    wanted = raw.scores > confidence
    if classes:
        wanted &= np.isin(raw.class_ids, list(classes))
    kept = np.flatnonzero(wanted)
    if not raw.suppressed:
        kept = kept[:MAX_CANDIDATES]
        kept = kept[suppress(raw.boxes[kept], raw.scores[kept], raw.class_ids[kept], iou)]
    kept = kept[:max_det]
    return Detections(raw.placement.to_image(raw.boxes[kept]), raw.scores[kept], raw.class_ids[kept])


def suppress(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], class_ids: NDArray[np.int64], iou: float
) -> NDArray[np.intp]:
    """Class-aware non-maximum suppression: the positions to keep, best first.

    A box goes if it overlaps a better one of its class by more than `iou`. `boxes` are (N, 4) xyxy.
    """
    if not len(boxes):
        return np.empty(0, np.intp)
    shifted = boxes + (class_ids * CLASS_OFFSET).astype(np.float32)[:, None]
    corners_and_sizes = np.concatenate([shifted[:, :2], shifted[:, 2:] - shifted[:, :2]], axis=1).astype(np.float64)
    # Scores are already above the request's confidence, so 0 lets all of them through.
    kept = cv2.dnn.NMSBoxes(corners_and_sizes, scores, 0.0, iou)  # type: ignore[arg-type]
    return np.asarray(kept, np.intp).reshape(-1)
