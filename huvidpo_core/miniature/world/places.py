"""The eight places: one fixed composition each, by day and by night."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .canvas import ASPECT, Canvas, Color, Shape, blob, ellipse, limb, polygon
from .palette import dark, light, mix, night

Tone = Callable[[Color], Color]  # a colour as it looks at the hour

# Sky colours from the top to the horizon, and the height of the horizon.
_SKIES: dict[str, tuple[Color, Color, Color, Color, float]] = {
    "mountains": ((74, 150, 226), (196, 228, 250), (26, 34, 92), (86, 96, 168), 0.72),
    "city": ((250, 178, 150), (255, 226, 190), (44, 26, 92), (150, 74, 140), 0.78),
    "beach": ((40, 176, 232), (178, 240, 246), (16, 46, 104), (58, 122, 164), 0.56),
    "forest": ((150, 214, 170), (226, 244, 196), (14, 58, 66), (62, 124, 112), 0.72),
    "desert": ((255, 186, 104), (255, 240, 196), (62, 26, 84), (196, 92, 96), 0.66),
    "snow": ((176, 194, 236), (236, 238, 252), (52, 50, 118), (136, 134, 196), 0.62),
    "meadow": ((112, 200, 250), (220, 246, 255), (22, 48, 116), (76, 120, 176), 0.66),
    "moon": ((74, 52, 122), (140, 108, 184), (22, 14, 52), (66, 48, 108), 0.70),
}
_STARS = ((0.14, 0.26, 0.016), (0.42, 0.09, 0.02), (0.66, 0.2, 0.014), (0.97, 0.08, 0.016), (1.46, 0.36, 0.016))


def sky(place: str, time: str, width: int, height: int) -> np.ndarray:
    """The empty sky of a place, uint8 (height, width, 3): a vertical gradient down to the horizon."""
    day_top, day_low, night_top, night_low, horizon = _SKIES[place]
    top, low = (day_top, day_low) if time == "day" else (night_top, night_low)
    share = np.clip((np.arange(height) + 0.5) / height / horizon, 0, 1)[:, None, None]
    column = np.array(top) + (np.array(low) - np.array(top)) * share
    return np.broadcast_to(column.round().astype(np.uint8), (height, width, 3)).copy()


def draw_place(canvas: Canvas, place: str, time: str) -> None:
    """Paint everything of the place that stands before its sky."""
    tone = (lambda color: color) if time == "day" else night
    if place != "moon":
        _sun_or_moon(canvas, time)
    _PLACES[place](canvas, tone, time)


def _sun_or_moon(canvas: Canvas, time: str) -> None:
    x, y = 1.34, 0.17
    if time == "day":
        canvas.paint((255, 250, 210), ellipse(x, y, 0.135), alpha=90)
        canvas.paint((255, 240, 130), ellipse(x, y, 0.09), ink=False)
        return
    canvas.paint((200, 210, 250), ellipse(x, y, 0.13), alpha=50)
    canvas.paint((250, 244, 214), ellipse(x, y, 0.085), ink=False)
    canvas.paint((226, 218, 190), ellipse(x - 0.025, y + 0.02, 0.025), ellipse(x + 0.03, y - 0.025, 0.02), ink=False)
    for sx, sy, r in _STARS:
        canvas.paint((255, 246, 196), _star(sx, sy, r * 1.7), ink=False)


def _star(x: float, y: float, r: float) -> Shape:
    reach = [(i * np.pi / 4, r if i % 2 == 0 else 0.42 * r) for i in range(8)]
    return polygon(*((x + k * np.sin(a), y - k * np.cos(a)) for a, k in reach))


def _hills(*tops: tuple[float, float]) -> Shape:
    """Rolling ground: a smooth line through the tops, filled to the bottom."""
    x, y = zip(*tops, strict=True)
    at = np.linspace(-0.1, ASPECT + 0.1, 60)
    ends = np.interp(at, x, y)
    smooth = np.convolve(np.pad(ends, 4, mode="edge"), np.ones(9) / 9, "valid")
    return polygon(*zip(at, smooth, strict=True), (ASPECT + 0.1, 1.1), (-0.1, 1.1))


def _cloud(x: float, y: float, r: float) -> Shape:
    return [
        *ellipse(x, y, r * 1.9, r * 0.62),
        *ellipse(x - r * 0.7, y - r * 0.35, r * 0.75),
        *ellipse(x + r * 0.4, y - r * 0.6, r),
    ]


def _mountains(c: Canvas, tone: Tone, time: str) -> None:
    rock, far, snow = tone((112, 104, 156)), tone((158, 166, 208)), mix(tone((248, 250, 255)), (255, 255, 255), 0.25)
    c.paint(far, polygon((0.36, 0.8), (0.8, 0.3), (1.22, 0.8)))
    for x, top, half in ((0.24, 0.16, 0.46), (1.36, 0.24, 0.42)):
        slope = 0.68 / half
        c.paint(rock, polygon((x - half, top + 0.68), (x, top), (x + half, top + 0.68)))
        c.paint(
            dark(rock, 0.22),
            polygon((x, top), (x + half, top + 0.68), (x + 0.06, top + 0.68), (x - 0.04, top + 0.3)),
            ink=False,
        )
        d = 0.26 / slope
        c.paint(
            snow,
            polygon(
                (x, top),
                (x + d, top + 0.26),
                (x + d * 0.5, top + 0.2),
                (x + 0.02, top + 0.29),
                (x - d * 0.45, top + 0.19),
                (x - d, top + 0.26),
            ),
            ink=False,
        )
    c.paint(tone((92, 160, 92)), _hills((-0.1, 0.68), (0.4, 0.78), (0.9, 0.74), (1.7, 0.66)))
    c.paint(tone((122, 188, 96)), _hills((-0.1, 0.86), (0.5, 0.8), (1.2, 0.82), (1.7, 0.88)))


def _city(c: Canvas, tone: Tone, time: str) -> None:
    far, near = tone((214, 158, 166)), tone((116, 118, 160))
    lit = (255, 218, 110) if time == "night" else (226, 232, 246)
    for x, top, w in ((0.3, 0.34, 0.16), (0.52, 0.46, 0.16), (0.72, 0.3, 0.14), (0.92, 0.44, 0.16), (1.14, 0.36, 0.16)):
        c.paint(far, polygon((x, top), (x + w, top), (x + w, 0.85), (x, 0.85)))
    for x, top, w in ((-0.02, 0.14, 0.26), (0.24, 0.4, 0.19), (1.14, 0.46, 0.2), (1.34, 0.26, 0.28)):
        c.paint(near, polygon((x, top), (x + w, top), (x + w, 0.85), (x, 0.85)))
        for row in np.arange(top + 0.07, 0.72, 0.135):
            for column in np.arange(x + 0.035, x + w - 0.06, 0.098):
                c.paint(
                    lit,
                    polygon((column, row), (column + 0.055, row), (column + 0.055, row + 0.075), (column, row + 0.075)),
                    ink=False,
                )
    c.paint(tone((168, 168, 184)), polygon((-0.1, 0.78), (1.7, 0.78), (1.7, 1.1), (-0.1, 1.1)))
    c.paint(tone((98, 98, 118)), polygon((-0.1, 0.84), (1.7, 0.84), (1.7, 1.1), (-0.1, 1.1)))
    for x in (0.06, 0.46, 0.86, 1.26):
        c.paint(tone((244, 232, 190)), polygon((x, 0.94), (x + 0.2, 0.94), (x + 0.2, 0.97), (x, 0.97)), ink=False)


def _beach(c: Canvas, tone: Tone, time: str) -> None:
    c.paint(tone((24, 128, 196)), polygon((-0.1, 0.54), (1.7, 0.54), (1.7, 0.9), (-0.1, 0.9)))
    c.paint(tone((54, 184, 214)), polygon((-0.1, 0.64), (1.7, 0.64), (1.7, 0.9), (-0.1, 0.9)), ink=False)
    c.paint(tone((250, 252, 250)), _hills((-0.1, 0.71), (0.4, 0.74), (0.9, 0.70), (1.7, 0.75)))
    c.paint(tone((248, 220, 150)), _hills((-0.1, 0.74), (0.4, 0.77), (0.9, 0.73), (1.7, 0.78)))
    trunk = tone((150, 100, 60))
    c.paint(trunk, limb([(0.1, 0.88), (0.13, 0.62), (0.22, 0.38), (0.25, 0.3)], [0.075, 0.06, 0.045, 0.04]))
    leaf = tone((40, 160, 84))
    for a, shade in ((-2.9, 0.2), (-0.3, 0.2), (2.5, 0.0), (0.6, 0.0), (-1.2, 0.1), (-2.1, 0.1)):
        dx, dy = np.cos(a) * 0.22, np.sin(a) * 0.17
        c.paint(
            dark(leaf, shade),
            blob(
                (0.25, 0.27),
                (0.25 + dx * 0.5 + dy * 0.2, 0.25 + dy * 0.6 - 0.055),
                (0.25 + dx, 0.29 + dy + 0.02),
                (0.25 + dx * 0.5, 0.31 + dy * 0.5),
            ),
        )


def _forest(c: Canvas, tone: Tone, time: str) -> None:
    c.paint(tone((150, 204, 156)), *(_pine(x, 0.3, 0.34, 0.6) for x in (0.52, 0.8, 1.1)))
    c.paint(tone((112, 150, 74)), _hills((-0.1, 0.78), (0.5, 0.74), (1.1, 0.75), (1.7, 0.79)))
    for x, top, half in ((0.36, 0.2, 0.17), (1.3, 0.22, 0.17), (0.1, 0.02, 0.24), (1.54, 0.0, 0.24)):
        c.paint(tone((96, 66, 46)), polygon((x - 0.035, 0.6), (x + 0.035, 0.6), (x + 0.045, 0.86), (x - 0.045, 0.86)))
        for k in (2, 1, 0):
            c.paint(
                tone(mix((26, 110, 62), (70, 168, 84), k * 0.25 if top > 0.1 else k * 0.15)),
                _tier(x, top + k * 0.19, half * (0.62 + k * 0.19), 0.29),
            )
    c.paint(tone((84, 128, 62)), _hills((-0.1, 0.85), (0.5, 0.88), (1.1, 0.88), (1.7, 0.84)), ink=False)


def _pine(x: float, top: float, half: float, height: float) -> Shape:
    return polygon((x, top), (x + half / 2, top + height), (x - half / 2, top + height))


def _tier(x: float, top: float, half: float, height: float) -> Shape:
    return polygon(
        (x, top),
        (x + half, top + height),
        (x + half * 0.3, top + height - 0.03),
        (x - half * 0.3, top + height - 0.03),
        (x - half, top + height),
    )


def _desert(c: Canvas, tone: Tone, time: str) -> None:
    mesa = tone((214, 112, 70))
    for x, w, top in ((0.34, 0.27, 0.38), (1.28, 0.2, 0.46)):
        c.paint(mesa, polygon((x - w, 0.8), (x - w * 0.75, top), (x + w * 0.75, top), (x + w, 0.8)))
        c.paint(
            dark(mesa, 0.18),
            polygon((x + w * 0.15, top), (x + w * 0.75, top), (x + w, 0.8), (x + w * 0.3, 0.8)),
            ink=False,
        )
        c.paint(
            light(mesa, 0.25),
            polygon(
                (x - w * 0.8, top + 0.07),
                (x + w * 0.8, top + 0.07),
                (x + w * 0.84, top + 0.115),
                (x - w * 0.84, top + 0.115),
            ),
            ink=False,
        )
    c.paint(tone((240, 170, 92)), _hills((-0.1, 0.62), (0.4, 0.72), (1.0, 0.66), (1.7, 0.72)))
    c.paint(tone((250, 192, 110)), _hills((-0.1, 0.84), (0.5, 0.76), (1.1, 0.82), (1.7, 0.74)))
    green = tone((60, 140, 84))
    for x, y, s in ((0.14, 0.88, 1.0), (1.48, 0.84, 0.86)):
        c.paint(
            green,
            limb([(x, y), (x, y - 0.42 * s)], 0.085 * s),
            limb([(x, y - 0.14 * s), (x - 0.1 * s, y - 0.16 * s), (x - 0.1 * s, y - 0.29 * s)], 0.055 * s),
            limb([(x, y - 0.2 * s), (x + 0.1 * s, y - 0.22 * s), (x + 0.1 * s, y - 0.34 * s)], 0.055 * s),
        )


def _snow(c: Canvas, tone: Tone, time: str) -> None:
    white = mix(tone((244, 247, 255)), (255, 255, 255), 0.1)
    c.paint(tone((206, 214, 240)), _hills((-0.1, 0.5), (0.5, 0.62), (1.0, 0.54), (1.7, 0.6)))
    for x, top in ((0.5, 0.36), (1.14, 0.38)):
        _snowy_fir(c, tone, white, x, top, 0.11, 0.36)
    c.paint(white, _hills((-0.1, 0.72), (0.6, 0.76), (1.0, 0.72), (1.7, 0.68)))
    for x, top in ((0.16, 0.18), (1.46, 0.26)):
        _snowy_fir(c, tone, white, x, top, 0.19, 0.66 if x < 1 else 0.58)
    c.paint(
        mix(white, tone((196, 208, 240)), 0.5), _hills((-0.1, 0.9), (0.5, 0.86), (1.1, 0.9), (1.7, 0.84)), ink=False
    )


def _snowy_fir(c: Canvas, tone: Tone, white: Color, x: float, top: float, half: float, height: float) -> None:
    c.paint(tone((104, 78, 66)), limb([(x, top + height * 0.8), (x, top + height)], half * 0.3))
    for k in (2, 1, 0):
        y, w = top + k * height * 0.26, half * (0.6 + 0.2 * k)
        c.paint(tone((56, 124, 132)), _tier(x, y, w, height * 0.38))
        c.paint(
            white,
            polygon(
                (x, y),
                (x + w * 0.66, y + height * 0.25),
                (x + w * 0.2, y + height * 0.19),
                (x - w * 0.2, y + height * 0.26),
                (x - w * 0.66, y + height * 0.23),
            ),
            ink=False,
        )


def _meadow(c: Canvas, tone: Tone, time: str) -> None:
    cloud = mix((255, 255, 255), (96, 116, 176), 0.0 if time == "day" else 0.62)
    c.paint(cloud, _cloud(0.3, 0.24, 0.1), _cloud(0.96, 0.13, 0.07), ink=False)
    c.paint(tone((120, 204, 120)), _hills((-0.1, 0.62), (0.4, 0.54), (0.9, 0.66), (1.7, 0.54)))
    bark, leaf = tone((140, 92, 58)), tone((66, 160, 70))
    c.paint(bark, limb([(1.44, 0.72), (1.44, 0.5)], 0.065))
    c.paint(leaf, ellipse(1.44, 0.42, 0.13), ellipse(1.36, 0.48, 0.1), ellipse(1.53, 0.48, 0.1))
    c.paint(tone((146, 218, 84)), _hills((-0.1, 0.72), (0.5, 0.77), (1.1, 0.7), (1.7, 0.76)))
    c.paint(tone((112, 196, 70)), _hills((-0.1, 0.84), (0.5, 0.88), (1.1, 0.86), (1.7, 0.84)), ink=False)
    for x, y, color in (
        (0.1, 0.8, (255, 110, 130)),
        (0.3, 0.93, (255, 250, 250)),
        (1.3, 0.93, (255, 110, 130)),
        (1.5, 0.82, (255, 250, 250)),
    ):
        petals = [
            ellipse(x + 0.036 * np.cos(a), y + 0.036 * np.sin(a), 0.03) for a in np.arange(5) * 2 * np.pi / 5 - 1.57
        ]
        c.paint(tone((60, 140, 60)), limb([(x, y), (x, y + 0.12)], 0.025), ink=False)
        c.paint(tone(color), *petals)
        c.paint(tone((255, 206, 60)), ellipse(x, y, 0.024), ink=False)


def _moon(c: Canvas, tone: Tone, time: str) -> None:
    for x, y, r in (*_STARS, (0.2, 0.5, 0.014)):
        c.paint((255, 246, 206), _star(x, y, r * 1.7), ink=False)
    earth = (58, 140, 226) if time == "day" else (44, 104, 186)
    c.paint((170, 200, 255), ellipse(1.32, 0.2, 0.165), alpha=60)
    c.paint(earth, ellipse(1.32, 0.2, 0.13))
    c.paint(
        (86, 190, 110),
        blob((1.24, 0.14), (1.32, 0.11), (1.36, 0.17), (1.3, 0.22), (1.27, 0.2)),
        blob((1.34, 0.24), (1.41, 0.2), (1.42, 0.25), (1.36, 0.3)),
        ink=False,
    )
    ground = tone((196, 192, 206))
    c.paint(dark(ground, 0.2), _hills((-0.1, 0.6), (0.3, 0.5), (0.7, 0.7), (1.2, 0.6), (1.7, 0.68)))
    c.paint(ground, _hills((-0.1, 0.74), (0.5, 0.7), (1.1, 0.74), (1.7, 0.7)))
    for x, y, r in ((0.2, 0.8, 0.13), (1.44, 0.82, 0.12), (0.56, 0.93, 0.1), (1.06, 0.94, 0.11), (1.3, 0.72, 0.06)):
        c.paint(light(ground, 0.25), ellipse(x, y, r, r * 0.36), ink=False)
        c.paint(dark(ground, 0.28), ellipse(x, y + 0.008, r * 0.82, r * 0.25), ink=False)


_PLACES: dict[str, Callable[[Canvas, Tone, str], None]] = {
    "mountains": _mountains,
    "city": _city,
    "beach": _beach,
    "forest": _forest,
    "desert": _desert,
    "snow": _snow,
    "meadow": _meadow,
    "moon": _moon,
}
