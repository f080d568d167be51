"""Figures that show whether a preference training is well; the loss alone does not."""

from dataclasses import dataclass

import torch
from torch import Tensor

from huvidpo_core.training.losses import margins, sides, slope


@dataclass(frozen=True)
class Health:
    """Means over labelled pairs, each alike, of what its labelled frames have on the mean."""

    winner_change: float  # winner's error, policy minus reference; above 0 the preferred clips got worse: stop
    loser_change: float  # loser's error, likewise
    accuracy: float  # share of pairs with a margin above 0; 0 counts half, so an untrained policy has 0.5
    gradient_factor: float  # mean of sigmoid(-reward): 0.5 at the start, near 0 where nothing is left to learn
    loser_scale: float  # mean of the safeguard's lambda; 1 where it is off
    pairs: int  # with a label


@torch.no_grad()
def health(
    policy: Tensor, reference: Tensor, mask: Tensor, *, kind: str, beta: float, loser_scale: Tensor | None = None
) -> Health:
    """The figures of a batch, or of everything held out: errors of several batches can be concatenated along b.

    Arguments as `losses.preference_loss`; `gradient_factor` is that of its "sigmoid", without threshold or smoothing.

    Raises:
        ValueError: as `preference_loss`.
    """
    rewards = slope(kind) * beta * margins(policy, reference, mask, kind=kind)
    if not rewards.numel():
        raise ValueError("no frame of any pair has a label")
    labelled = (mask != 0).to(policy.dtype)
    chosen = labelled.sum(1) > 0

    def mean(values: Tensor) -> Tensor:  # (b, f) -> ()
        return ((values * labelled).sum(1) / labelled.sum(1).clamp(min=1))[chosen].mean()

    winner, loser = sides(policy - reference, mask)
    ahead = ((loser - winner) * labelled).sum(1)[chosen]
    scale = torch.ones_like(labelled) if loser_scale is None else loser_scale.expand_as(labelled)
    accuracy = torch.where(ahead == 0, 0.5, (ahead > 0).to(policy.dtype)).mean()
    figures = [mean(winner), mean(loser), accuracy, torch.sigmoid(-rewards).mean(), mean(scale)]
    return Health(*torch.stack(figures).tolist(), pairs=int(chosen.sum()))
