"""Turns a layout into masks: copper, solder openings, drills, silkscreen.

Masks are drawn `SCALE` times larger than board pixels, so that the camera's
resampling smooths the edges.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from workers.training.layout import BOARD_SIZE, Layout, Point

SCALE = 2
_FRACTION_BITS = 4

Mask = npt.NDArray[np.uint8]


@dataclass
class Artwork:
    """One mask per manufacturing step, each (BOARD_SIZE * SCALE) squared, 0 or 255.

    `nets` has board resolution: which net's copper covers a board pixel, 0 for none.
    """

    copper: Mask
    openings: Mask
    drills: Mask
    silk: Mask
    nets: npt.NDArray[np.uint16]


def draw_artwork(layout: Layout) -> Artwork:
    """Draw every layer of a faultless board."""
    shape = (BOARD_SIZE * SCALE, BOARD_SIZE * SCALE)
    art = Artwork(
        copper=np.zeros(shape, np.uint8),
        openings=np.zeros(shape, np.uint8),
        drills=np.zeros(shape, np.uint8),
        silk=np.zeros(shape, np.uint8),
        nets=np.zeros((BOARD_SIZE, BOARD_SIZE), np.uint16),
    )
    for pour in layout.pours:
        fill(art.copper, pour.polygon, 255)
        cv2.fillPoly(art.nets, [np.round(pour.polygon).astype(np.int32)], pour.net)
    for track in layout.tracks:
        thickness = max(round(track.width * SCALE), 1)
        cv2.polylines(art.copper, [_fixed(track.points)], False, 255, thickness, cv2.LINE_8, _FRACTION_BITS)
        points = np.round(track.points).astype(np.int32)
        cv2.polylines(art.nets, [points], False, track.net, max(round(track.width), 1))
    for pad in layout.pads:
        half_w, half_h = pad.size[0] / 2, pad.size[1] / 2
        x, y = pad.centre
        if pad.round:
            disc(art.copper, pad.centre, half_w, 255)
            disc(art.openings, pad.centre, half_w * 0.94, 255)
            cv2.circle(art.nets, (round(x), round(y)), round(half_w), pad.net, -1)
        else:
            corners = tuple((x + sx * half_w, y + sy * half_h) for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1)))
            fill(art.copper, corners, 255)
            fill(art.openings, corners, 255)
            cv2.fillPoly(art.nets, [np.round(corners).astype(np.int32)], pad.net)
        if pad.drill:
            disc(art.drills, pad.centre, pad.drill / 2, 255)
    _draw_silk(art.silk, layout)
    return art


def fill(mask: Mask, polygon: Iterable[Point], value: int) -> None:
    """Fill a polygon given in board pixels."""
    cv2.fillPoly(mask, [_fixed(polygon)], value, cv2.LINE_8, _FRACTION_BITS)


def disc(mask: Mask, centre: Point, radius: float, value: int) -> None:
    """Fill a circle given in board pixels."""
    one = SCALE * (1 << _FRACTION_BITS)
    x, y = _fixed([centre])[0]
    cv2.circle(mask, (int(x), int(y)), round(radius * one), value, -1, cv2.LINE_8, _FRACTION_BITS)


def _fixed(points: Iterable[Point]) -> npt.NDArray[np.int32]:
    """Board pixels to mask pixels in OpenCV's fixed-point form (pixel centres are integers in both)."""
    scaled = (np.asarray(list(points), np.float64) + 0.5) * SCALE - 0.5
    return np.round(scaled * (1 << _FRACTION_BITS)).astype(np.int32)


def _draw_silk(silk: Mask, layout: Layout) -> None:
    thickness = max(round(0.13 * layout.unit * SCALE), 2)
    for outline in layout.outlines:
        cv2.polylines(silk, [_fixed(outline)], False, 255, thickness, cv2.LINE_8, _FRACTION_BITS)
    for label in layout.labels:
        origin = (round(label.origin[0] * SCALE), round(label.origin[1] * SCALE))
        size = label.height * SCALE / 22
        cv2.putText(silk, label.text, origin, cv2.FONT_HERSHEY_SIMPLEX, size, 255, thickness)
