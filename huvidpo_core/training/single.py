"""Learning from clips that were rated alone, good or bad, without pairs: Diffusion-KTO. It knows no model.

A mask (b, f) is +1 in the frames of a good clip that count, -1 in those of a bad one, and 0 in frames that do not, such
as the one that is given.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SingleLoss:
    """A loss (), every clip's implicit reward (b,), above 0 where the policy likes it, and the level it is held to."""

    loss: Tensor
    implicit_reward: Tensor
    level: Tensor


def kto_loss(
    policy: Tensor,
    reference: Tensor,
    mask: Tensor,
    *,
    beta: float,
    level: float | None = None,
    weight: Tensor | None = None,
) -> SingleLoss:
    """Mean over clips of w (1 - sigmoid(y beta (g - level))), with y = +1 for good clips and -1 for bad ones.

    g, a clip's `gains`, is by how much the policy has become better on it than the reference. `level`, the estimate of
    the KL divergence in KTO, is the mean of g over clips, 0 at least and without gradient: a clip must gain more than
    clips do on the whole. Diffusion-KTO (Li et al. 2024, Eq. 8; the sigmoid utility) after KTO (Ethayarajh et al.
    2024). As in its code, beta (1000 there) has no 1/2: the beta of "huvidpo" halved gives the same reward
    (`calibrate.equivalents`). The pull is another matter: of a clip's gain it is beta sigmoid(r) sigmoid(-r), beta/4
    while the policy is untrained and half of that of "huvidpo" at the same reward; it ends on both sides, for a clip
    that is lost as for one that is won.

    An untrained policy loses 1/2 times the mean weight.

    Args:
        policy: (b, f) mean squared errors.
        reference: (b, f), the same of the reference model, which gets no gradient.
        mask: (b, f), see above.
        beta: in 1 / error, > 0.
        level: mean of g from elsewhere: over all processes, or a running mean. In a batch of one the clip's own g
            would be its level, and a good clip would be pulled for ever, however much was gained.
        weight: (b,), w; 1 if not given. KTO advises to let the sum of the good clips' weights be 1 to 4/3 times that
            of the bad ones'.

    Raises:
        ValueError: shapes that do not fit, a clip that is neither good nor bad, beta or a weight out of range.
    """
    if policy.ndim != 2 or not policy.shape == reference.shape == mask.shape or not policy.numel():
        shapes = f"{tuple(policy.shape)}, {tuple(reference.shape)}, {tuple(mask.shape)}"
        raise ValueError(f"policy, reference and mask must be (b, f), not empty, got {shapes}")
    if not 0 < beta < math.inf:
        raise ValueError(f"beta must be above 0, got {beta}")
    if weight is not None and (weight.shape != mask.shape[:1] or not (weight >= 0).all()):
        raise ValueError(f"weight must be ({len(mask)},) and 0 or more")
    good, bad = (mask > 0).any(1), (mask < 0).any(1)
    if not (good ^ bad).all():
        raise ValueError("every clip must be good (+1) or bad (-1)")
    gain = gains(policy, reference, mask)
    held_to = gain.mean().detach() if level is None else gain.new_tensor(level)
    reward = beta * (gain - held_to.clamp(min=0))
    terms = torch.sigmoid(torch.where(good, -reward, reward))
    loss = (terms if weight is None else weight * terms).mean()
    return SingleLoss(loss, (beta * gain).detach(), held_to.clamp(min=0))


def gains(policy: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """By how much the policy's error is below the reference's, (b,): means over the frames that count."""
    counts = (mask != 0).to(policy.dtype)
    return ((reference.detach() - policy) * counts).sum(1) / counts.sum(1)


def in_order(gain: Tensor, good: Tensor) -> Tensor:
    """Of all pairs of a good and a bad clip, the share () in which the good one has gained more; equal counts half.

    Of gains (b,) and which clips are good (b,); not a number where there are only good or only bad ones.
    """
    ahead = gain[good][:, None] - gain[~good][None]
    return ((ahead > 0).to(gain.dtype) + (ahead == 0).to(gain.dtype) / 2).mean()
