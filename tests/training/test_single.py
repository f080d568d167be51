"""Diffusion-KTO on single ratings, against its formula in numpy."""

import math

import numpy as np
import pytest
import torch

from huvidpo_core.training.single import kto_loss

DESIRABLE = torch.tensor([1, -1, 1, -1, -1])


@pytest.fixture
def errors():
    return torch.rand(2, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).unbind()


@pytest.mark.parametrize("worse", [0.0, 2.0])
def test_it_is_its_formula(errors, worse):
    """With a policy that has gained on the whole, and one that has lost: then the level is 0."""
    policy, given = errors[0] - 0.4 + worse, errors[1]
    g = (given - policy).mean(1).numpy()
    level = max(0.0, g.mean())
    assert (level > 0) == (worse == 0)
    y, w = DESIRABLE.numpy(), np.where(DESIRABLE > 0, 1.5, 0.5)
    wanted = np.mean(w * (1 - 1 / (1 + np.exp(-y * 4 * (g - level)))))
    result = kto_loss(policy, given, DESIRABLE, beta=4.0, desirable_weight=1.5, undesirable_weight=0.5)
    assert result.loss.item() == pytest.approx(wanted)
    assert result.level.item() == pytest.approx(level)
    np.testing.assert_allclose(result.implicit_reward.numpy(), 4 * g)


def test_an_untrained_policy_loses_a_half_and_is_pulled_the_right_way(errors):
    """Descending, good clips' errors fall and bad ones' rise, each with beta / 4 over clips and frames."""
    policy = errors[1].clone().requires_grad_()
    result = kto_loss(policy, errors[1], DESIRABLE, beta=4.0)
    assert result.loss.item() == 0.5 and result.level == 0
    result.loss.backward()
    torch.testing.assert_close(policy.grad, (DESIRABLE[:, None] * 4.0 / 4 / 15).expand(5, 3).double())


def test_the_level_has_no_gradient_and_can_come_from_elsewhere(errors):
    """A clip's gradient is the same whether its level was measured here or handed over."""
    gradients = []
    for level in (None, (errors[1] - errors[0] + 0.5).mean()):
        policy = (errors[0] - 0.5).clone().requires_grad_()
        kto_loss(policy, errors[1], DESIRABLE, beta=4.0, level=level).loss.backward()
        gradients.append(policy.grad)
    torch.testing.assert_close(*gradients)
    alone = kto_loss(errors[1][:1] - 0.5, errors[1][:1], DESIRABLE[:1], beta=4.0, level=torch.tensor(-3.0))
    assert alone.level == 0 and alone.loss.item() == pytest.approx(1 / (1 + math.exp(4 * 0.5)))


def test_what_does_not_fit_is_refused(errors):
    """Neither good nor bad, other shapes, beta."""
    with pytest.raises(ValueError, match="desirable"):
        kto_loss(*errors, torch.tensor([1, 0, 1, -1, 1]), beta=1.0)
    with pytest.raises(ValueError, match="must be"):
        kto_loss(*errors, torch.ones(4), beta=1.0)
    with pytest.raises(ValueError, match="must be"):
        kto_loss(errors[0][:0], errors[1][:0], torch.ones(0), beta=1.0)
    with pytest.raises(ValueError, match="beta"):
        kto_loss(*errors, DESIRABLE, beta=math.nan)
