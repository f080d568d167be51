"""The safeguarded loser gradient against autograd: a step never raises the winner's error, and without it, it does."""

import numpy as np
import pytest
import torch

from huvidpo_core.training.kinds import KINDS
from huvidpo_core.training.losses import pair_errors, preference_loss
from huvidpo_core.training.safeguard import safeguard

MASK = torch.tensor([[0.0, 1, 1, -1], [0, -1, -1, 0]])


def clips(seed: int, common: float) -> torch.Tensor:
    """Residuals (4, 2, 4, 3, 3) of two pairs whose sides share a part, the loser's the larger."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(2, 2, 4, 3, 3, generator=generator, dtype=torch.float64)
    second = common * 2 * first + 0.5 * torch.randn(first.shape, generator=generator, dtype=torch.float64)
    swapped = (MASK < 0)[:, None, :, None, None]
    return torch.cat([torch.where(swapped, second, first), torch.where(swapped, first, second)])


def winners_error(errors: torch.Tensor) -> torch.Tensor:
    """(b, f), 0 without a label."""
    return torch.where(MASK > 0, errors[0], errors[1]) * (MASK != 0)


def first_order_change(kind: str, mu: float | None, common: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """How the winner's error (b, f) changes by a small step in a weight, and how it would by its own descent alone.

    The weight is an offset of the output that both sides of a pair have in common: what a step does to one side's
    output it does to the other's, so the approximation of the method holds exactly. The gradients are autograd's.
    """
    residual = clips(seed, common)
    offset = torch.zeros(2, 2, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    errors = pair_errors64(residual + offset.repeat(2, 1, 1, 1, 1))
    given = torch.rand(2, 2, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    scale = None if mu is None else safeguard(residual, MASK, kind=kind, mu=mu).double()
    loss = preference_loss(errors, given, MASK, kind=kind, beta=3.0, loser_scale=scale).loss
    (step,) = torch.autograd.grad(loss, offset, retain_graph=True)
    (own,) = torch.autograd.grad(winners_error(errors).sum(), offset)
    return -(step * own).sum((1, 3, 4)), own.square().sum((1, 3, 4))


def pair_errors64(residual: torch.Tensor) -> torch.Tensor:
    return torch.stack(residual.square().mean((1, 3, 4)).chunk(2))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_a_step_never_raises_the_winners_error(kind, seed):
    """To first order, for every pair (dense: every frame); the plain loss does raise it on these."""
    for mu in (0.0, 0.3, 0.9):
        change, descent = first_order_change(kind, mu, common=1.0, seed=seed)
        change, descent = (v if kind == "dense" else v.sum(1) for v in (change, descent))
        assert (change <= 1e-6 * descent).all()  # 1e-6: lambda is in single precision
        assert mu == 0 or (change[change != 0] < 0).all()
    plain, _ = first_order_change(kind, None, common=1.0, seed=seed)
    assert (plain.sum(1) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_lambda_is_the_papers_from_autograd(kind):
    """Against gradients of the two mean squared errors with respect to the prediction, one lambda for each sigmoid."""
    prediction = clips(7, common=0.6).requires_grad_()
    errors = pair_errors(prediction, torch.zeros_like(prediction))
    winner, loser = winners_error(errors), winners_error(errors.flip(0))
    own, other = (torch.autograd.grad(e.sum(), prediction, retain_graph=True)[0].numpy() for e in (winner, loser))
    # Each gradient lies in its own half of the batch; as gradients of "the output" they are compared in place.
    own, other = (np.stack(np.split(g, 2)).sum(0) for g in (own, other))  # (b, c, f, h, w)
    frames = (
        [[(i, [f]) for f in range(4)] for i in range(2)] if kind == "dense" else [[(i, range(4))] * 4 for i in (0, 1)]
    )
    wanted = np.ones((2, 4))
    for i, row in enumerate(frames):
        for f, (pair, which) in enumerate(row):
            a, b = own[pair][:, list(which)], other[pair][:, list(which)]
            if (a * b).sum() > 0:
                wanted[i, f] = min(1, 0.4 * (a * a).sum() / (a * b).sum())
    assert (wanted < 1).any()
    found = safeguard(prediction, MASK, kind=kind, mu=0.6)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5)
    assert not found.requires_grad


def test_where_the_loser_does_not_pull_against_the_winner_it_is_let_be():
    """Residuals that point apart or are orthogonal: lambda 1, whatever mu; without a label too."""
    winner = torch.randn(1, 2, 4, 3, 3)
    mask = torch.tensor([[0.0, 1, 1, 1]])
    for loser in (-winner, torch.zeros_like(winner)):
        assert torch.equal(safeguard(torch.cat([winner, loser]), mask, mu=1.0), torch.ones(1, 4))
    assert torch.equal(safeguard(torch.cat([winner, winner]), torch.zeros(1, 4), mu=1.0), torch.ones(1, 4))
    torch.testing.assert_close(safeguard(torch.cat([winner, winner]), mask, mu=0.9), torch.full((1, 4), 0.1))


def test_a_pair_has_the_same_lambda_in_any_batch():
    """Alone or beside another: so that several processes train as one does."""
    residual = clips(3, common=1.0)
    whole = safeguard(residual, MASK, mu=0.5)
    for pair in range(2):
        torch.testing.assert_close(safeguard(residual[pair::2], MASK[pair : pair + 1], mu=0.5), whole[pair : pair + 1])


def test_what_does_not_fit_is_refused():
    """Shapes and mu."""
    with pytest.raises(ValueError, match="mu"):
        safeguard(clips(0, 1.0), MASK, mu=1.5)
    with pytest.raises(ValueError, match="must be"):
        safeguard(clips(0, 1.0)[:2], MASK, mu=0.5)
    with pytest.raises(ValueError, match="must be"):
        safeguard(clips(0, 1.0)[:, :, :3], MASK, mu=0.5)
