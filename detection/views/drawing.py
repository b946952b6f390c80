"""Boxes as a drawing to be laid over a picture, in the picture's own pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LETTER_WIDTH = 0.6  # of the font's size, on average
COLOURS = 8  # the classes box-0 .. box-7 in static/css/viewer.css


@dataclass(frozen=True)
class DrawnBox:
    """One prediction: where it is (px), what it is called, and the colour class of its kind."""

    number: int
    class_name: str
    confidence: float
    percent: str
    x: float
    y: float
    width: float
    height: float
    label_x: float
    label_y: float
    label_anchor: str
    colour: int


@dataclass(frozen=True)
class Drawing:
    """Everything that was found in a picture of `width` x `height` px, the surest first."""

    width: int
    height: int
    font_size: float
    boxes: list[DrawnBox]


def drawing(predictions: Sequence[dict[str, Any]], *, width: int, height: int) -> Drawing:
    """Return the drawing of predictions as the API answers them."""
    font_size = max(width, height) / 44
    boxes = []
    named: list[tuple[float, float]] = []
    ranked = sorted(predictions, key=lambda prediction: -prediction["confidence"])
    for number, prediction in enumerate(ranked, start=1):
        x1, y1, x2, y2 = prediction["bbox"]
        percent = f"{prediction['confidence'] * 100:.1f}"
        length = LETTER_WIDTH * font_size * len(f"{prediction['class_name']} {percent}")
        sticks_out = x1 + length > width
        left = x2 - length if sticks_out else x1
        above, below = y1 - font_size * 0.4, y2 + font_size * 1.1
        # Where labels would lie over each other, the less sure box is named below itself, or higher up.
        label_y = next(
            (
                y
                for y in (above, below, above - font_size * 1.1)
                if y > font_size
                and not any(abs(left - x) < length and abs(y - other) < font_size for x, other in named)
            ),
            below,
        )
        named.append((left, label_y))
        boxes.append(
            DrawnBox(
                number=number,
                class_name=prediction["class_name"],
                confidence=prediction["confidence"],
                percent=percent,
                x=round(x1, 1),
                y=round(y1, 1),
                width=round(x2 - x1, 1),
                height=round(y2 - y1, 1),
                # A label that would stick out at the right ends with the box; at the top, it goes below.
                label_x=round(x2 if sticks_out else x1, 1),
                label_anchor="end" if sticks_out else "start",
                label_y=round(label_y, 1),
                colour=prediction["class_id"] % COLOURS,
            )
        )
    return Drawing(width, height, round(font_size, 1), boxes)
