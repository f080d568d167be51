"""The figures to watch, by hand on two pairs."""

import math

import pytest
import torch

from huvidpo_core.training.health import health
from huvidpo_core.training.kinds import KINDS
from tests.training.made import OnApple

MASK = torch.tensor([[0.0, 1, -1], [0, 1, 0], [0, 0, 0]])


def test_by_hand():
    """One pair whose winners gained 0.1 and 0.3 and whose losers lost 0.2; one that got it wrong; one unlabelled."""
    reference = torch.ones(2, 3, 3, dtype=torch.float64)
    policy = reference.clone()
    policy[:, 0] = torch.tensor([[5.0, 0.9, 1.2], [5.0, 1.2, 0.7]])
    policy[:, 1] = torch.tensor([[5.0, 1.1, 5.0], [9.0, 0.9, 9.0]])
    policy[:, 2] = 7.0
    factor = lambda *rewards: sum(1 / (1 + math.exp(r)) for r in rewards) / len(rewards)  # noqa: E731
    factors = {"huvidpo": factor(0.4, -0.2), "dense": factor(0.3, 0.5, -0.2), "dense-sum": factor(1.6, -0.4)}
    scale = torch.tensor([[9.0, 0.2, 0.4], [9, 0.5, 9], [9, 9, 9]])
    for kind in KINDS:
        found = health(policy, reference, MASK, kind=kind, beta=2.0, loser_scale=scale)
        assert found.winner_change == pytest.approx((-0.2 + 0.1) / 2)
        assert found.loser_change == pytest.approx((0.2 - 0.1) / 2)
        assert found.accuracy == 0.5 and found.pairs == 2
        assert found.gradient_factor == pytest.approx(factors[kind])
        assert found.loser_scale == pytest.approx((0.3 + 0.5) / 2)


@pytest.mark.parametrize("kind", KINDS)
def test_an_untrained_policy_knows_nothing(kind):
    """Accuracy and factor 0.5, no change, lambda 1."""
    errors = torch.rand(2, 3, 3)
    found = health(errors, errors, MASK, kind=kind, beta=500.0)
    assert (found.winner_change, found.loser_change, found.accuracy, found.gradient_factor) == (0, 0, 0.5, 0.5)
    assert found.loser_scale == 1


def test_nothing_labelled_is_refused():
    """Rather than a figure that is not a number."""
    with pytest.raises(ValueError, match="label"):
        health(torch.ones(2, 1, 3), torch.ones(2, 1, 3), torch.zeros(1, 3), kind="huvidpo", beta=1.0)


def test_a_device_without_float64_tells_the_same():
    """Apple's GPUs."""
    draw = torch.Generator().manual_seed(0)
    policy, reference = (torch.rand(2, 3, 3, generator=draw) for _ in range(2))
    wanted = health(policy, reference, MASK, kind="dense", beta=2.0)
    given = (tensor.as_subclass(OnApple) for tensor in (policy, reference, MASK))
    assert health(*given, kind="dense", beta=2.0) == wanted
