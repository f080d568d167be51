"""Pairs that a person can tell apart: both clips begin with one picture, but are made with settings drawn by lot.

Two seeds of a small, or a well trained, model may differ by less than anybody sees; then a vote says nothing. The
number of steps decides how crisp and lively a clip is, the guidance how strong its colours and motion are; both stay
within what people use. The clips are still the model's own, so the loss can make it prefer the better kind.
"""

import random

from huvidpo_core.recipe import MAX_GUIDANCE, MAX_STEPS

STEPS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""What the number of steps is multiplied by; the two sides of a pair get different numbers."""
GUIDANCE = (0.7, 1.4)
"""What the guidance is multiplied by, where there is any."""


def draw_settings(seed: int, steps: int, guidance: float) -> tuple[tuple[int, float], tuple[int, float]]:
    """Steps and guidance of the two sides of a pair around a person's own settings, fixed by the seed.

    A guidance of 1 or less is none, and stays: the network is then asked once for each step, not twice.
    """
    rng = random.Random(seed)
    numbers = sorted({min(max(2, round(steps * factor)), MAX_STEPS) for factor in STEPS})
    factors = GUIDANCE if guidance > 1 else (1, 1)
    one, two = ((number, min(guidance * rng.uniform(*factors), MAX_GUIDANCE)) for number in rng.sample(numbers, 2))
    return one, two
