"""Preference losses on per-frame errors; they know no model.

All are a decreasing function of the *margin*: by how much the policy, measured against the reference, has become better
on the preferred side than on the other. Errors are mean squared errors over channels and positions, one per frame, so
beta is in their inverse unit; HuViDPO's 50 goes with that reduction (method.md section 3).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

KINDS = ("huvidpo", "dense", "dense-sum")


@dataclass(frozen=True)
class PreferenceLoss:
    """A loss (), and for every pair its implicit reward margin (b,): above 0 the policy agrees with the label."""

    loss: Tensor
    implicit_reward_margin: Tensor


def preference_loss(
    policy: Tensor, reference: Tensor, mask: Tensor, *, kind: str = "huvidpo", beta: float
) -> PreferenceLoss:
    """Loss of a batch of pairs.

    With d_f = (policy_f - reference_f of the first) - (policy_f - reference_f of the second) and m the mask:

    - "huvidpo": -log sigmoid(-beta/2 * mean of m_f d_f over frames with m_f != 0), Eq. 9 of HuViDPO, which is
      Diffusion-DPO's (Wallace et al. 2023) with one label for the clip; for pictures, one frame.
    - "dense": mean over frames with m_f != 0 of -log sigmoid(-beta/2 * m_f d_f), the appendix of DenseDPO (2025).
    - "dense-sum": -log sigmoid(-beta * sum of m_f d_f), Eq. 7 of DenseDPO.

    A pair without a label weighs nothing; the mean is over the pairs (for "dense", frames of all pairs) that have one.

    Args:
        policy: (2, b, f) mean squared errors, index 0 the winner (or first clip), 1 the loser (or second).
        reference: (2, b, f), the same of the reference model, which gets no gradient.
        mask: (b, f) in {-1, 0, +1}: which side is better in a frame; 0 for a tie and for frames that are given, as
            frame 0 is.
        kind: one of KINDS.
        beta: strength of the pull towards the reference, > 0.

    Raises:
        ValueError: an unknown kind, shapes that do not fit, or no label at all.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown preference loss {kind!r}; choose one of {', '.join(KINDS)}")
    if policy.ndim != 3 or policy.shape[0] != 2 or policy.shape != reference.shape or mask.shape != policy.shape[1:]:
        shapes = f"{tuple(policy.shape)}, {tuple(reference.shape)}, {tuple(mask.shape)}"
        raise ValueError(f"policy and reference must be (2, b, f) and mask (b, f), got {shapes}")
    labelled = (mask != 0).to(policy.dtype)  # (b, f)
    count = labelled.sum(1)  # (b,)
    if not count.any():
        raise ValueError("no frame of any pair has a label")
    change = policy - reference.detach()
    better = -mask * (change[0] - change[1])  # (b, f), > 0 where the preferred side improved more
    margin = better.sum(1) / count.clamp(min=1)
    if kind == "dense":
        loss = -(F.logsigmoid(beta / 2 * better) * labelled).sum() / labelled.sum()
    else:
        reward = beta / 2 * margin if kind == "huvidpo" else beta * better.sum(1)
        has = (count > 0).to(policy.dtype)
        loss = -(F.logsigmoid(reward) * has).sum() / has.sum()
    return PreferenceLoss(loss, (beta / 2 * margin).detach())


def pair_errors(prediction: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared errors (2, b, f) of a batch that holds all winners, then all losers: (2b, c, f, h, w) each."""
    error = (prediction.float() - wanted.float()).square().mean((1, 3, 4))
    return torch.stack(error.chunk(2))
