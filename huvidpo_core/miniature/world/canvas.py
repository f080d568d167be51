"""Shapes in frame coordinates, and the canvas that paints them.

Frame coordinates: x 0..1.6 from left to right, y 0..1 from top to bottom, whatever the size in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

ASPECT = 1.6
Shape = list[np.ndarray]  # polygons (n, 2)
Color = tuple[int, int, int]


def polygon(*points: tuple[float, float]) -> Shape:
    """One polygon through the points."""
    return [np.asarray(points, dtype=np.float64)]


def ellipse(cx: float, cy: float, rx: float, ry: float | None = None, angle: float = 0.0) -> Shape:
    """An ellipse (a circle without `ry`), turned by `angle` radians."""
    points = _circle(30 if rx > 0.04 else 14) * (rx, rx if ry is None else ry)
    if angle:
        points = points @ _turn(angle)
    return [points + np.array([cx, cy])]


def blob(*points: tuple[float, float]) -> Shape:
    """A smooth closed curve (Catmull-Rom) through the points."""
    p = np.asarray(points, dtype=np.float64)
    corners = np.stack([np.roll(p, 1, 0), p, np.roll(p, -1, 0), np.roll(p, -2, 0)], axis=1)  # (n, 4, 2)
    return [(_spline(6) @ corners).reshape(-1, 2)]


def limb(points: list[tuple[float, float]], widths: list[float] | float) -> Shape:
    """A chain of tapering segments with round joints; `widths` are full widths at the points."""
    p = np.asarray(points, dtype=np.float64)
    w = np.broadcast_to(np.asarray(widths, dtype=np.float64), len(p)) / 2
    d = np.diff(p, axis=0)
    normal = np.stack([-d[:, 1], d[:, 0]], axis=1) / np.maximum(np.hypot(d[:, 0], d[:, 1]), 1e-9)[:, None]
    a, b = normal * w[:-1, None], normal * w[1:, None]
    quads = np.stack([p[:-1] + a, p[1:] + b, p[1:] - b, p[:-1] - a], axis=1)
    return [*quads, *(_circle(14) * r + c for c, r in zip(p, w, strict=True))]


class Canvas:
    """Collects painted shapes, then draws them on `image` in order.

    `image` is an RGB picture, supersampled by `factor`. With `shaded`, a picture of the relief is drawn beside it, at
    the final size, one byte a pixel: 0 where nothing is painted, dark along the edges of every shape, bright inside;
    styles shade by it. `wobble` (frame heights) makes outlines wave, `phase` (radians) shifts the waves.
    """

    def __init__(
        self, image: Image.Image, factor: int, *, shaded: bool = False, wobble: float = 0.0, phase: float = 0.0
    ) -> None:
        self.image, self.factor, self.shaded = image, factor, shaded
        self.unit = np.array([image.width / ASPECT, image.height])  # pixels for one frame height, both ways
        self.relief = Image.new("L", (image.width // factor, image.height // factor))
        self._matrix, self._origin = np.eye(2), np.zeros(2)
        self._wobble, self._phase = wobble, phase
        self._jobs: list[tuple[Color, int, list[np.ndarray], bool]] = []

    @contextmanager
    def at(
        self, x: float = 0.0, y: float = 0.0, *, turn: float = 0.0, scale: float = 1.0, flip: bool = False
    ) -> Iterator[None]:
        """Paint inside the block around (x, y), turned by radians, scaled, mirrored."""
        before = self._matrix, self._origin
        self._origin = np.array([x, y]) @ self._matrix + self._origin
        self._matrix = np.diag([-scale if flip else scale, scale]) @ self._matrix
        self._matrix = _turn(turn) @ self._matrix
        yield
        self._matrix, self._origin = before

    def paint(self, color: Color, *shapes: Shape, alpha: int = 255, ink: bool = True) -> None:
        """Paint shapes that belong together (one outline around all of them).

        `ink=False` is for surface marks: no outline, no relief of their own.
        """
        polygons = [self._place(points) for shape in shapes for points in shape]
        self._jobs.append((color, alpha, polygons, ink and alpha == 255))

    def colors(self) -> list[Color]:
        """The opaque colours painted since the last `draw`."""
        return sorted({color for color, alpha, _, _ in self._jobs if alpha == 255})

    def draw(
        self, *, ink: float = 0.0, ink_color: Color = (0, 0, 0), rim: float = 0.0, rim_color: Color = (255, 255, 255)
    ) -> None:
        """Draw everything painted since the last call; `ink` and `rim` are outline thicknesses in frame heights.

        The ink runs around every shape, the rim around all of them together.
        """
        pen, relief = ImageDraw.Draw(self.image, "RGBA"), ImageDraw.Draw(self.relief)
        if rim:
            for _, _, polygons, outlined in self._jobs:
                if outlined:
                    _fill(pen, [_grown(points, rim * self.unit[1]) for points in polygons], rim_color)
        for color, alpha, polygons, outlined in self._jobs:
            if outlined and ink:
                _fill(pen, [_grown(points, ink * self.unit[1]) for points in polygons], ink_color)
            _fill(pen, polygons, color if alpha == 255 else (*color, alpha))
            if outlined and self.shaded:
                small = [points / self.factor for points in polygons]
                _fill(relief, [_grown(points, 0.01 * self.relief.height) for points in small], 110)
                _fill(relief, small, 255)
        self._jobs.clear()

    def _place(self, points: np.ndarray) -> np.ndarray:
        placed = points @ self._matrix + self._origin
        if self._wobble:
            # A slow wave pushes the outline in and out: rounded lumps, the same for all that lies close together.
            placed = placed + self._wobble * np.sin(placed[:, ::-1] * 26 + (self._phase, 1.7 + self._phase))
        return placed * self.unit


def _grown(points: np.ndarray, by: float) -> np.ndarray:
    """A polygon (n, 2) pushed outwards by `by` pixels, its corners cut where they are sharp."""
    after = np.concatenate([points[1:], points[:1]])
    edge = after - points
    x, y = points.T
    around = 1.0 if float(x @ after[:, 1] - y @ after[:, 0]) > 0 else -1.0
    length = np.maximum(np.hypot(edge[:, 0], edge[:, 1]), 1e-6)
    normal = np.stack([edge[:, 1], -edge[:, 0]], 1) * (around / length)[:, None]
    corner = normal + np.concatenate([normal[-1:], normal[:-1]])
    return points + corner * (by / np.maximum((corner**2).sum(1) / 2, 0.7))[:, None]


def _fill(pen: ImageDraw.ImageDraw, polygons: list[np.ndarray], fill: int | tuple[int, ...]) -> None:
    for points in polygons:
        pen.polygon(points.ravel().tolist(), fill=fill)


@lru_cache(maxsize=8)
def _circle(count: int) -> np.ndarray:
    angles = np.arange(count) * (2 * np.pi / count)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@lru_cache(maxsize=8)
def _spline(steps: int) -> np.ndarray:
    """Catmull-Rom weights (steps, 4) of four neighbouring points."""
    t = np.arange(steps)[:, None] / steps
    weights = [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]
    return 0.5 * np.concatenate(weights, axis=1)


def _turn(angle: float) -> np.ndarray:
    """Matrix that turns row vectors clockwise on the screen by `angle` radians."""
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
