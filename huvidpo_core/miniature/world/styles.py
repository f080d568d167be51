"""The four styles: how shapes are outlined, shaded and finished."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter


@dataclass(frozen=True)
class Style:
    """What a style does. Lengths are in frame heights, strengths in shares of full brightness.

    ink: outline thickness (0: none); relief: strength and puff: width of the shading along edges (0: none); wobble: how
    far outlines wave; step: the subject moves every `step` frames; cells: rows of the coarse grid (0: none).
    """

    ink: float = 0.0
    relief: float = 0.0
    puff: float = 0.02
    wobble: float = 0.0
    step: int = 1
    cells: int = 0


STYLE = {
    "realistic": Style(relief=0.9, puff=0.034),
    "cartoon": Style(ink=0.02),
    "claymation": Style(relief=3.2, puff=0.03, wobble=0.0055, step=2),
    "pixel_art": Style(cells=40),
}
INK = (38, 28, 52)
Box = tuple[int, int, int, int]  # left, top, right, low


def shade(frame: np.ndarray, relief: Image.Image, style: Style, name: str, beat: int) -> np.ndarray:
    """Light what the relief shows from the upper left; frame float32 (3, h, w) in 0..255, changed in place.

    Channels come first: numpy is slow where it must stretch over a last axis of three. `relief` is 0 where nothing was
    painted: the frame stays as it is there, and only the box around the rest is worked on. `beat` (0 or 1) picks the
    clay's lumps.
    """
    width, height = relief.size
    painted = relief.getbbox()
    if painted is None:
        return frame
    # Each blur gets a box at whose edges it has come to nothing, and so sees what it would see of the whole picture.
    soft, (left, top, _, _) = _blurred(relief, painted, style.puff)
    slope = np.zeros_like(soft)
    slope[1:-1, 1:-1] = (soft[2:, 1:-1] - soft[:-2, 1:-1]) * 0.75 + (soft[1:-1, 2:] - soft[1:-1, :-2]) * 0.65
    inside, box = _blurred(relief, painted, 0.004)
    rows, columns = slice(box[1], box[3]), slice(box[0], box[2])
    # Slopes are per pixel: multiply by the puff's width to make them free of the picture's size.
    lit = slope[box[1] - top : box[3] - top, box[0] - left : box[2] - left]
    lit *= style.relief * style.puff * height * 0.5
    np.clip(lit, -0.55, 0.5, out=lit)
    lit *= np.minimum(inside * 1.3, 1)
    if name == "claymation":
        lit += thumbs(height, width, beat)[rows, columns] * inside
    else:
        # Light falls from above: the upper half is paler, the lower half darker.
        lit += np.linspace(0.2, -0.24, height, dtype=np.float32)[rows, None] * inside
    dimmed, lightened = 1 + np.minimum(lit, 0), np.maximum(lit, 0) * 0.8
    for plane in frame[:, rows, columns]:  # one by one, which fits a processor's cache
        plane *= dimmed
        plane += (255 - plane) * lightened
    return frame


def _blurred(relief: Image.Image, painted: Box, sigma: float) -> tuple[np.ndarray, Box]:
    """The relief blurred by `sigma` picture heights, float32 0..1, in the box around `painted` that it reaches."""
    width, height = relief.size
    reach = math.ceil(3 * (sigma * height + 1)) + 1  # three box blurs, each at most that wide
    left, top, right, low = painted
    box = max(0, left - reach), max(0, top - reach), min(width, right + reach), min(height, low + reach)
    soft = relief.crop(box).filter(ImageFilter.GaussianBlur(sigma * height))
    return np.asarray(soft, np.float32) / 255, box


@lru_cache(maxsize=16)
def thumbs(height: int, width: int, beat: int) -> np.ndarray:
    """Thumb prints and lumps in clay, float32 (height, width), about -0.2..0.2; `beat` presses them a little anew."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    lumps = np.sin(x * 17 + 2 * np.sin(y * 9 + 0.35 * beat)) * np.sin(y * 19 + 2 * np.sin(x * 11 + 1 + 0.3 * beat))
    prints = np.zeros_like(x)
    for px, py, turn in (
        (0.2, 0.25, 0.4),
        (0.62, 0.6, 1.2),
        (0.98, 0.3, 2.2),
        (1.38, 0.68, 0.8),
        (0.3, 0.84, 2.8),
        (0.95, 0.86, 0.2),
    ):
        dx, dy = x - px, y - py
        u, v = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
        prints += np.exp(-(u**2 / 0.014 + v**2 / 0.006)) * np.sin(np.hypot(u, v * 1.5) * 95)
    return (0.075 * lumps + 0.12 * prints).astype(np.float32)


@lru_cache(maxsize=8)
def lens(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The realistic camera: vignette to multiply and a still grain of sigma 1.5 to add, float32 (height, width)."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    vignette = 1.04 - 0.3 * np.clip((x**2 + y**2) - 0.45, 0, None)
    grain = np.random.default_rng(7).normal(0, 1.5, (height, width))
    return vignette, grain.astype(np.float32)


def snap(picture: Image.Image, palette: np.ndarray) -> np.ndarray:
    """Every pixel to the nearest palette colour: uint8 (h, w, 3); palette int (n, 3)."""
    pixels = np.asarray(picture, np.float32).reshape(-1, 3)
    colors = palette.astype(np.float32)
    distance = (colors**2).sum(1)[None] - 2 * pixels @ colors.T
    return palette[distance.argmin(1)].astype(np.uint8).reshape(picture.height, picture.width, 3)
