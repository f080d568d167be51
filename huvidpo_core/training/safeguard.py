"""A scale for the loser's gradient that keeps the winner from getting worse (Diffusion-SDPO, Fu et al. 2025)."""

import torch
from torch import Tensor

from huvidpo_core.training.kinds import KINDS


@torch.no_grad()
def safeguard(residual: Tensor, mask: Tensor, *, kind: str = "huvidpo", mu: float) -> Tensor:
    """The `loser_scale` of `preference_loss`, (b, f) in 0..1.

    A preference loss may fall by making both sides worse, the loser more. With g_w and g_l the gradients of the
    winner's and the loser's error with respect to the network's output, a step along -(g_w - lambda g_l) changes the
    winner's error by -|g_w|^2 + lambda <g_w, g_l>, to first order. That is at most -mu |g_w|^2 with

        lambda = min(1, (1 - mu) |g_w|^2 / <g_w, g_l>)    where <g_w, g_l> > 0, else 1    (arXiv 2511.03317)

    "Of the output" is the approximation: what a step in the weights does to one side's output it is taken to do to the
    other's, which noise and timestep in common make plausible.

    The published code has one lambda for a batch. Here it is one for each sigmoid, a pair's or (for "dense") a frame's:
    each has its own gradient factor, so only then is the promise kept for their sum, and it does not depend on what
    else is in the batch or on which process. For a batch of one pair the two are the same.

    Args:
        residual: (2b, c, f, h, w), the policy's prediction minus what it should have been (`motion.residual`), all
            winners (first clips), then all losers. It is the gradient of a mean squared error, but for a factor that
            both sides have alike.
        mask: (b, f) in {-1, 0, +1}, as in `preference_loss`; only labelled frames count.
        kind: of the loss, one of `kinds.KINDS`.
        mu: 0..1, which part of the winner's own descent must remain. Published: 0.9 for SD 1.5, 0.6 for SDXL. 0: the
            winner may stand still; 1: the loser gives no gradient where it is against the winner's. With noise in
            common the two sides' residuals are much alike, so lambda is near 1 - mu.

    Raises:
        ValueError: mu or kind out of range, shapes that do not fit.
    """
    if not 0 <= mu <= 1 or kind not in KINDS:
        raise ValueError(f"mu must be 0 to 1 and the kind one of {', '.join(KINDS)}, got {mu} and {kind!r}")
    if residual.ndim != 5 or mask.ndim != 2 or (residual.shape[0], residual.shape[2]) != (2 * len(mask), mask.shape[1]):
        shapes = f"{tuple(residual.shape)}, {tuple(mask.shape)}"
        raise ValueError(f"residual must be (2b, c, f, h, w) and mask (b, f), got {shapes}")
    first, second = residual.float().chunk(2)
    swapped = (mask < 0)[:, None, :, None, None]
    winner, loser = torch.where(swapped, second, first), torch.where(swapped, first, second)
    labelled = mask != 0
    own = winner.square().sum((1, 3, 4)) * labelled  # (b, f)
    common = (winner * loser).sum((1, 3, 4)) * labelled
    if kind != "dense":
        own, common = (value.sum(1, keepdim=True).expand_as(mask) for value in (own, common))
    against = common > 0
    limit = (1 - mu) * own / torch.where(against, common, torch.ones_like(common))
    return torch.where(against, limit.clamp(max=1), torch.ones_like(limit))
