"""Three actions that base training never sees: for trying few-shot motion learning.

Every function paints around (0, 0) in frame heights, facing right, at time `t` in frames; the ground lies at y = 0.38.
"""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, Color, Shape, blob, ellipse, limb, polygon
from .palette import dark, light
from .scene import Scene

_BEAT = 2 * np.pi / 8  # radians a frame: one turn in 8 frames, a second


def ball_bounce(c: Canvas, scene: Scene, color: Color, t: float) -> None:
    """A big ball that bounces once in 16 frames, flattened where it meets the ground; at t = 0 it is at the top."""
    u = (t / 16 + 0.5) % 1
    height = 0.4 * 4 * u * (1 - u)
    flat = 0.24 * max(0.0, 1 - height / 0.08)
    r = 0.2
    c.paint((24, 20, 40), ellipse(0, 0.385, 0.22 - 0.2 * height, 0.034 - 0.03 * height), alpha=80)
    with c.at(0, 0.38 - r * (1 - flat) - height):
        rx, ry = r * (1 + 0.7 * flat), r * (1 - flat)
        c.paint(color, ellipse(0, 0, rx, ry))
        band = dark(color, 0.4) if sum(color) > 240 else light(color, 0.3)
        bow = [(x * rx, (0.3 + 0.2 * (1 - x * x)) * ry) for x in np.linspace(-0.8, 0.8, 9)]
        c.paint(band, limb(bow, 0.05), ink=False)
        c.paint(light(color, 0.6), ellipse(-0.4 * rx, -0.45 * ry, 0.055, 0.036, -0.5), ink=False)


def flag_wave(c: Canvas, scene: Scene, color: Color, t: float) -> None:
    """A flag on a pole; two waves run through the cloth, away from the pole, each in 8 frames."""
    c.paint((24, 20, 40), ellipse(-0.36, 0.39, 0.12, 0.025), alpha=70)
    c.paint((150, 154, 172), limb([(-0.36, 0.38), (-0.36, -0.42)], 0.045))
    c.paint((250, 206, 80), ellipse(-0.36, -0.44, 0.042))
    across = np.linspace(0, 1, 25)
    wave = 0.06 * across**0.7 * np.sin(across * 2.6 * np.pi - _BEAT * t)

    def strip(first: int, last: int, top: float, low: float) -> Shape:
        x = -0.34 + 0.78 * across[first:last]
        upper = zip(x, -0.38 + top + wave[first:last], strict=True)
        lower = zip(x[::-1], -0.38 + low + wave[first:last][::-1], strict=True)
        return polygon(*upper, *lower)

    c.paint(color, strip(0, 25, 0.0, 0.44))
    fold = dark(color, 0.22) if sum(color) > 240 else light(color, 0.2)
    slope = np.cos(across * 2.6 * np.pi - _BEAT * t)
    falling = np.flatnonzero(slope > 0.3)
    for run in np.split(falling, np.flatnonzero(np.diff(falling) > 1) + 1):
        if len(run) > 1:
            c.paint(fold, strip(run[0], run[-1] + 1, 0.0, 0.44), ink=False)
    c.paint(light(color, 0.6), strip(0, 25, 0.17, 0.27), ink=False)


def fish_swim(c: Canvas, scene: Scene, color: Color, t: float) -> None:
    """A fish in a round bowl; its tail beats once in 8 frames, three bubbles rise, it sways forward and back in 16."""
    water = (96, 190, 236) if scene.time == "day" else (48, 104, 176)
    c.paint((24, 20, 40), ellipse(0, 0.39, 0.34, 0.035), alpha=70)
    c.paint((214, 232, 244), ellipse(0, 0.0, 0.45, 0.4))
    c.paint(
        water,
        blob(
            (-0.4, -0.14),
            (0.0, -0.16),
            (0.4, -0.14),
            (0.42, 0.1),
            (0.24, 0.32),
            (0, 0.375),
            (-0.24, 0.32),
            (-0.42, 0.1),
        ),
        ink=False,
    )
    c.paint((232, 206, 150), blob((-0.26, 0.29), (0.0, 0.25), (0.26, 0.29), (0.14, 0.36), (-0.14, 0.36)), ink=False)
    for x, lag in ((0.3, 0.0), (0.24, 5.0), (0.33, 10.0)):
        rise = ((t + lag) % 16) / 16
        c.paint((226, 244, 255), ellipse(x, 0.22 - 0.3 * rise, 0.022 + 0.012 * rise), ink=False)
    beat = np.sin(_BEAT * t)
    fin = dark(color, 0.25) if sum(color) > 240 else light(color, 0.2)
    with c.at(0.02 + 0.03 * np.sin(_BEAT / 2 * t), 0.06 + 0.012 * beat, turn=0.04 * beat):
        c.paint(fin, blob((-0.14, 0.0), (-0.3, -0.11 + 0.09 * beat), (-0.26, 0.06 * beat), (-0.3, 0.11 + 0.09 * beat)))
        c.paint(fin, blob((-0.1, -0.08), (-0.06, -0.19), (0.07, -0.16), (0.08, -0.08)))
        c.paint(color, blob((-0.2, 0.0), (-0.08, -0.12), (0.1, -0.12), (0.22, 0.0), (0.1, 0.12), (-0.08, 0.12)))
        c.paint(light(color, 0.5), blob((0.0, 0.06), (0.12, 0.05), (0.08, 0.1), (-0.04, 0.105)), ink=False)
        c.paint(fin, blob((0.03, 0.02), (-0.09, 0.0 - 0.03 * beat), (-0.1, 0.07 - 0.03 * beat), (0.0, 0.06)), ink=False)
        c.paint((255, 255, 255), ellipse(0.125, -0.035, 0.036), ink=False)
        c.paint((24, 20, 30), ellipse(0.133, -0.033, 0.02), ink=False)
