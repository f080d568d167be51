"""Learning from single ratings, good or bad, without pairs: Diffusion-KTO."""

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
    desirable: Tensor,
    *,
    beta: float,
    level: Tensor | None = None,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> SingleLoss:
    """Mean over clips of w (1 - sigmoid(y beta (g - level))), with y = +1 for good clips and -1 for bad ones.

    g = mean over frames of (reference - policy) is by how much the policy has become better on a clip than the
    reference. `level`, the estimate of the KL divergence in KTO, is the mean of g over clips, 0 at least and without
    gradient: a clip must gain more than clips do on the whole. Diffusion-KTO (Li et al. 2024, Eq. 8; the sigmoid
    utility) after KTO (Ethayarajh et al. 2024), whose weights have TRL's names. As in its code, beta (1000 there) has
    no 1/2: the beta of "huvidpo" halved gives the same pull (`calibrate.equivalents`).

    An untrained policy loses 1/2 times the mean weight, with a gradient factor of beta/4.

    Args:
        policy: (b, f) mean squared errors of the frames that count: leave out frame 0.
        reference: (b, f), the same of the reference model, which gets no gradient.
        desirable: (b,), above 0 for a good clip, below 0 for a bad one.
        beta: in 1 / error, > 0.
        level: (), mean of g from elsewhere: over all processes, or a running mean. In a batch of one the clip's own g
            would be its level, and a good clip would be pulled for ever, however much was gained.
        desirable_weight, undesirable_weight: w. KTO advises to let the sum of the good clips' weights be 1 to
            4/3 times that of the bad ones'.

    Raises:
        ValueError: shapes that do not fit, a clip that is neither good nor bad, beta or a weight out of range.
    """
    if policy.ndim != 2 or policy.shape != reference.shape or desirable.shape != policy.shape[:1] or not policy.numel():
        shapes = f"{tuple(policy.shape)}, {tuple(reference.shape)}, {tuple(desirable.shape)}"
        raise ValueError(f"policy and reference must be (b, f) and desirable (b,), not empty, got {shapes}")
    if not (0 < beta < math.inf and desirable_weight >= 0 and undesirable_weight >= 0):
        raise ValueError(f"out of range: beta {beta}, weights {desirable_weight} and {undesirable_weight}")
    good = desirable > 0
    if not (good | (desirable < 0)).all():
        raise ValueError("every clip must be desirable (+1) or not (-1)")
    gain = (reference.detach() - policy).mean(1)  # (b,)
    level = (gain.mean() if level is None else level).detach().clamp(min=0)
    reward = beta * (gain - level)
    weight = torch.where(good, desirable_weight, undesirable_weight)
    loss = (weight * torch.sigmoid(torch.where(good, -reward, reward))).mean()
    return SingleLoss(loss, (beta * gain).detach(), level)
