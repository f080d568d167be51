"""The people of the world: who turns to smile, and who plays the guitar.

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
