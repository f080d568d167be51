"""Subjects that are things: waterfall, helicopter, rain on an umbrella, fireworks.

Every function paints around (0, 0) in frame heights, facing right, at time `t` in frames; the ground lies at y = 0.38.
"""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, Color, blob, ellipse, limb, polygon
from .palette import dark, light, night
from .scene import Scene

_BEAT = 2 * np.pi / 8  # radians a frame: one turn in 8 frames, a second


def waterfall(c: Canvas, scene: Scene, color: Color, t: float) -> None:
    """Wide bands of water that run down a cliff, 5 px a frame at height 160, into a foaming pool; loops in 8."""
    rock = (146, 132, 128) if scene.time == "day" else night((176, 160, 160))
    c.paint(
        dark(rock, 0.15),
        blob((-0.4, -0.28), (-0.24, -0.41), (0.24, -0.42), (0.41, -0.26), (0.5, 0.36), (0, 0.44), (-0.5, 0.36)),
    )
    c.paint(
        (96, 170, 84) if scene.time == "day" else night((96, 170, 84)),
        blob((-0.42, -0.27), (-0.25, -0.43), (0.25, -0.44), (0.43, -0.25), (0.3, -0.31), (0.0, -0.34), (-0.3, -0.31)),
    )
    c.paint(color, blob((-0.56, 0.37), (-0.3, 0.27), (0.3, 0.27), (0.56, 0.37), (0.34, 0.47), (-0.34, 0.47)))
    pale, deep = light(color, 0.55), dark(color, 0.25)
    if sum(color) < 240:
        pale, deep = light(color, 0.45), light(color, 0.12)
    left, right = -0.21, 0.21
    c.paint(
        color, polygon((left, -0.36), (0, -0.38), (right, -0.36), (right + 0.02, 0.33), (0, 0.37), (left - 0.02, 0.33))
    )
    for k in range(-1, 4):
        # Chevrons that hang in the middle; every second one is dark. Clipped to the fall by their ends.
        for tint, lag in ((pale, 0.0), (deep, 0.12)):
            y = -0.36 + (k * 0.24 + lag + t * 0.03) % 0.96 - 0.12
            top, low = max(y, -0.36), min(y + 0.07, 0.32)
            if low - top > 0.012:
                c.paint(
                    tint,
                    blob(
                        (left + 0.03, top - 0.01),
                        (-0.08, top + 0.015),
                        (0.0, top + 0.03),
                        (0.08, top + 0.015),
                        (right - 0.03, top - 0.01),
                        (right - 0.03, low - 0.03),
                        (0.0, low + 0.015),
                        (left + 0.03, low - 0.03),
                    ),
                    ink=False,
                )
    c.paint(
        rock,
        blob(
            (-0.4, -0.26),
            (-0.26, -0.36),
            (-0.18, -0.3),
            (-0.2, -0.05),
            (-0.175, 0.2),
            (-0.22, 0.35),
            (-0.5, 0.37),
            (-0.47, 0.05),
        ),
    )
    c.paint(
        rock,
        blob(
            (0.41, -0.25),
            (0.26, -0.36),
            (0.18, -0.3),
            (0.2, -0.05),
            (0.175, 0.2),
            (0.22, 0.35),
            (0.5, 0.37),
            (0.47, 0.05),
        ),
    )
    for x, y, r in ((-0.33, -0.12, 0.06), (0.33, 0.1, 0.07), (-0.34, 0.18, 0.05), (0.32, -0.16, 0.05)):
        c.paint(dark(rock, 0.2), ellipse(x, y, r * 1.4, r * 0.5), ink=False)
    foam = light(color, 0.72) if sum(color) > 240 else (176, 176, 190)
    for x, lag, r in (
        (-0.25, 0.0, 0.075),
        (-0.13, 2.4, 0.085),
        (0.0, 4.2, 0.095),
        (0.13, 1.2, 0.085),
        (0.25, 3.3, 0.075),
    ):
        bounce = np.sin(_BEAT * t + lag)
        c.paint(foam, ellipse(x, 0.35 - 0.028 * bounce, r * (1 + 0.12 * bounce)), ink=False)


def helicopter(c: Canvas, scene: Scene, color: Color, t: float) -> None:
    """A helicopter that hovers up and down once in 16 frames; its rotors turn through four visible positions."""
    hover = 0.035 * np.sin(_BEAT / 2 * t)
    grey = (70, 74, 92) if scene.time == "day" else (150, 156, 180)
    shade = dark(color, 0.25) if sum(color) > 240 else light(color, 0.14)
    c.paint((24, 20, 40), ellipse(0.02, 0.4, 0.26 - hover, 0.03), alpha=70)
    with c.at(0.05, hover, turn=0.04 + 0.03 * np.sin(_BEAT / 2 * t + 1.6)):
        c.paint(grey, limb([(-0.06, 0.14), (-0.09, 0.25)], 0.03), limb([(0.14, 0.14), (0.17, 0.25)], 0.03))
        c.paint(grey, limb([(-0.2, 0.26), (0.22, 0.26), (0.28, 0.225)], 0.036))
        c.paint(color, polygon((-0.12, -0.08), (-0.52, -0.06), (-0.52, -0.015), (-0.12, 0.1)))
        c.paint(shade, polygon((-0.47, -0.03), (-0.51, -0.18), (-0.585, -0.18), (-0.56, -0.01)))
        c.paint(grey, limb([(0.02, -0.12), (0.02, -0.25)], 0.045))
        c.paint(
            color,
            blob(
                (-0.2, 0.0),
                (-0.15, -0.13),
                (0.02, -0.18),
                (0.2, -0.13),
                (0.32, 0.02),
                (0.27, 0.13),
                (0.08, 0.18),
                (-0.12, 0.14),
            ),
        )
        c.paint((176, 226, 250), blob((0.1, -0.12), (0.2, -0.095), (0.285, 0.015), (0.2, 0.045), (0.1, 0.04)))
        c.paint((232, 248, 255), limb([(0.15, -0.07), (0.2, 0.0)], 0.03), ink=False)
        c.paint(light(color, 0.45), limb([(-0.14, 0.075), (0.05, 0.1), (0.23, 0.085)], 0.034), ink=False)
        c.paint((176, 226, 250), ellipse(-0.03, -0.04, 0.052), ink=False)
        # Rotors: a pale disc, and on it the blades as long as their angle shows them.
        reach = (0.44, 0.34, 0.16, 0.34)[int(t) % 4]
        c.paint((235, 240, 250), ellipse(0.02, -0.26, 0.46, 0.034), alpha=110)
        c.paint(grey, limb([(0.02 - reach, -0.262), (0.02, -0.258), (0.02 + reach, -0.262)], [0.03, 0.042, 0.03]))
        a = np.pi / 4 * t
        c.paint((235, 240, 250), ellipse(-0.545, -0.1, 0.12), alpha=100)
        dx, dy = 0.11 * np.cos(a), 0.11 * np.sin(a)
        c.paint(grey, limb([(-0.545 - dx, -0.1 - dy), (-0.545 + dx, -0.1 + dy)], 0.034))


def rain(c: Canvas, scene: Scene, color: Color, t: float) -> None:
    """Thick drops fall 8 px a frame (height 160) on an umbrella that sways once in 16; a child stands below it."""
    drop = (66, 140, 232) if scene.time == "day" else (156, 206, 255)
    cloud = (148, 158, 184) if scene.time == "day" else (92, 100, 142)
    for k, x in enumerate((-0.68, -0.51, -0.34, -0.17, 0.0, 0.17, 0.34, 0.51, 0.68)):
        for y in ((np.array([0.0, 0.4]) + k % 3 * 0.14 + t * 0.05) % 0.8) - 0.34:
            if y < 0.42:
                c.paint(drop, limb([(x + 0.012, y - 0.05), (x, y + 0.02)], [0.016, 0.042]), ink=False)
        burst = ((t * 0.05 + k % 3 * 0.14 + 0.02) % 0.4) / 0.4
        if burst < 0.45 and abs(x) > 0.3:
            c.paint(drop, ellipse(x, 0.41, 0.03 + 0.09 * burst, 0.016 + 0.02 * burst), alpha=int(230 * (1 - burst)))
    c.paint(
        cloud,
        *(
            ellipse(x, -0.475, r, r * 0.62)
            for x, r in (
                (-0.74, 0.16),
                (-0.5, 0.19),
                (-0.24, 0.16),
                (0.02, 0.2),
                (0.28, 0.16),
                (0.53, 0.19),
                (0.76, 0.16),
            )
        ),
    )
    skin, coat = (250, 206, 166), (255, 214, 70) if scene.color not in ("yellow", "orange", "white") else (70, 110, 200)
    c.paint((24, 20, 40), ellipse(0, 0.395, 0.2, 0.03), alpha=70)
    c.paint((60, 64, 96), limb([(-0.05, 0.3), (-0.05, 0.38)], 0.07), limb([(0.06, 0.3), (0.06, 0.38)], 0.07))
    c.paint(coat, blob((-0.09, 0.08), (0.09, 0.08), (0.14, 0.31), (0.0, 0.33), (-0.14, 0.31)))
    c.paint(skin, ellipse(0, 0.02, 0.085))
    c.paint(
        (104, 60, 36),
        blob(
            (-0.09, 0.03), (-0.085, -0.05), (0.0, -0.085), (0.085, -0.05), (0.09, 0.03), (0.04, -0.02), (-0.05, -0.02)
        ),
        ink=False,
    )
    for x in (-0.03, 0.04):
        c.paint((44, 30, 36), ellipse(x, 0.025, 0.014, 0.018), ink=False)
    with c.at(0.1, 0.2, turn=0.1 * np.sin(_BEAT / 2 * t) + 0.05):
        c.paint((104, 72, 52), limb([(0, 0), (0, -0.36)], 0.032))
        r, y = 0.36, -0.26
        dome = [(r * np.cos(a), y - 0.27 * np.sin(a)) for a in np.linspace(0, np.pi, 24)]
        scallop = [(-r + 2 * r * k / 24, y - 0.045 * abs(np.sin(np.pi * k / 6))) for k in range(25)]
        c.paint(color, polygon(*dome, *scallop))
        stripe = light(color, 0.3) if scene.color != "white" else (206, 214, 232)
        for x0, x1 in ((-0.18, 0.0), (0.18, 0.36)):
            bow = [(x0 * np.sin(b), y - 0.27 * np.cos(b)) for b in np.linspace(0, np.pi / 2, 8)]
            back = [(x1 * np.sin(b), y - 0.27 * np.cos(b)) for b in np.linspace(np.pi / 2, 0, 8)]
            edge = [(x0 + (x1 - x0) * k / 6, y - 0.045 * abs(np.sin(np.pi * k / 6))) for k in range(7)]
            c.paint(stripe, polygon(*bow, *edge, *back), ink=False)
        c.paint((104, 72, 52), limb([(0, y - 0.27), (0, y - 0.3)], 0.036))
    c.paint(skin, ellipse(0.1, 0.16, 0.036))
    c.paint(coat, limb([(0.06, 0.13), (0.1, 0.18)], 0.06))


def firework(c: Canvas, scene: Scene, color: Color, t: float) -> None:
    """Two bursts in turn: a rocket climbs, opens into a ring of thick rays and fades; loops in 16."""
    for x, y, size, lag in ((-0.3, -0.08, 1.0, 3.0), (0.31, -0.13, 1.1, 11.0)):
        u = ((t + lag) % 16) / 16
        with c.at(x, y, scale=size):
            if u < 0.78:
                _burst(c, color, u / 0.78)
            else:
                rise = 0.45 * (1 - (u - 0.78) / 0.22)
                c.paint((255, 232, 150), ellipse(0, rise + 0.1, 0.026, 0.08), ink=False)
                c.paint(color, limb([(0, rise), (0, rise + 0.06)], [0.05, 0.06]))


def _burst(c: Canvas, color: Color, u: float) -> None:
    """A ring of rays: u runs from 0 (a point) to 1 (faded)."""
    out = 0.09 + 0.25 * (1 - (1 - u) ** 2)
    inner = out * (max(0.1, 0.8 * u - 0.1) if u < 0.6 else 0.38 + 1.2 * (u - 0.6))
    full = 1.0 if u < 0.6 else 1 - 0.9 * (u - 0.6)  # they fade by thinning, which stays sharp
    drop = 0.05 * u * u
    tip = light(color, 0.5)
    rays = [(np.cos(a), np.sin(a)) for a in np.arange(10) * np.pi / 5 + 0.3]
    for k, (dx, dy) in enumerate(rays):
        end = (dx * out, dy * out + drop)
        c.paint(color, limb([(dx * inner, dy * inner + drop * 0.5), end], [0.028 * full, 0.056 * full]))
        c.paint(tip if k % 2 else color, ellipse(*end, 0.036 * full), ink=False)
    if u < 0.5:
        c.paint((255, 252, 226), ellipse(0, 0, 0.06 * (1 - u * 1.6) + 0.012), ink=False)
