"""Subjects that breathe: the smiling face, the horse, the guitarist, the birds.

Every function paints around (0, 0) in frame heights, facing right, at time `t` in frames; the ground lies at y = 0.38.
"""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, Color, blob, ellipse, limb, polygon
from .palette import dark, light
from .scene import Scene

_BEAT = 2 * np.pi / 8  # radians a frame: one turn in 8 frames, a second
_SKIN = ((250, 206, 166), (186, 122, 78))
_HAIR = ((122, 66, 34), (52, 34, 36))


def smile(c: Canvas, scene: Scene, color: Color, t: float) -> None:
    """A neutral face that breaks into a broad smile within 15 frames, and back within the next 15."""
    s = 0.5 - 0.5 * np.cos(np.pi * t / 15)
    skin, hair = _SKIN[scene.variant], _HAIR[scene.variant]
    ink = (56, 34, 40)
    with c.at(0, 0.03):
        c.paint(
            color, blob((-0.4, 0.52), (-0.33, 0.36), (-0.12, 0.29), (0.12, 0.29), (0.33, 0.36), (0.4, 0.52), (0, 0.6))
        )
        if scene.variant == 0:
            c.paint(
                hair,
                blob(
                    (-0.2, -0.24),
                    (-0.31, 0.0),
                    (-0.31, 0.26),
                    (-0.2, 0.33),
                    (0.2, 0.33),
                    (0.31, 0.26),
                    (0.31, 0.0),
                    (0.2, -0.24),
                ),
            )
        c.paint(dark(skin, 0.16), limb([(0, 0.2), (0, 0.33)], 0.16))
    with c.at(0, 0.03 - 0.02 * s, turn=0.05 * np.sin(np.pi * t / 15)):
        if scene.variant == 1:
            c.paint(skin, ellipse(-0.26, 0.02, 0.05, 0.065), ellipse(0.26, 0.02, 0.05, 0.065))
        c.paint(
            skin,
            blob(
                (-0.255, -0.12),
                (-0.25, 0.08),
                (-0.14, 0.25),
                (0, 0.29),
                (0.14, 0.25),
                (0.25, 0.08),
                (0.255, -0.12),
                (0, -0.26),
            ),
        )
        blush = (255, 130, 120) if scene.variant == 0 else (222, 108, 84)
        for x in (-0.155, 0.155):
            c.paint(blush, ellipse(x, 0.115 - 0.025 * s, 0.05 + 0.012 * s, 0.036 + 0.01 * s), alpha=150)
            c.paint((255, 255, 255), ellipse(x * 0.68, 0.0, 0.052, 0.058 - 0.016 * s), ink=False)
            c.paint((62, 40, 36), ellipse(x * 0.68, 0.004, 0.032, 0.04 - 0.011 * s), ink=False)
            c.paint((255, 255, 255), ellipse(x * 0.68 + 0.012, -0.012, 0.012), ink=False)
            side = np.sign(x)
            y = -0.085 - 0.03 * s
            c.paint(
                hair,
                limb(
                    [(x * 0.68 - side * 0.05, y + 0.005), (x * 0.68, y - 0.014), (x * 0.68 + side * 0.055, y + 0.008)],
                    0.026,
                ),
                ink=False,
            )
        c.paint(dark(skin, 0.22), ellipse(0, 0.075, 0.028, 0.024), ink=False)
        # The mouth: a line whose corners rise and spread while its middle drops and opens.
        w, corner, top, low = 0.075 + 0.085 * s, 0.165 - 0.05 * s, 0.165 - 0.022 * s, 0.178 + 0.068 * max(0.0, s - 0.12)
        c.paint(
            ink,
            limb(
                [
                    (-w, corner),
                    (-w * 0.5, (corner + top) / 2 + 0.008 * s),
                    (0, top),
                    (w * 0.5, (corner + top) / 2 + 0.008 * s),
                    (w, corner),
                ],
                0.026,
            ),
            ink=False,
        )
        if s > 0.12:
            c.paint(
                (150, 30, 46),
                blob(
                    (-w, corner),
                    (0, top),
                    (w, corner),
                    (w * 0.62, low - 0.014),
                    (0, low + 0.006),
                    (-w * 0.62, low - 0.014),
                ),
                ink=False,
            )
            c.paint(
                (255, 255, 255),
                blob(
                    (-w * 0.82, corner + 0.004),
                    (0, top + 0.004),
                    (w * 0.82, corner + 0.004),
                    (w * 0.5, top + 0.04 * (s - 0.12)),
                    (-w * 0.5, top + 0.04 * (s - 0.12)),
                ),
                ink=False,
            )
        c.paint(
            hair,
            blob(
                (-0.27, -0.07),
                (-0.26, -0.19),
                (0, -0.21),
                (0.26, -0.19),
                (0.27, -0.07),
                (0.2, -0.14),
                (0.0, -0.145),
                (-0.2, -0.14),
            ),
            ink=False,
        )
        c.paint(
            color,
            blob(
                (-0.275, -0.17),
                (-0.25, -0.34),
                (-0.12, -0.44),
                (0.12, -0.44),
                (0.25, -0.34),
                (0.275, -0.17),
                (0, -0.19),
            ),
        )
        c.paint(light(color, 0.3), limb([(-0.27, -0.165), (-0.1, -0.19), (0.1, -0.19), (0.27, -0.165)], 0.08))
        c.paint(light(color, 0.3), ellipse(0, -0.45, 0.06))


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


def guitar(c: Canvas, scene: Scene, color: Color, t: float) -> None:
    """A musician who strums once in 8 frames and sways once in 16."""
    skin, hair = _SKIN[scene.variant], _HAIR[scene.variant]
    sway = np.sin(_BEAT / 2 * t)
    strum = np.sin(_BEAT * t)
    trousers, shirt = (58, 66, 112), (250, 240, 214) if sum(color) < 600 else (72, 84, 140)
    c.paint((24, 20, 40), ellipse(0, 0.395, 0.24, 0.035), alpha=70)
    c.paint(
        trousers, limb([(-0.07, 0.16), (-0.09, 0.36)], [0.14, 0.1]), limb([(0.07, 0.16), (0.09, 0.36)], [0.14, 0.1])
    )
    c.paint(dark(color, 0.15), limb([(-0.1, 0.385), (-0.13, 0.385)], 0.06), limb([(0.1, 0.385), (0.14, 0.385)], 0.06))
    with c.at(0, 0.2, turn=0.06 * sway):
        c.paint(
            shirt,
            blob((-0.18, -0.28), (-0.08, -0.33), (0.08, -0.33), (0.18, -0.28), (0.16, 0.0), (0.0, 0.03), (-0.16, 0.0)),
        )
        c.paint(dark(skin, 0.14), limb([(0, -0.36), (0, -0.3)], 0.08), ink=False)
        with c.at(0, -0.34, turn=0.1 * sway):
            if scene.variant == 0:
                c.paint(
                    hair, blob((-0.11, -0.2), (-0.17, -0.04), (-0.14, 0.1), (0.14, 0.1), (0.17, -0.04), (0.11, -0.2))
                )
            c.paint(skin, ellipse(0, -0.09, 0.115, 0.125))
            for x in (-0.045, 0.055):
                c.paint((44, 30, 36), ellipse(x, -0.085, 0.017, 0.022), ink=False)
            c.paint((176, 52, 56), blob((-0.045, -0.035), (0.005, -0.03), (0.055, -0.035), (0.005, 0.0)), ink=False)
            c.paint(
                hair,
                blob(
                    (-0.125, -0.1),
                    (-0.13, -0.19),
                    (0, -0.245),
                    (0.13, -0.19),
                    (0.125, -0.1),
                    (0.07, -0.155),
                    (-0.06, -0.15),
                ),
            )
        with c.at(-0.03, -0.1, turn=-0.42 + 0.03 * sway):
            wood = (116, 72, 44)
            c.paint(wood, limb([(0.1, 0), (0.42, 0)], 0.05))
            c.paint(dark(wood, 0.4), polygon((0.41, -0.035), (0.5, -0.045), (0.5, 0.045), (0.41, 0.035)))
            c.paint(
                color,
                blob(
                    (-0.22, 0),
                    (-0.16, -0.135),
                    (-0.05, -0.135),
                    (0.02, -0.085),
                    (0.1, -0.105),
                    (0.165, 0),
                    (0.1, 0.105),
                    (0.02, 0.085),
                    (-0.05, 0.135),
                    (-0.16, 0.135),
                ),
            )
            c.paint((52, 32, 34) if sum(color) > 240 else (196, 190, 200), ellipse(0.02, 0, 0.045), ink=False)
            c.paint((240, 226, 196), limb([(-0.12, -0.05), (-0.12, 0.05)], 0.028), ink=False)
        sleeve = dark(shirt, 0.1)
        # The right hand runs across the strings, the left slides a little along the neck.
        hand = (-0.06 + 0.015 * strum, -0.1 + 0.07 * strum)
        c.paint(sleeve, limb([(-0.16, -0.25), (-0.265, -0.08 + 0.02 * strum)], [0.09, 0.075]))
        c.paint(skin, limb([(-0.265, -0.08 + 0.02 * strum), hand], [0.06, 0.05]), ellipse(*hand, 0.038))
        grip = (0.235 + 0.015 * sway, -0.215)
        c.paint(sleeve, limb([(0.16, -0.25), (0.27, -0.1)], [0.09, 0.075]))
        c.paint(skin, limb([(0.27, -0.1), grip], [0.06, 0.05]), ellipse(*grip, 0.038))


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
