"""Preference losses on per-frame errors; they know no model.

All are functions of the *margin*: by how much the policy, measured against the reference, has become better on the
preferred side than on the other. Errors are mean squared errors over channels and positions, one per frame, so beta is
in their inverse unit; HuViDPO's 50 goes with that reduction (method.md section 3). Margins times beta are *rewards*,
without unit, and `loss_type` says what a reward costs.

What goes with it: `calibrate` (a beta), `safeguard` (a scale for the loser's gradient), `health` (figures to watch),
`single` (ratings of single clips, KTO).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from huvidpo_core.training.kinds import KINDS, LOSS_TYPES


@dataclass(frozen=True)
class PreferenceLoss:
    """A loss (), and for every pair its implicit reward margin (b,): above 0 the policy agrees with the label. It is
    beta/2 times the mean over labelled frames whatever the kind, so that kinds can be compared.

    `count` () is how many pairs (for "dense", frames) the loss is the mean of: several batches or processes together
    have the loss sum(loss * count) / sum(count).
    """

    loss: Tensor
    implicit_reward_margin: Tensor
    count: Tensor


def preference_loss(
    policy: Tensor,
    reference: Tensor,
    mask: Tensor,
    *,
    kind: str = "huvidpo",
    beta: float,
    loss_type: str = "sigmoid",
    label_smoothing: float = 0.0,
    tie_threshold: float = 0.0,
    ties: Tensor | None = None,
    winner_anchor: float = 0.0,
    loser_scale: Tensor | None = None,
    weight: Tensor | None = None,
) -> PreferenceLoss:
    """Loss of a batch of pairs.

    With d_f = (policy_f - reference_f of the first) - (policy_f - reference_f of the second) and m the mask, `kind`
    says what a reward r is and over what the mean goes; `dense-sum` has no 1/2, as its source:

    - "huvidpo": r = -beta/2 * mean of m_f d_f over frames with m_f != 0; one for each pair. Eq. 9 of HuViDPO, which is
      Diffusion-DPO's (Wallace et al. 2023) with one label for the clip; for pictures, one frame.
    - "dense": r_f = -beta/2 * m_f d_f; one for each frame with m_f != 0, of all pairs. The appendix of DenseDPO (2025).
    - "dense-sum": r = -beta * sum of m_f d_f; one for each pair. Eq. 7 of DenseDPO.

    `loss_type`, names and meanings as TRL's `DPOConfig`, says what r costs:

    - "sigmoid": -log sigmoid(r) (DPO). With `label_smoothing` e, the share of labels taken to be wrong:
      -(1 - e) log sigmoid(r) - e log sigmoid(-r), cDPO (Mitchell 2023); least at sigmoid(r) = 1 - e.
    - "robust": [-(1 - e) log sigmoid(r) + e log sigmoid(-r)] / (1 - 2e), unbiased under that noise (Chowdhury et al.
      2024); falls without bound.
    - "hinge": max(0, 1 - r) (SLiC, Zhao et al. 2023); no pull once r is 1.
    - "ipo": (r - 1/2)^2 (Azar et al. 2023, Eq. 17), which pulls a margin back that is too large. TRL's is this divided
      by beta^2: the same minimum, but a gradient that would vanish at our betas.

    An untrained policy loses ln 2, ln 2, 1 and 1/4, with a gradient in r of -(1 - 2e)/2, -1/(2 - 4e), -1 and -1. With
    other options it loses what `preference_loss(reference, reference, ...)` says.

    Args:
        policy: (2, b, f) mean squared errors, index 0 the winner (or first clip), 1 the loser (or second).
        reference: (2, b, f), the same of the reference model, which gets no gradient.
        mask: (b, f) in {-1, 0, +1}: which side is better in a frame; 0 for a tie, for frames without a label and for
            those that are given, as frame 0 is.
        kind: one of `kinds.KINDS`.
        beta: strength of the pull towards the reference, > 0.
        loss_type: one of `kinds.LOSS_TYPES`.
        label_smoothing: e, 0 <= e < 1/2; for "sigmoid" and "robust".
        tie_threshold: log k of Rao and Kupper's model (1967), a reward; 0: ties say nothing, as in DenseDPO. Above it
            P(better) = sigmoid(r - log k) and P(tie) = (k^2 - 1) sigmoid(r - log k) sigmoid(-r - log k), so a tie pulls
            the margin to 0 and costs its -log P. VideoAlign's reward trainer (Liu et al. 2025) has log 5. For
            "sigmoid" and "robust".
        ties: (b, f) bool, frames that were judged equal; `mask` is 0 there. For "dense" each is a term. The other kinds
            have one label for a pair: it is a tie if it has ties and no frame with a winner, and then r is over those
            frames; in a pair with a winner ties stay out.
        winner_anchor: adds this times the winner's own error (per pair its mean over labelled frames), the supervised
            term of Reg-DPO and Local-DPO (2025; 0.1 there), TRL's `rpo_alpha`. In units of error, so beta changes what
            it weighs: the loss itself pulls the winner with up to beta/2, at the start beta/4.
        loser_scale: what the loser's gradient is multiplied by, broadcastable to (b, f); see `safeguard`. The loss's
            value stays the same.
        weight: (b,), of each pair, 0 or more. NOT divided by its sum, which would undo it in a batch of one: let its
            mean over the training set be 1.

    A pair without a label weighs nothing. What is not a number stays so in the loss; it is never hidden.

    Raises:
        ValueError: an unknown kind or type, a value out of range, shapes or options that do not fit, or no label.
    """
    said = ties is not None and tie_threshold > 0
    judged_equal = ties.bool() if said else torch.zeros_like(mask, dtype=torch.bool)
    _check(policy, reference, mask, judged_equal, kind)
    _check_options(beta, loss_type, label_smoothing, tie_threshold, winner_anchor, weight, len(mask))
    mask = mask.to(policy.dtype)
    change = policy - reference.detach()
    if loser_scale is not None:
        loses = torch.stack([mask < 0, mask > 0])  # (2, b, f)
        held = change.detach()
        change = torch.where(loses, held + loser_scale.detach() * (change - held), change)

    margin, decided, tied = _margins(change, mask, judged_equal, kind)
    reward = slope(kind) * beta * margin
    terms = decided * _cost(reward, loss_type, label_smoothing, tie_threshold)
    if tie_threshold:
        terms = terms + tied * _tie_cost(reward, tie_threshold)
    if winner_anchor:
        error = (mask != 0) * sides(policy, mask)[0]  # (b, f)
        terms = terms + winner_anchor * (error if kind == "dense" else _mean(error, mask != 0))
    if weight is not None:
        terms = terms * (weight[:, None] if kind == "dense" else weight)
    count = (decided | tied).sum()
    if not count:
        raise ValueError("no frame of any pair has a label")
    agreement = _mean(mask * (change[1] - change[0]), mask != 0)
    return PreferenceLoss(terms.sum() / count, (beta / 2 * agreement).detach(), count)


def margins(policy: Tensor, reference: Tensor, mask: Tensor, *, kind: str = "huvidpo") -> Tensor:
    """What stands in the sigmoids before beta, in units of error, > 0 where the policy agrees; what is calibrated.

    Arguments as `preference_loss`. Returns (n,), one for each labelled pair (for "dense", frame), with the
    policy's gradient.
    """
    none = torch.zeros_like(mask, dtype=torch.bool)
    _check(policy, reference, mask, none, kind)
    margin, decided, _ = _margins(policy - reference.detach(), mask.to(policy.dtype), none, kind)
    return margin[decided]


def slope(kind: str) -> float:
    """Reward for each unit of beta times margin: 1/2, but 1 for "dense-sum" and for `single`'s "kto"."""
    return 1.0 if kind in ("dense-sum", "kto") else 0.5


def sides(errors: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The winner's and the loser's (b, f) of errors (2, b, f); where the mask is 0 it means nothing."""
    first = mask > 0
    return torch.where(first, errors[0], errors[1]), torch.where(first, errors[1], errors[0])


def pair_errors(prediction: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared errors (2, b, f) of a batch that holds all winners, then all losers: (2b, c, f, h, w) each."""
    error = (prediction.float() - wanted.float()).square().mean((1, 3, 4))
    return torch.stack(error.chunk(2))


def _margins(change: Tensor, mask: Tensor, ties: Tensor, kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """Margins, which of them have a winner, and which are ties: (b, f) each for "dense", else (b,)."""
    gain = change[1] - change[0]  # (b, f), > 0 where the first side improved more
    decided = mask != 0
    if kind != "dense":
        ties = ties & ~decided.any(1, keepdim=True)
    margin = (mask + ties) * gain  # a tie costs the same whichever side is taken for the first
    if kind == "dense":
        return margin, decided, ties
    margin = _mean(margin, decided | ties) if kind == "huvidpo" else margin.sum(1)
    return margin, decided.any(1), ties.any(1)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """Mean (b,) over the frames that count, of values (b, f) that are 0 elsewhere; 0 where none does."""
    return values.sum(1) / where.sum(1).clamp(min=1)


def _cost(reward: Tensor, loss_type: str, smoothing: float, threshold: float) -> Tensor:
    if loss_type == "hinge":
        return F.relu(1 - reward)
    if loss_type == "ipo":
        return (reward - 0.5).square()
    right = -F.logsigmoid(reward - threshold)
    if not smoothing:
        return right
    wrong = -F.logsigmoid(-reward - threshold)
    if loss_type == "robust":
        return ((1 - smoothing) * right - smoothing * wrong) / (1 - 2 * smoothing)
    return (1 - smoothing) * right + smoothing * wrong


def _tie_cost(reward: Tensor, threshold: float) -> Tensor:
    either = F.logsigmoid(reward - threshold) + F.logsigmoid(-reward - threshold)
    return -either - math.log(math.expm1(2 * threshold))


def _check(policy: Tensor, reference: Tensor, mask: Tensor, ties: Tensor, kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"unknown preference loss {kind!r}; choose one of {', '.join(KINDS)}")
    if policy.ndim != 3 or policy.shape[0] != 2 or policy.shape != reference.shape or mask.shape != policy.shape[1:]:
        shapes = f"{tuple(policy.shape)}, {tuple(reference.shape)}, {tuple(mask.shape)}"
        raise ValueError(f"policy and reference must be (2, b, f) and mask (b, f), got {shapes}")
    if not torch.equal(mask, mask.sign()):
        raise ValueError("the mask must be made of -1, 0 and +1")
    if ties.shape != mask.shape or (ties & (mask != 0)).any():
        raise ValueError(f"ties must be (b, f) and lie where the mask is 0, got {tuple(ties.shape)}")


def _check_options(
    beta: float, loss_type: str, smoothing: float, threshold: float, anchor: float, weight: Tensor | None, pairs: int
) -> None:
    if loss_type not in LOSS_TYPES:
        raise ValueError(f"unknown loss type {loss_type!r}; choose one of {', '.join(LOSS_TYPES)}")
    if not 0 < beta < math.inf:
        raise ValueError(f"beta must be above 0, got {beta}")
    if not 0 <= smoothing < 0.5 or not 0 <= threshold < math.inf or not 0 <= anchor < math.inf:
        raise ValueError(f"out of range: label_smoothing {smoothing}, tie_threshold {threshold}, anchor {anchor}")
    if loss_type in ("hinge", "ipo") and (smoothing or threshold):
        raise ValueError(f"{loss_type!r} is no likelihood: it has neither label_smoothing nor tie_threshold")
    if weight is not None and (weight.shape != (pairs,) or not (weight >= 0).all()):
        raise ValueError(f"weight must be ({pairs},) and 0 or more")
