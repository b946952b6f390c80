"""Photographs a board's artwork: materials, light, lens and sensor."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from workers.training.artwork import SCALE, Artwork
from workers.training.layout import BOARD_SIZE

PICTURE_SIZE = 640

Picture = npt.NDArray[np.uint8]
_Light = npt.NDArray[np.float32]
_Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Material:
    """A board's looks; colours are blue, green, red in 0..255."""

    name: str
    base: _Colour
    copper: _Colour
    finish: _Colour
    silk: _Colour


_GOLD, _TIN, _WHITE = (105.0, 190.0, 232.0), (205.0, 208.0, 206.0), (235.0, 240.0, 238.0)

# Solder-masked boards show copper as a lighter shade of the mask; bare etched panels show the metal itself.
MATERIALS = (
    Material("green mask, gold", (38, 72, 14), (82, 156, 52), _GOLD, _WHITE),
    Material("green mask, tin", (34, 60, 18), (74, 142, 66), _TIN, _WHITE),
    Material("blue mask", (92, 40, 14), (196, 118, 52), _TIN, _WHITE),
    Material("red mask", (20, 16, 104), (58, 66, 206), _GOLD, _WHITE),
    Material("black mask", (26, 24, 24), (96, 98, 92), _GOLD, _WHITE),
    Material("purple mask", (70, 18, 58), (152, 72, 136), _GOLD, _WHITE),
    Material("bare copper", (58, 86, 92), (112, 158, 226), (128, 176, 236), (190, 205, 205)),
    Material("bare copper on dark laminate", (34, 44, 46), (92, 140, 206), (104, 154, 216), (176, 190, 190)),
)


@dataclass(frozen=True)
class Shot:
    """One camera setting: a homography from board to picture pixels and what else happens to the light."""

    homography: npt.NDArray[np.float64]

    def project(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Board points (N, 2) to picture points (N, 2)."""
        return cv2.perspectiveTransform(points[None].astype(np.float64), self.homography)[0]


def aim(rng: np.random.Generator) -> Shot:
    """A camera almost straight above, slightly turned, tilted, shifted and zoomed."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64) * (PICTURE_SIZE - 1)
    middle = (PICTURE_SIZE - 1) / 2
    angle = np.deg2rad(rng.uniform(-2.5, 2.5))
    zoom = rng.uniform(0.97, 1.06)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    seen = (corners - middle) @ turn.T / zoom
    seen += rng.uniform(-7, 7, (4, 2)) + rng.uniform(-10, 10, 2) + (BOARD_SIZE - 1) / 2
    homography = cv2.getPerspectiveTransform(seen.astype(np.float32), corners.astype(np.float32))
    return Shot(homography.astype(np.float64))


def pick_material(rng: np.random.Generator) -> Material:
    """One of `MATERIALS`, all equally likely."""
    return MATERIALS[int(rng.integers(len(MATERIALS)))]


def photograph(art: Artwork, shot: Shot, material: Material, rng: np.random.Generator) -> Picture:
    """Take the picture: (PICTURE_SIZE, PICTURE_SIZE, 3) uint8, blue-green-red."""
    copper, openings, drills, silk = _look(art, shot)
    picture = _paint(material, copper, openings, drills, silk, rng)
    return _expose(picture, rng)


def _look(art: Artwork, shot: Shot) -> list[_Light]:
    """Each mask as the camera sees it, in 0..1."""
    to_board = np.array([[1 / SCALE, 0, 0.5 / SCALE - 0.5], [0, 1 / SCALE, 0.5 / SCALE - 0.5], [0, 0, 1]])
    layers = cv2.merge([art.copper, art.openings, art.drills, art.silk])
    seen = cv2.warpPerspective(layers, shot.homography @ to_board, (PICTURE_SIZE, PICTURE_SIZE), flags=cv2.INTER_LINEAR)
    return [layer.astype(np.float32) / 255 for layer in cv2.split(seen)]


def _paint(
    material: Material,
    copper: _Light,
    openings: _Light,
    drills: _Light,
    silk: _Light,
    rng: np.random.Generator,
) -> _Light:
    def shade(colour: _Colour, spread: float = 7.0) -> _Light:
        return (np.asarray(colour) + rng.normal(0, spread, 3)).astype(np.float32)

    size = PICTURE_SIZE
    ys, xs = np.mgrid[0:size, 0:size].astype(np.float32)
    weave = np.sin(xs * rng.uniform(0.5, 0.8)) * np.sin(ys * rng.uniform(0.5, 0.8)) * rng.uniform(0, 3)
    cloud = _cloud(rng, 24)
    picture: _Light = np.broadcast_to(shade(material.base), (size, size, 3)).astype(np.float32)
    picture += weave[..., None] + (cloud * rng.uniform(1, 4))[..., None]

    # Etched copper stands above the laminate: its edges catch light on one side and shade the other.
    relief = cv2.GaussianBlur(copper, (0, 0), 1.0)
    slope = np.roll(relief, 2, (0, 1)) - np.roll(relief, -2, (0, 1))
    _cover(picture, shade(material.copper) + (cloud * rng.uniform(2, 7))[..., None], copper)
    _cover(picture, shade(material.finish) + (_cloud(rng, 60) * rng.uniform(2, 8))[..., None], openings * copper)
    picture += (slope * rng.uniform(-16, 16))[..., None]
    _cover(picture, shade(material.silk, 4), silk * (1 - openings) * 0.92)
    _cover(picture, shade((16, 15, 15), 3), drills)
    return picture


def _cover(picture: _Light, colour: _Light, layer: _Light) -> None:
    """Paint `colour` over `picture` as thickly as `layer` says."""
    picture += (colour - picture) * layer[..., None]


def _cloud(rng: np.random.Generator, cells: int) -> _Light:
    """Smooth noise of about unit strength."""
    coarse = rng.normal(0, 1, (cells, cells)).astype(np.float32)
    return cv2.resize(coarse, (PICTURE_SIZE, PICTURE_SIZE), interpolation=cv2.INTER_CUBIC)


def _expose(picture: _Light, rng: np.random.Generator) -> Picture:
    """Uneven light, a soft highlight, white balance, focus, sensor noise."""
    size = PICTURE_SIZE
    ys, xs = (np.mgrid[0:size, 0:size].astype(np.float32) / size) - 0.5
    angle, fall = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.35)
    light = 1 + fall * (np.cos(angle) * xs + np.sin(angle) * ys) - rng.uniform(0, 0.35) * (xs**2 + ys**2)
    at_x, at_y = rng.uniform(-0.5, 0.5, 2)
    spread = rng.uniform(0.15, 0.4)
    glow = np.exp(-((xs - at_x) ** 2 + (ys - at_y) ** 2) / (2 * spread**2)) * rng.uniform(0, 26)
    balance = rng.normal(1, 0.035, 3).astype(np.float32)
    picture = picture * light[..., None] * balance * float(rng.uniform(0.85, 1.18)) + glow[..., None]
    blur = float(rng.uniform(0.0, 0.9))
    if blur > 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    noise = rng.standard_normal((size, size, 3), np.float32) * float(rng.uniform(1.0, 5.0))
    return np.clip(picture + noise, 0, 255).astype(np.uint8)
