"""What is drawn in a training: from (seed, step, place in the batch) alone.

So a run that was killed and resumed sees what one left alone sees, and several processes draw what one would.
"""

import numpy as np


def rng(seed: int, *where: int) -> np.random.Generator:
    """The source of all randomness of one place, such as (step, place in the batch, purpose)."""
    return np.random.default_rng([seed, *where])


def in_passes(seed: int, place: int, count: int) -> int:
    """Which of `count` things stands at a place of the endless sequence of shuffled passes over all of them."""
    turn, index = divmod(place, count)
    return int(rng(seed, turn, 3).permutation(count)[index])
