"""Fit an image into what a model takes: scaled, padded with grey to multiples of the stride, never distorted.

The rounding is ultralytics' own, to the pixel, because a box differs by as much as its letterbox does.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

GREY = (114, 114, 114)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an image of `width` x `height` px lies in its letterbox."""

    width: int
    height: int
    gain_x: float
    gain_y: float
    left: int
    top: int

    def to_image(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn boxes (N, 4) xyxy from letterbox px to image px, clipped to the image."""
        moved = boxes - np.array([self.left, self.top, self.left, self.top], np.float32)
        moved /= np.array([self.gain_x, self.gain_y, self.gain_x, self.gain_y], np.float32)
        return np.clip(moved, 0, np.array([self.width, self.height, self.width, self.height], np.float32))


def letterbox(
    image: NDArray[np.uint8], img_size: int, *, stride: int = 32, square: bool = False, minimum_area: int = 0
) -> tuple[NDArray[np.uint8], Placement]:
    """Scale an image (H, W, 3) so that its longer side is `img_size` px, and pad it.

    With `square` the canvas is `img_size` x `img_size`, else the smallest that the stride divides, widened where it
    has less than `minimum_area` px. Returns the canvas and where on it the image lies.
    """
    height, width = image.shape[:2]
    ratio = min(img_size / height, img_size / width)
    new_width, new_height = max(round(width * ratio), 1), max(round(height * ratio), 1)
    pad_x, pad_y = img_size - new_width, img_size - new_height
    if not square:
        pad_x, pad_y = pad_x % stride, pad_y % stride
        while (new_width + pad_x) * (new_height + pad_y) < minimum_area:
            if new_width + pad_x <= new_height + pad_y:
                pad_x += stride
            else:
                pad_y += stride

    # Half a pixel of padding goes to the right and the bottom.
    left, right = round(pad_x / 2 - 0.1), round(pad_x / 2 + 0.1)
    top, bottom = round(pad_y / 2 - 0.1), round(pad_y / 2 + 0.1)
    if (new_width, new_height) != (width, height):
        image = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    canvas = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=GREY)
    return canvas, Placement(width, height, new_width / width, new_height / height, left, top)
