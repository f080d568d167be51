"""The miniature's action world: drawn clips to learn from, and the words for them."""

from .render import render
from .scene import ACTIONS, COLORS, HELD_OUT_ACTIONS, PLACES, SCALES, SHIFT, STYLES, TIMES, Scene, caption

__all__ = [
    "ACTIONS",
    "COLORS",
    "HELD_OUT_ACTIONS",
    "PLACES",
    "SCALES",
    "SHIFT",
    "STYLES",
    "TIMES",
    "Scene",
    "caption",
    "render",
]
