"""Draws pictures of printed circuit boards with known defects.

Everything about a board follows from a seed and an index: the same pair gives the
same bytes on any machine with the same numpy and OpenCV.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workers.training.artwork import draw_artwork
from workers.training.camera import PICTURE_SIZE, Picture, Shot, aim, photograph, pick_material
from workers.training.defects import Defect, add_defects
from workers.training.layout import draw_layout

# One board in twelve is faultless, so that a detector also learns to find nothing.
CLEAN_SHARE = 1 / 12
FEWEST_DEFECTS, MOST_DEFECTS = 2, 6


@dataclass(frozen=True)
class Box:
    """A defect in the picture: corners in picture pixels, x1 < x2 and y1 < y2."""

    class_id: int
    class_name: str
    bbox: tuple[float, float, float, float]


@dataclass(frozen=True)
class Board:
    """A picture (640, 640, 3) uint8 blue-green-red and what is wrong on it."""

    picture: Picture
    boxes: tuple[Box, ...]
    material: str


def draw_board(seed: int, index: int, *, faultless: bool = False) -> Board:
    """Draw board `index` of the series `seed`.

    `faultless` gives the same board, light and camera without its defects.
    """
    layout_rng, defect_rng, camera_rng = (
        np.random.default_rng(s) for s in np.random.SeedSequence([seed, index]).spawn(3)
    )
    layout = draw_layout(layout_rng)
    art = draw_artwork(layout)
    defects: list[Defect] = []
    if not faultless and defect_rng.random() >= CLEAN_SHARE:
        count = int(defect_rng.integers(FEWEST_DEFECTS, MOST_DEFECTS + 1))
        defects = add_defects(layout, art, count, defect_rng)
    shot = aim(camera_rng)
    material = pick_material(camera_rng)
    picture = photograph(art, shot, material, camera_rng)
    return Board(picture, tuple(_box(defect, shot) for defect in defects), material.name)


def _box(defect: Defect, shot: Shot) -> Box:
    """The defect's outline as the camera sees it, with a margin of context and a least side."""
    seen = shot.project(np.asarray(defect.outline))
    low, high = seen.min(0), seen.max(0)
    half = np.maximum((high - low) / 2 + defect.margin, defect.least_side / 2)
    middle = (low + high) / 2
    x1, y1 = np.clip(middle - half, 0, PICTURE_SIZE)
    x2, y2 = np.clip(middle + half, 0, PICTURE_SIZE)
    return Box(defect.class_id, defect.class_name, (float(x1), float(y1), float(x2), float(y2)))
