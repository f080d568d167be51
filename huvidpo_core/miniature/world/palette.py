"""The world's colours."""

from __future__ import annotations

from .canvas import Color

PAINT: dict[str, Color] = {
    "red": (222, 40, 46),
    "orange": (250, 136, 22),
    "yellow": (255, 216, 44),
    "green": (44, 172, 70),
    "blue": (38, 96, 226),
    "purple": (140, 58, 204),
    "pink": (255, 122, 184),
    "white": (248, 248, 244),
    "black": (44, 44, 54),
    "brown": (134, 80, 42),
}


def mix(a: Color, b: Color, share: float) -> Color:
    """`a` with `share` (0..1) of `b` in it."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))


def dark(color: Color, share: float = 0.3) -> Color:
    """A shade of the colour."""
    return mix(color, (24, 16, 52), share)


def light(color: Color, share: float = 0.35) -> Color:
    """A tint of the colour."""
    return mix(color, (255, 255, 255), share)


def night(color: Color) -> Color:
    """The colour under the moon: darker and bluer, never black."""
    r, g, b = color
    return round(r * 0.36 + 14), round(g * 0.40 + 20), round(b * 0.48 + 44)
