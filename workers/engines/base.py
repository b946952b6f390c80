"""What every engine is: a model version in memory that turns images into candidate boxes."""

from __future__ import annotations

import hashlib
import threading
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.letterbox import Placement, letterbox

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


class EngineError(Exception):
    """The model cannot be loaded or run; the message is fit for an operator's log."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model version as an engine needs it: a file and how to read what the model answers."""

    path: Path
    sha256: str
    class_count: int
    end_to_end: bool
    stride: int
    default_img_size: int


@dataclass(frozen=True, slots=True)
class RawDetections:
    """Candidate boxes of one image in its letterbox's pixels, before any request's own filters.

    `boxes` (N, 4) xyxy, `scores` (N,), `class_ids` (N,), best first. With `suppressed`, the model has already removed
    overlapping boxes itself.
    """

    boxes: Floats
    scores: Floats
    class_ids: NDArray[np.int64]
    placement: Placement
    suppressed: bool


class Engine(ABC):
    """One model version, loaded. Safe to call from several threads."""

    # Engines whose library cannot run one model from several threads at once set this.
    exclusive = False

    def __init__(self, model: ModelFile) -> None:
        self.model = model
        self._turn: AbstractContextManager[object] = threading.Lock() if self.exclusive else nullcontext()

    @abstractmethod
    def forward(self, batch: Floats) -> Floats:
        """Run the model: (B, 3, H, W) RGB in 0..1 -> (B, N, 6) if end-to-end, else (B, 4 + classes, N)."""

    @property
    def any_shape(self) -> bool:
        """Whether the model takes any batch size and any height and width that its stride divides."""
        return True

    def warm_up(self, img_size: int) -> None:
        """Run once on a blank square of `img_size` px, so that the first request does not pay for it."""
        self.infer([np.full((img_size, img_size, 3), 114, np.uint8)], img_size, confidence=0.5)

    def infer(self, images: Sequence[Image], img_size: int, *, confidence: float) -> list[RawDetections]:
        """Find candidates above `confidence` in BGR images (H, W, 3) of any sizes.

        Images are letterboxed one by one, so that a result never depends on what else is in the batch; those that
        come out in one shape run as one batch.
        """
        # An exported end-to-end head picks its best 300 anchors, and fails on a canvas that has fewer.
        minimum_area = 128 * 128 if self.model.end_to_end else 0
        groups: dict[tuple[int, ...], list[tuple[int, Image, Placement]]] = defaultdict(list)
        for position, image in enumerate(images):
            canvas, placement = letterbox(
                image, img_size, stride=self.model.stride, square=not self.any_shape, minimum_area=minimum_area
            )
            groups[canvas.shape].append((position, canvas, placement))

        results: dict[int, RawDetections] = {}
        for members in groups.values():
            for part in [members] if self.any_shape else [[member] for member in members]:
                batch = cv2.dnn.blobFromImages([canvas for _, canvas, _ in part], 1 / 255, swapRB=True)
                with self._turn:
                    output = self.forward(batch)
                for (position, _, placement), rows in zip(part, output, strict=True):
                    results[position] = self._read(rows, placement, confidence)
        return [results[position] for position in range(len(images))]

    def _read(self, rows: Floats, placement: Placement, confidence: float) -> RawDetections:
        if self.model.end_to_end:
            rows = rows[rows[:, 4] > confidence]
            return RawDetections(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64), placement, suppressed=True)
        scores = rows[4 : 4 + self.model.class_count].max(axis=0)
        kept = np.flatnonzero(scores > confidence)
        kept = kept[np.argsort(-scores[kept], kind="stable")]
        centre_x, centre_y, width, height = rows[:4, kept]
        half_width, half_height = width / 2, height / 2
        boxes = np.stack(
            [centre_x - half_width, centre_y - half_height, centre_x + half_width, centre_y + half_height], axis=1
        )
        class_ids = rows[4 : 4 + self.model.class_count, kept].argmax(axis=0)
        return RawDetections(boxes, scores[kept], class_ids, placement, suppressed=False)


def checked_bytes(model: ModelFile) -> bytes:
    """Return the model's file, if it is the one that the catalogue means.

    Raises EngineError when it is missing or its SHA-256 is another.
    """
    try:
        content = model.path.read_bytes()
    except OSError as error:
        raise EngineError(f"{model.path} cannot be read: {error.strerror}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != model.sha256:
        raise EngineError(f"{model.path} has SHA-256 {found}, the catalogue says {model.sha256}")
    return content


def check_head(model: ModelFile, *, end_to_end: bool, class_count: int | None) -> None:
    """Raise EngineError if the file's head is not what the catalogue says, as every box would then be misread."""
    if end_to_end != model.end_to_end:
        kinds = ("an end-to-end head", "a head that needs NMS")
        found, said = kinds if end_to_end else kinds[::-1]
        raise EngineError(f"{model.path} has {found}, the catalogue says {said}")
    if class_count not in (None, model.class_count):
        raise EngineError(f"{model.path} knows {class_count} classes, the catalogue lists {model.class_count}")
