"""Lays out a circuit board: where tracks, pads, vias, pours and silkscreen go.

Everything stands on a square routing grid. Tracks leave the pads of footprints
and walk over free cells, straight or turning by 45 degrees, until they end in a
via; bundles of parallel tracks fill what is left. Distances are in board pixels:
one board pixel is one picture pixel seen by a camera that looks straight down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

# The board is larger than the picture so that a turned camera never sees past it.
BOARD_SIZE = 728

Cell = tuple[int, int]
Point = tuple[float, float]

# Eight headings, 45 degrees apart; +4 turns back.
HEADINGS: tuple[Cell, ...] = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))

_FREE, _TRACK, _SOLID = 0, 1, 2


@dataclass(frozen=True)
class Track:
    """A copper conductor of one width along a chain of points."""

    net: int
    points: tuple[Point, ...]
    width: float


@dataclass(frozen=True)
class Pad:
    """A solderable area: rectangular, or round when `round`; drilled when `drill` > 0 (diameter)."""

    net: int
    centre: Point
    size: tuple[float, float]
    round: bool = False
    drill: float = 0.0


@dataclass(frozen=True)
class Pour:
    """A filled copper area."""

    net: int
    polygon: tuple[Point, ...]


@dataclass(frozen=True)
class Label:
    """Silkscreen text with its baseline's left end."""

    text: str
    origin: Point
    height: float


@dataclass
class Layout:
    """One board before anything went wrong with it.

    `unit` is the width of an ordinary track; `pitch` the routing grid's step.
    """

    unit: float
    pitch: float
    tracks: list[Track] = field(default_factory=list)
    pads: list[Pad] = field(default_factory=list)
    pours: list[Pour] = field(default_factory=list)
    outlines: list[tuple[Point, ...]] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)


def draw_layout(rng: np.random.Generator) -> Layout:
    """Lay out one board; the same generator state gives the same board."""
    return _Router(rng).run()


class _Router:
    """Fills the routing grid; kept as a class because every step shares the grid."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        unit = float(rng.uniform(12.5, 15.5))
        self.layout = Layout(unit=unit, pitch=unit * float(rng.uniform(2.45, 2.7)))
        self.count = int(BOARD_SIZE // self.layout.pitch)
        self.margin = (BOARD_SIZE - (self.count - 1) * self.layout.pitch) / 2
        self.grid = np.zeros((self.count, self.count), np.uint8)
        self.diagonals: set[frozenset[Cell]] = set()
        self.next_net = 1

    def run(self) -> Layout:
        rng = self.rng
        for _ in range(int(rng.integers(0, 3))):
            self._pour()
        footprints = (self._package, self._chip, self._header)
        exits: list[tuple[Cell, int, int]] = []
        for _ in range(int(rng.integers(3, 7))):
            exits += footprints[int(rng.choice(len(footprints), p=[0.4, 0.35, 0.25]))]()
        for cell, heading, net in exits:
            if rng.random() < 0.85:
                self._walk([cell], heading, net, self._script(heading))
        for _ in range(int(rng.integers(8, 14))):
            self._bundle()
        for _ in range(40):
            start = self._random_cell()
            if self.grid[start] == _FREE and self._via_fits(start):
                heading = int(rng.integers(8))
                self._walk([start], heading, self._net(), self._script(heading), via_at_start=True)
        return self.layout

    # --- grid ---------------------------------------------------------------

    def _net(self) -> int:
        self.next_net += 1
        return self.next_net

    def _at(self, cell: Cell) -> Point:
        return (
            self.margin + cell[0] * self.layout.pitch,
            self.margin + cell[1] * self.layout.pitch,
        )

    def _random_cell(self) -> Cell:
        x, y = self.rng.integers(0, self.count, 2)
        return int(x), int(y)

    def _inside(self, cell: Cell) -> bool:
        return 0 <= cell[0] < self.count and 0 <= cell[1] < self.count

    def _take(self, x: int, y: int, width: int, height: int, around: int = 0) -> bool:
        """Reserve a block of cells for something solid, if it and a rim of `around` cells are free."""
        if x < 0 or y < 0 or x + width > self.count or y + height > self.count:
            return False
        rim = self.grid[max(x - around, 0) : x + width + around, max(y - around, 0) : y + height + around]
        if rim.any():
            return False
        self.grid[x : x + width, y : y + height] = _SOLID
        return True

    # --- solid things -------------------------------------------------------

    def _pour(self) -> None:
        width, height = (int(v) for v in self.rng.integers(2, 6, 2))
        x, y = self._random_cell()
        if not self._take(x, y, width, height):
            return
        reach = 0.3 * self.layout.pitch
        left, top = self._at((x, y))
        right, bottom = self._at((x + width - 1, y + height - 1))
        left, top, right, bottom = left - reach, top - reach, right + reach, bottom + reach
        cut = self.layout.unit * float(self.rng.uniform(0.3, 1.2))
        polygon = (
            (left + cut, top), (right - cut, top), (right, top + cut), (right, bottom - cut),
            (right - cut, bottom), (left + cut, bottom), (left, bottom - cut), (left, top + cut),
        )  # fmt: skip
        net = self._net()
        self.layout.pours.append(Pour(net, polygon))
        for _ in range(int(self.rng.integers(0, 3))):
            cell = (x + int(self.rng.integers(width)), y + int(self.rng.integers(height)))
            if all(pad.centre != self._at(cell) for pad in self.layout.pads):
                self._via(cell, net)

    def _via(self, cell: Cell, net: int) -> None:
        unit = self.layout.unit
        outer = unit * float(self.rng.uniform(1.75, 1.95))
        drill = outer * float(self.rng.uniform(0.46, 0.56))
        self.layout.pads.append(Pad(net, self._at(cell), (outer, outer), round=True, drill=drill))
        self.grid[cell] = _SOLID

    def _package(self) -> list[tuple[Cell, int, int]]:
        """Two facing rows of rectangular pads, as under an SOIC package."""
        pins, span = int(self.rng.integers(3, 7)), int(self.rng.integers(3, 5))
        upright = bool(self.rng.random() < 0.5)
        x, y = self._random_cell()
        width, height = (span, pins) if upright else (pins, span)
        if not self._take(x, y, width, height, around=1):
            return []
        pitch = self.layout.pitch
        size = (0.95 * pitch, 0.56 * pitch) if upright else (0.56 * pitch, 0.95 * pitch)
        exits: list[tuple[Cell, int, int]] = []
        for pin in range(pins):
            for far in (0, span - 1):
                cell = (x + far, y + pin) if upright else (x + pin, y + far)
                net = self._net()
                self.layout.pads.append(Pad(net, self._at(cell), size))
                outward = (4 if far == 0 else 0) if upright else (6 if far == 0 else 2)
                exits.append((cell, outward, net))
        left, top = self._at((x, y))
        right, bottom = self._at((x + width - 1, y + height - 1))
        inset, over = 0.75 * pitch, 0.42 * pitch
        dx, dy = (inset, -over) if upright else (-over, inset)
        self._outline(left + dx, top + dy, right - dx, bottom - dy)
        self._label("U", ((left + right) / 2, (top + bottom) / 2), 0.55 * pitch)
        return exits

    def _chip(self) -> list[tuple[Cell, int, int]]:
        """Two square pads, as under a chip resistor or capacitor."""
        upright = bool(self.rng.random() < 0.5)
        x, y = self._random_cell()
        if not self._take(x, y, *((1, 3) if upright else (3, 1)), around=1):
            return []
        pitch = self.layout.pitch
        side = float(self.rng.uniform(0.8, 0.98)) * pitch
        exits = []
        for far, heading in ((0, 6 if upright else 4), (2, 2 if upright else 0)):
            cell = (x, y + far) if upright else (x + far, y)
            net = self._net()
            self.layout.pads.append(Pad(net, self._at(cell), (side, side)))
            exits.append((cell, heading, net))
        middle = self._at((x, y + 1) if upright else (x + 1, y))
        self._label(str(self.rng.choice(["R", "C", "L", "D"])), middle, 0.36 * pitch)
        return exits

    def _header(self) -> list[tuple[Cell, int, int]]:
        """A row of drilled round pads, as for a pin header."""
        pins, upright = int(self.rng.integers(3, 7)), bool(self.rng.random() < 0.5)
        x, y = self._random_cell()
        if not self._take(x, y, *((1, pins) if upright else (pins, 1)), around=1):
            return []
        outer = self.layout.unit * float(self.rng.uniform(1.85, 2.05))
        drill = outer * float(self.rng.uniform(0.5, 0.6))
        exits = []
        for pin in range(pins):
            cell = (x, y + pin) if upright else (x + pin, y)
            net = self._net()
            self.layout.pads.append(Pad(net, self._at(cell), (outer, outer), round=True, drill=drill))
            heading = int(self.rng.choice([0, 4] if upright else [2, 6]))
            exits.append((cell, heading, net))
        return exits

    def _outline(self, left: float, top: float, right: float, bottom: float) -> None:
        if right > left and bottom > top:
            self.layout.outlines.append(((left, top), (right, top), (right, bottom), (left, bottom), (left, top)))

    def _label(self, letter: str, centre: Point, height: float) -> None:
        text = f"{letter}{int(self.rng.integers(1, 100))}"
        origin = (centre[0] - 0.42 * height * len(text), centre[1] + 0.5 * height)
        self.layout.labels.append(Label(text, origin, height))

    # --- tracks -------------------------------------------------------------

    def _script(self, heading: int) -> list[int]:
        """A list of headings to follow: mostly straight, leaving and rejoining by 45 degrees."""
        headings, now = [], heading
        for step in range(int(self.rng.integers(5, 24))):
            if step and self.rng.random() < (0.4 if now != heading else 0.16):
                now = heading if now != heading else (heading + int(self.rng.choice([-1, 1]))) % 8
            headings.append(now)
        return headings

    def _can_step(self, cell: Cell, heading: int) -> bool:
        dx, dy = HEADINGS[heading]
        target = (cell[0] + dx, cell[1] + dy)
        if not self._inside(target) or self.grid[target] != _FREE:
            return False
        if not (dx and dy):
            return True
        beside = ((cell[0] + dx, cell[1]), (cell[0], cell[1] + dy))
        return frozenset(beside) not in self.diagonals and all(self.grid[b] != _SOLID for b in beside)

    def _via_fits(self, cell: Cell) -> bool:
        """No diagonal track cuts the corner next to this cell."""
        x, y = cell
        return not any(frozenset(((x + sx, y), (x, y + sy))) in self.diagonals for sx in (-1, 1) for sy in (-1, 1))

    def _walk(self, path: list[Cell], heading: int, net: int, script: list[int], via_at_start: bool = False) -> bool:
        """Follow `script` from the end of `path` as far as cells are free; end in a via."""
        for wanted in script:
            turns = [wanted, heading, (heading + 1) % 8, (heading - 1) % 8]
            allowed = [t for t in turns if (t - heading) % 8 in (0, 1, 7)]
            step = next((t for t in allowed if self._can_step(path[-1], t)), None)
            if step is None:
                break
            heading = step
            dx, dy = HEADINGS[step]
            path.append((path[-1][0] + dx, path[-1][1] + dy))
        while len(path) > 1 and not self._via_fits(path[-1]):
            path.pop()
        if len(path) < 3:
            return False
        for a, b in pairwise(path):
            self.grid[b] = max(int(self.grid[b]), _TRACK)
            if a[0] != b[0] and a[1] != b[1]:
                self.diagonals.add(frozenset((a, b)))
        straight = all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(path))
        wide = straight and self.rng.random() < 0.4
        width = self.layout.unit * float(self.rng.uniform(1.25, 1.5) if wide else self.rng.uniform(0.92, 1.08))
        if via_at_start:
            self._via(path[0], net)
        self._via(path[-1], net)
        self.layout.tracks.append(Track(net, tuple(self._at(c) for c in _corners(path)), width))
        return True

    def _bundle(self) -> None:
        """Several tracks side by side that turn together."""
        heading = int(self.rng.choice([0, 2, 4, 6]))
        script = self._script(heading)
        x, y = self._random_cell()
        sideways = HEADINGS[(heading + 2) % 8]
        for lane in range(int(self.rng.integers(2, 6))):
            start = (x + lane * sideways[0], y + lane * sideways[1])
            if not self._inside(start) or self.grid[start] != _FREE or not self._via_fits(start):
                continue
            self._walk([start], heading, self._net(), script, via_at_start=True)


def _corners(path: list[Cell]) -> list[Cell]:
    """The path's ends and the cells where it turns."""
    kept = [path[0]]
    for before, here, after in zip(path, path[1:], path[2:], strict=False):
        if (here[0] - before[0], here[1] - before[1]) != (after[0] - here[0], after[1] - here[1]):
            kept.append(here)
    return [*kept, path[-1]]


def segments(layout: Layout) -> list[tuple[Track, Point, Point, float]]:
    """Every straight piece of every track with its length."""
    return [(track, a, b, math.dist(a, b)) for track in layout.tracks for a, b in pairwise(track.points)]
