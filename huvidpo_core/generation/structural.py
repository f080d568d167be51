"""Structural pairs (DenseDPO, Wu et al. 2025, arXiv 2506.03517): two clips that share the motion of a third.

A reference clip is noised to one level and denoised from there with two seeds. What the noise leaves, the motion at
large, is alike in both; details differ, so that raters, and the loss, compare those and not how much moves. The level
is the same for both sides: with different ones the loss learns the level (the paper's ablation).
"""

import math
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffusers import SchedulerMixin

ETA = (0.65, 0.8)
"""The paper's range of noise levels, drawn uniformly. They are a rectified flow's: x = (1 - eta) x_0 + eta eps."""


def draw_eta(seed: int) -> float:
    """A noise level of a pair, fixed by the seed."""
    return random.Random(seed).uniform(*ETA)


def matching_timestep(scheduler: "SchedulerMixin", eta: float) -> int:
    """The timestep at which a diffusion model's signal-to-noise ratio is nearest to a rectified flow's at `eta`.

    The flow's is ((1 - eta) / eta)^2, the model's abar / (1 - abar); nearest in the logarithm, so that a ratio twice
    too high and one twice too low are equally wrong. Stable Diffusion's schedule has 541, 673 and 744 of 1000 for eta
    0.65, 0.75 and 0.8: what counts is the schedule, not eta x 1000.

    Raises:
        ValueError: eta outside 0 (clean: timestep 0) to 1 (noise: the last timestep).
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be between 0 and 1, got {eta}")
    if eta in (0, 1):
        return 0 if eta == 0 else len(scheduler.alphas_cumprod) - 1
    abar = scheduler.alphas_cumprod.double()
    log_snr = abar.log() - (1 - abar).log()
    return int((log_snr - 2 * math.log((1 - eta) / eta)).abs().argmin())
