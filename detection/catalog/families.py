"""The official model families: listed for everybody, installed by `manage.py models pull`.

Their files may not be redistributed with this project, so a call answers 503 `model_not_installed` until an operator
has pulled them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

SIZES = {"n": "nano", "s": "small", "m": "medium", "l": "large", "x": "extra large"}


@dataclass(frozen=True, slots=True)
class Listed:
    """A model that the catalogue names whether or not it is installed. `weights` is what ultralytics calls its file."""

    name: str
    family: str
    letter: str
    title: str
    description: str
    end_to_end: bool

    @property
    def weights(self) -> str:
        return f"{self.name}.pt"


_FAMILIES = (
    ("yolo26", "YOLO26", True, "80 everyday classes (COCO). Needs no NMS: the fastest choice on a CPU."),
    ("yolo11", "YOLO11", False, "80 everyday classes (COCO). The generation before YOLO26."),
    ("yolov8", "YOLOv8", False, "80 everyday classes (COCO). What most existing programs were built on."),
)


def official_models() -> Iterator[Listed]:
    """Yield every official model, newest family first, smallest first."""
    for prefix, family, end_to_end, description in _FAMILIES:
        for letter, size in SIZES.items():
            yield Listed(f"{prefix}{letter}", family, letter, f"{family} {size}", description, end_to_end)


def official_model(name: str) -> Listed | None:
    """Return the official model of that name, if there is one."""
    return next((model for model in official_models() if model.name == name), None)
