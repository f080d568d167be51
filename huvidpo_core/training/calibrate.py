"""Beta from what the margins are, instead of from another model's paper.

A preference loss's gradient is the margin's, times beta, times the gradient factor sigmoid(-reward): 1/2 while policy
and reference agree, towards 0 as the label is learned. Where that happens is all that beta decides under an optimizer
that normalises gradients. A margin's size depends on the model, the reduction and the noise level: at a margin of
0.001 a beta of 50 leaves the factor at 0.494, so nothing ever holds the policy back; 5000 leaves 0.08. So beta is set
by the factor that is wanted at a typical margin (preference-learning.md section 6.2).

**Where the margins come from.** Before training all are 0. What is needed is the margin that training itself makes:

1. With a scratch adapter, started as the run's own, take 10 to 20 steps with the run's optimizer, learning rate, pairs
   and timesteps, on `-margins(...).mean()`. This is where every kind and type leads for beta towards 0, so the pass
   presupposes no beta. (Use AdamW with its usual small eps: with the published 1e-3 the step depends on the scale of
   the gradient, hence on beta.)
2. With it, without gradient, measure `losses.margins` on two dozen fresh draws of pair, noise and timestep, with the
   adapter's dropout on, as those that the sigmoid is given in training. Where a draw is one margin, their median is
   then known to about a quarter, which the factor hardly feels: 0.35 may be 0.32 or 0.39.
3. `calibrate` them; throw the adapter away.

Their sizes, not their signs, are what counts: half of a single draw's margin is luck of noise and timestep, and beta
times that spread is what turns the sigmoid into a hard switch. The median, because the margins' tails are long: a few
timesteps have most of the error.

Not from the reference alone: how far |error(first) - error(second)| spreads is how unlike the two clips are, and just
what the margin subtracts; it says nothing of how far a policy moves. Nor from random weights: a margin then has the
size of the disturbance that was chosen.

**Which target.** While the factor is near 1/2, margins grow about in proportion to the steps. A target of 0.45 on a
short pass (reward 0.2) is thus one of 0.12 (reward 2) after ten times the steps; 0.2 on a short pass saturates soon.
Take the more of 0.2..0.45 the shorter the pass is beside the training; 0.35 is the default.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from huvidpo_core.training.kinds import KINDS, KTO
from huvidpo_core.training.losses import slope


@dataclass(frozen=True)
class Calibration:
    """A beta and what it was taken from; `dataclasses.asdict` of it is JSON."""

    kind: str  # whose convention `beta` is in
    beta: float
    target: float  # gradient factor asked for at `typical_margin`
    typical_margin: float  # median size, in units of error
    mean_factor: float  # mean over the margins of the factor with this beta, sizes taken
    agreement: float  # share of the margins above 0; those that are 0 count half
    measured: int  # how many margins
    equivalents: dict[str, float]  # beta by kind, and "kto"


def calibrate(margins: Tensor, *, kind: str = "huvidpo", frames: float = 1.0, target: float = 0.35) -> Calibration:
    """The beta with which a margin of typical size has the gradient factor `target`: sigmoid(-reward) = target.

    reward = beta/2 * margin ("dense-sum", "kto": beta * margin), so beta is log((1 - target) / target), times 2 (1), by
    median |margin|. For "kto", whose own pull is sigmoid(reward) sigmoid(-reward), the target thus sets the reward that
    a preference loss would have there.

    Args:
        margins: (n,), what `Objective.margins` gives for the same kind; see above where from.
        kind: one of `kinds.KINDS`, or "kto".
        frames: labelled frames of a pair, their mean; for the equivalents.
        target: 0 < target < 1/2; 0.2 to 0.45 is sensible.

    Raises:
        ValueError: a kind, target or frames out of range; margins that are none, not finite or mostly 0.
    """
    if kind not in (*KINDS, KTO) or not 0 < target < 0.5 or not frames > 0:
        raise ValueError(f"out of range: kind {kind!r}, target {target}, frames {frames}")
    margins = margins.detach().cpu().double().flatten()  # Apple's GPUs have no float64
    if not margins.numel() or not margins.isfinite().all():
        raise ValueError("there are no margins to calibrate beta with, or some are not finite")
    typical = margins.abs().quantile(0.5).item()
    if typical == 0:
        raise ValueError("most margins are 0: the policy has not moved, so they say nothing about beta")
    beta = math.log((1 - target) / target) / (slope(kind) * typical)
    return Calibration(
        kind=kind,
        beta=beta,
        target=target,
        typical_margin=typical,
        mean_factor=torch.sigmoid(-slope(kind) * beta * margins.abs()).mean().item(),
        agreement=((margins > 0).double() + (margins == 0).double() / 2).mean().item(),
        measured=margins.numel(),
        equivalents=equivalents(beta, kind, frames),
    )


def equivalents(beta: float, kind: str, frames: float) -> dict[str, float]:
    """Betas by kind, and "kto", that give a pair the same reward as `beta` gives it in `kind`.

    Exact where all `frames` labelled frames of a pair gain alike. "dense-sum" adds them up, so it needs less: with 15
    frames a thirtieth of "huvidpo"'s. "kto" is also the one of scripts without the 1/2 (diffusers' for SD 1.5).
    """
    per_mean_margin = {"huvidpo": 0.5, "dense": 0.5, "dense-sum": frames, KTO: 1.0}
    reward = beta * per_mean_margin[kind]
    return {name: reward / factor for name, factor in per_mean_margin.items()}
