"""The animals of the world: the horse that gallops, and the birds.

Every function paints around (0, 0) in frame heights, facing right, at time `t` in frames; the ground lies at y = 0.38.
"""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, Color, blob, ellipse, limb, polygon
from .palette import dark, light
from .scene import Scene

_BEAT = 2 * np.pi / 8  # radians a frame: one turn in 8 frames, a second


def horse_run(c: Canvas, scene: Scene, color: Color, t: float) -> None:
    """A galloping horse, one stride in 8 frames, and dust that passes on the ground, 6 px a frame (height 160)."""
    a = _BEAT * t
    bob = 0.018 * np.sin(a)
    c.paint((24, 20, 40), ellipse(0, 0.385, 0.36, 0.035), alpha=70)
    for k in range(3):
        x = 0.72 - ((t * 0.0375 + k * 0.48) % 1.44)
        c.paint((255, 250, 236), ellipse(x, 0.41 + 0.03 * (k % 2), 0.11, 0.017), alpha=170)
    mane = dark(color, 0.55) if sum(color) > 240 else (126, 126, 146)
    shade = dark(color, 0.28) if sum(color) > 240 else light(color, 0.1)
    with c.at(-0.02, bob, turn=0.035 * np.cos(a)):
        _leg(c, shade, mane, (0.13, 0.08), a + 0.8, fore=True)
        _leg(c, shade, mane, (-0.17, 0.07), a + 3.5, fore=False)
        wave = 0.035 * np.sin(a - 1)
        c.paint(
            mane,
            limb(
                [(-0.25, -0.08), (-0.36, -0.1 + wave), (-0.46, 0.0 + wave * 1.6), (-0.5, 0.1 + wave)],
                [0.06, 0.1, 0.09, 0.03],
            ),
        )
        nod = 0.02 * np.sin(a + 0.8)
        neck = blob(
            (0.06, -0.08),
            (0.16, -0.2),
            (0.25, -0.33 + nod),
            (0.34, -0.33 + nod),
            (0.345, -0.24 + nod),
            (0.27, -0.06),
            (0.23, 0.08),
            (0.12, 0.08),
        )
        head = blob(
            (0.27, -0.37 + nod),
            (0.35, -0.365 + nod),
            (0.43, -0.28 + nod),
            (0.49, -0.2 + nod),
            (0.475, -0.145 + nod),
            (0.42, -0.15 + nod),
            (0.35, -0.21 + nod),
            (0.28, -0.25 + nod),
        )
        body = blob(
            (-0.27, -0.06),
            (-0.2, -0.135),
            (-0.05, -0.1),
            (0.08, -0.12),
            (0.2, -0.08),
            (0.25, 0.02),
            (0.18, 0.12),
            (0.02, 0.115),
            (-0.14, 0.1),
            (-0.25, 0.09),
            (-0.29, 0.02),
        )
        c.paint(color, polygon((0.27, -0.34 + nod), (0.265, -0.45 + nod), (0.335, -0.36 + nod)))
        c.paint(color, neck, head, body)
        c.paint(
            mane,
            blob(
                (0.3, -0.4 + nod),
                (0.22, -0.37 + nod),
                (0.12, -0.27 + wave * 0.5),
                (0.03, -0.14 + wave),
                (0.1, -0.09),
                (0.2, -0.17),
                (0.27, -0.29 + nod),
            ),
        )
        c.paint(
            light(color, 0.4),
            blob((0.44, -0.235 + nod), (0.49, -0.2 + nod), (0.475, -0.145 + nod), (0.42, -0.15 + nod)),
            ink=False,
        )
        c.paint((28, 22, 34) if sum(color) > 240 else (250, 250, 250), ellipse(0.365, -0.285 + nod, 0.018), ink=False)
        _leg(c, color, mane, (0.17, 0.08), a, fore=True)
        _leg(c, color, mane, (-0.21, 0.06), a + 2.7, fore=False)


def _leg(c: Canvas, color: Color, hoof: Color, root: tuple[float, float], a: float, *, fore: bool) -> None:
    """One leg from its root: an upper part that swings, a lower part that folds back on the way forward."""
    swing = 0.52 * np.sin(a) + (0.2 if fore else -0.08)
    fold = 0.25 + 0.75 * max(0.0, np.cos(a))
    lower = swing - fold if fore else swing - fold * 0.9 + 0.15
    x, y = root
    knee = (x + 0.16 * np.sin(swing), y + 0.16 * np.cos(swing))
    foot = (knee[0] + 0.145 * np.sin(lower), knee[1] + 0.145 * np.cos(lower))
    tip = (foot[0] + 0.02 + 0.02 * np.sin(lower), foot[1] + 0.018 * np.cos(lower))
    c.paint(color, limb([root, knee, foot], [0.13 if not fore else 0.11, 0.068, 0.054]))
    c.paint(hoof, limb([foot, tip], [0.058, 0.066]), ink=False)


def birds_fly(c: Canvas, scene: Scene, color: Color, t: float) -> None:
    """Three birds that beat their wings once in 8 frames and glide forward for 16."""
    glide = 0.08 * np.sin((t - 8) * np.pi / 16)
    for x, y, size, lag in ((-0.34, 0.18, 0.96, 0.0), (0.34, 0.22, 0.96, 2.1), (0.0, -0.12, 1.16, 4.2)):
        with c.at(x + glide, y + 0.012 * np.sin(_BEAT * t + lag), scale=size):
            _bird(c, color, np.sin(_BEAT * t + lag + 1.2))


def _bird(c: Canvas, color: Color, beat: float) -> None:
    """A bird with its wings raised by `beat`, -1..1; they reach higher than they sink."""
    tip, sweep = -0.05 - 0.21 * beat, 0.11 * (1 - abs(beat))  # a level wing points back
    mid = 0.5 * tip
    black = sum(color) < 240
    shade, wing = (light(color, 0.1), light(color, 0.24)) if black else (dark(color, 0.3), dark(color, 0.13))
    c.paint(
        shade,
        blob(
            (0.12, -0.02),
            (0.15, mid - 0.02),
            (0.12 - sweep, tip - 0.01),
            (0.09 - sweep, tip),
            (0.02 - 0.5 * sweep, mid),
            (-0.02, 0.0),
        ),
    )
    c.paint(shade, blob((-0.12, -0.015), (-0.25, -0.06), (-0.225, 0.0), (-0.26, 0.055), (-0.12, 0.03)))
    c.paint((255, 150, 20), polygon((0.2, -0.065), (0.285, -0.03), (0.2, 0.005)))
    c.paint(
        color,
        blob(
            (-0.17, 0.0),
            (-0.06, -0.06),
            (0.05, -0.07),
            (0.14, -0.115),
            (0.22, -0.055),
            (0.19, 0.025),
            (0.08, 0.08),
            (-0.06, 0.06),
        ),
    )
    c.paint(light(color, 0.55), blob((0.06, 0.03), (0.15, 0.025), (0.1, 0.07), (0.01, 0.07)), ink=False)
    c.paint((255, 255, 255), ellipse(0.15, -0.05, 0.028), ink=False)
    c.paint((24, 20, 30), ellipse(0.158, -0.048, 0.017), ink=False)
    c.paint(
        wing,
        blob(
            (0.09, 0.0),
            (0.06, mid - 0.02),
            (-0.09 - sweep, tip * 1.08),
            (-0.13 - sweep, tip * 1.06),
            (-0.14 - 0.6 * sweep, mid),
            (-0.1, 0.02),
            (0.0, 0.04),
        ),
    )
