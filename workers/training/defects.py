"""Puts manufacturing defects into a board's artwork, each where it could really occur.

The six kinds are those of bare-board inspection: copper that is missing (open,
mouse bite, pin hole) and copper that should not be there (short, spur, spurious
copper). A place is taken only if nothing near it could make the kind ambiguous.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from workers.training.artwork import SCALE, Artwork, fill
from workers.training.layout import BOARD_SIZE, Layout, Point, Track, segments

CLASSES = ("open", "short", "mouse_bite", "spur", "spurious_copper", "pin_hole")

# How far a box reaches beyond the changed copper, and its least side, in track widths:
# a defect is told by the copper around it, and a box of few pixels cannot be located.
CONTEXT = 0.5
LEAST_SIDE = 2.2
_APART = 3.6
_TRIES = 60


@dataclass(frozen=True)
class Defect:
    """A defect and the outline of the copper that it added or took away, in board pixels."""

    class_id: int
    outline: tuple[Point, ...]
    margin: float
    least_side: float

    @property
    def class_name(self) -> str:
        return CLASSES[self.class_id]

    @property
    def centre(self) -> Point:
        xs, ys = zip(*self.outline, strict=True)
        return ((min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2)


def add_defects(layout: Layout, art: Artwork, count: int, rng: np.random.Generator) -> list[Defect]:
    """Change `art.copper` in up to `count` places and say where and how.

    Kinds are drawn evenly; a board without room for a kind gets another one instead.
    """
    return _Saboteur(layout, art, rng).run(count)


class _Saboteur:
    def __init__(self, layout: Layout, art: Artwork, rng: np.random.Generator) -> None:
        self.layout, self.art, self.rng = layout, art, rng
        self.unit = layout.unit
        self.segments = [s for s in segments(layout) if s[3] > 4 * layout.unit]
        free = (art.nets == 0).astype(np.uint8)
        self.clearance = cv2.distanceTransform(free, cv2.DIST_L2, 5)
        silk = cv2.resize(art.silk, (BOARD_SIZE, BOARD_SIZE), interpolation=cv2.INTER_AREA)
        self.silk = cv2.dilate(silk, np.ones((3, 3), np.uint8), iterations=max(round(self.unit * 0.4), 1)) > 0
        self.found: list[Defect] = []

    def run(self, count: int) -> list[Defect]:
        makers: tuple[Callable[[], tuple[Point, ...] | None], ...] = (
            self._open, self._short, self._mouse_bite, self._spur, self._spurious, self._pin_hole,
        )  # fmt: skip
        for _ in range(count):
            for class_id in self.rng.permutation(len(CLASSES)):
                outline = self._place(makers[class_id])
                if outline is not None:
                    self.found.append(Defect(int(class_id), outline, CONTEXT * self.unit, LEAST_SIDE * self.unit))
                    break
        return self.found

    def _place(self, maker: Callable[[], tuple[Point, ...] | None]) -> tuple[Point, ...] | None:
        for _ in range(_TRIES):
            outline = maker()
            if outline is not None:
                return outline
        return None

    # --- where --------------------------------------------------------------

    def _usable(self, spot: Point) -> bool:
        """Inside every camera's view, off the silkscreen and away from other defects."""
        x, y = spot
        edge = 0.11 * BOARD_SIZE
        if not (edge < x < BOARD_SIZE - edge and edge < y < BOARD_SIZE - edge):
            return False
        if self.silk[round(y), round(x)]:
            return False
        return all(math.dist(spot, other.centre) > _APART * self.unit for other in self.found)

    def _on_track(self, ends: float = 1.6) -> tuple[Track, Point, Point] | None:
        """A random point of a track's straight piece, `ends` track widths from its ends, and the direction."""
        if not self.segments:
            return None
        track, a, b, length = self.segments[int(self.rng.integers(len(self.segments)))]
        along = float(self.rng.uniform(ends * self.unit, length - ends * self.unit))
        direction = ((b[0] - a[0]) / length, (b[1] - a[1]) / length)
        spot = (a[0] + direction[0] * along, a[1] + direction[1] * along)
        return (track, spot, direction) if self._usable(spot) else None

    def _edge(self) -> tuple[Track, Point, Point, Point, float] | None:
        """A point on a track's edge, the track's direction, the outward normal and the free way along it."""
        found = self._on_track()
        if found is None:
            return None
        track, spot, direction = found
        side = 1.0 if self.rng.random() < 0.5 else -1.0
        normal = (-direction[1] * side, direction[0] * side)
        half = track.width / 2
        edge = (spot[0] + normal[0] * half, spot[1] + normal[1] * half)
        return track, edge, direction, normal, self._free_way(edge, normal, track.net)

    def _free_way(self, start: Point, normal: Point, net: int) -> float:
        """Board pixels from `start` to the next copper of another net; infinite if none is near.

        Zero if the track's own net is in the way, where a bridge would not be a short.
        """
        for step in range(2, round(4 * self.unit)):
            x, y = round(start[0] + normal[0] * step), round(start[1] + normal[1] * step)
            if not (0 <= x < BOARD_SIZE and 0 <= y < BOARD_SIZE):
                break
            here = int(self.art.nets[y, x])
            if here and here != net:
                return float(step)
            if here == net and step > 3:
                return 0.0
        return math.inf

    # --- what ---------------------------------------------------------------

    def _blob(self, centre: Point, radius: float, ragged: float = 0.16) -> tuple[Point, ...]:
        """An irregular round outline."""
        angles = np.linspace(0, 2 * math.pi, 24, endpoint=False)
        radii = np.full(24, radius)
        for wave in (2, 3, 5):
            strength = radius * ragged / wave * 1.6 * self.rng.uniform(-1, 1)
            radii += strength * np.cos(wave * angles + self.rng.uniform(0, 2 * math.pi))
        xs, ys = centre[0] + radii * np.cos(angles), centre[1] + radii * np.sin(angles)
        return tuple((float(x), float(y)) for x, y in zip(xs, ys, strict=True))

    def _strip(
        self, start: Point, direction: Point, normal: Point, reach: float, widths: tuple[float, ...]
    ) -> tuple[Point, ...]:
        """A strip from `start` along `normal`, as wide as `widths` says from foot to tip."""
        left, right = [], []
        for i, width in enumerate(widths):
            out = reach * i / (len(widths) - 1)
            x, y = start[0] + normal[0] * out, start[1] + normal[1] * out
            left.append((x - direction[0] * width / 2, y - direction[1] * width / 2))
            right.append((x + direction[0] * width / 2, y + direction[1] * width / 2))
        return (*left, *reversed(right))

    def _open(self) -> tuple[Point, ...] | None:
        found = self._on_track(ends=1.9)
        if found is None:
            return None
        track, spot, direction = found
        normal = (-direction[1], direction[0])
        gap = self.unit * float(self.rng.uniform(0.75, 1.35))
        reach = track.width + 2.0
        start = (spot[0] - normal[0] * reach / 2, spot[1] - normal[1] * reach / 2)
        widths = tuple(gap * float(self.rng.uniform(0.75, 1.2)) for _ in range(6))
        outline = self._strip(start, direction, normal, reach, widths)
        fill(self.art.copper, outline, 0)
        return outline

    def _short(self) -> tuple[Point, ...] | None:
        found = self._edge()
        if found is None:
            return None
        _, edge, direction, normal, way = found
        if not 0.6 * self.unit < way < 2.4 * self.unit:
            return None
        start = (edge[0] - normal[0] * 2, edge[1] - normal[1] * 2)
        waist = self.unit * float(self.rng.uniform(0.5, 1.0))
        flare = waist * float(self.rng.uniform(1.15, 1.5))
        widths = (flare, waist * 1.08, waist * float(self.rng.uniform(0.85, 1.1)), waist * 1.08, flare)
        fill(self.art.copper, self._strip(start, direction, normal, way + 4, widths), 255)
        return self._strip(edge, direction, normal, way, widths)

    def _mouse_bite(self) -> tuple[Point, ...] | None:
        found = self._edge()
        if found is None:
            return None
        track, edge, direction, normal, way = found
        if way < 0.6 * self.unit:
            return None
        depth = track.width * float(self.rng.uniform(0.45, 0.6))
        radius = max(depth * float(self.rng.uniform(0.9, 1.1)), 0.42 * self.unit)
        inset = radius - depth
        centre = (edge[0] + normal[0] * inset, edge[1] + normal[1] * inset)
        bites = [self._blob(centre, radius, ragged=0.12)]
        if self.rng.random() < 0.35:
            shift = radius * float(self.rng.choice([-1.0, 1.0])) * 0.9
            beside = (centre[0] + direction[0] * shift, centre[1] + direction[1] * shift)
            bites.append(self._blob(beside, radius * 0.75, ragged=0.12))
        for bite in bites:
            fill(self.art.copper, bite, 0)
        # Only the part inside the track is a change, so the box ends at the track's edge.
        clipped = []
        for x, y in (point for bite in bites for point in bite):
            beyond = max((x - edge[0]) * normal[0] + (y - edge[1]) * normal[1], 0.0)
            clipped.append((x - normal[0] * beyond, y - normal[1] * beyond))
        return tuple(clipped)

    def _spur(self) -> tuple[Point, ...] | None:
        found = self._edge()
        if found is None:
            return None
        _, edge, direction, normal, way = found
        reach = self.unit * float(self.rng.uniform(0.75, 1.2))
        if way < reach + 0.5 * self.unit:
            return None
        lean = float(self.rng.uniform(-0.3, 0.3))
        leaning = (normal[0] + direction[0] * lean, normal[1] + direction[1] * lean)
        tip = (edge[0] + leaning[0] * reach, edge[1] + leaning[1] * reach)
        if self.clearance[round(tip[1]), round(tip[0])] < 0.45 * self.unit:
            return None
        foot = self.unit * float(self.rng.uniform(0.6, 0.85))
        widths = (foot, foot * 0.85, foot * 0.8, foot * 0.72, foot * 0.4)
        start = (edge[0] - normal[0] * 2, edge[1] - normal[1] * 2)
        fill(self.art.copper, self._strip(start, direction, leaning, reach + 2, widths), 255)
        return self._strip(edge, direction, leaning, reach, widths)

    def _spurious(self) -> tuple[Point, ...] | None:
        spot = (float(self.rng.uniform(0, BOARD_SIZE - 1)), float(self.rng.uniform(0, BOARD_SIZE - 1)))
        radius = self.unit * float(self.rng.uniform(0.42, 0.7))
        if not self._usable(spot) or self.clearance[round(spot[1]), round(spot[0])] < radius * 1.2 + 0.3 * self.unit:
            return None
        outline = self._blob(spot, radius, ragged=0.22)
        fill(self.art.copper, outline, 255)
        return outline

    def _pin_hole(self) -> tuple[Point, ...] | None:
        if self.rng.random() < 0.6:
            found = self._on_track()
            if found is None:
                return None
            track, spot, _ = found
            room = track.width / 2
        else:
            roomy: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]] = [
                (np.asarray(pad.centre), np.asarray(pad.size) / 2) for pad in self.layout.pads if not pad.drill
            ]
            for pour in self.layout.pours:
                corners = np.asarray(pour.polygon)
                middle = (corners.min(0) + corners.max(0)) / 2
                roomy.append((middle, (corners.max(0) - corners.min(0)) / 2))
            if not roomy:
                return None
            middle, half = roomy[int(self.rng.integers(len(roomy)))]
            reach = half - 0.75 * self.unit
            offset = self.rng.uniform(-1, 1, 2) * np.maximum(reach, 0.15 * self.unit)
            spot = (float(middle[0] + offset[0]), float(middle[1] + offset[1]))
            if not self._usable(spot):
                return None
            x, y = (round(v * SCALE) for v in spot)
            window = round(0.9 * self.unit * SCALE)
            if self.art.drills[y - window : y + window, x - window : x + window].any():
                return None
            room = float(min(half - np.abs(offset)))
        radius = min(self.unit * float(self.rng.uniform(0.3, 0.42)), room - 0.13 * self.unit)
        if radius < 0.25 * self.unit:
            return None
        outline = self._blob(spot, radius, ragged=0.1)
        fill(self.art.copper, outline, 0)
        return outline
