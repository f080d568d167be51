"""Diffusion-KTO on single ratings, against its formula in numpy."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from huvidpo_core.training.calibrate import calibrate
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.objective import Objective
from huvidpo_core.training.single import gains, in_order, kto_loss
from tests.training.made import SETTINGS, OnApple, scheduler

GOOD = torch.tensor([True, False, True, False, False])
MASK = torch.where(GOOD, 1.0, -1.0)[:, None] * torch.tensor([0.0, 1, 1, 1])  # frame 0 is given


@pytest.fixture
def errors():
    return torch.rand(2, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).unbind()


@pytest.mark.parametrize("worse", [0.0, 2.0])
def test_it_is_its_formula(errors, worse):
    """With a policy that has gained on the whole, and one that has lost: then the level is 0. Frame 0 is left out."""
    policy, given = errors[0] - 0.4 + worse, errors[1]
    g = (given - policy)[:, 1:].mean(1).numpy()
    level = max(0.0, g.mean())
    assert (level > 0) == (worse == 0)
    y, w = np.where(GOOD, 1, -1), np.where(GOOD, 1.5, 0.5)
    wanted = np.mean(w * (1 - 1 / (1 + np.exp(-y * 4 * (g - level)))))
    result = kto_loss(policy, given, MASK, beta=4.0, weight=torch.tensor(w))
    assert result.loss.item() == pytest.approx(wanted)
    assert result.level.item() == pytest.approx(level)
    np.testing.assert_allclose(result.implicit_reward.numpy(), 4 * g)


def test_an_untrained_policy_loses_a_half_and_is_pulled_the_right_way(errors):
    """Descending, good clips' errors fall and bad ones' rise, each with beta / 4 over clips and frames that count."""
    policy = errors[1].clone().requires_grad_()
    result = kto_loss(policy, errors[1], MASK, beta=4.0)
    assert result.loss.item() == 0.5 and result.level == 0
    result.loss.backward()
    torch.testing.assert_close(policy.grad, (MASK * 4.0 / 4 / 15).double())


def test_the_level_has_no_gradient_and_can_come_from_elsewhere(errors):
    """A clip's gradient is the same whether its level was measured here or handed over."""
    gradients = []
    for level in (None, (errors[1] - errors[0] + 0.5)[:, 1:].mean().item()):
        policy = (errors[0] - 0.5).clone().requires_grad_()
        kto_loss(policy, errors[1], MASK, beta=4.0, level=level).loss.backward()
        gradients.append(policy.grad)
    torch.testing.assert_close(*gradients)
    alone = kto_loss(errors[1][:1] - 0.5, errors[1][:1], MASK[:1], beta=4.0, level=-3.0)
    assert alone.level == 0 and alone.loss.item() == pytest.approx(1 / (1 + math.exp(4 * 0.5)))


def test_frames_that_do_not_count_are_left_out():
    """A shorter clip beside a longer one: its mean is over its own frames."""
    policy, given = torch.tensor([[9.0, 0.8, 0.6, 9.0]]), torch.ones(1, 4)
    assert gains(policy, given, torch.tensor([[0.0, -1, -1, 0]])).tolist() == pytest.approx([0.3])


def test_the_share_in_order_is_over_all_pairs_of_a_good_and_a_bad_clip():
    """Good 1 and 3, bad 0, 1, 2: 1 beats 0 and ties with 1; 3 beats all. 4.5 of 6."""
    gain, good = torch.tensor([1.0, 3, 0, 1, 2]), torch.tensor([True, True, False, False, False])
    assert in_order(gain, good).item() == 4.5 / 6
    assert in_order(torch.zeros(5), good).item() == 0.5


def test_a_calibrated_beta_has_the_reward_asked_for():
    """No 1/2: at a gain of 0.002 sigmoid(-beta gain) is 0.3."""
    found = calibrate(torch.tensor([-3.0, 1.0, 2.0, -2.0, 90.0]) * 1e-3, kind="kto", target=0.3)
    assert 1 / (1 + math.exp(found.beta * 2e-3)) == pytest.approx(0.3, rel=1e-6)
    assert found.equivalents["huvidpo"] == pytest.approx(2 * found.beta)


def test_what_does_not_fit_is_refused(errors):
    """Neither good nor bad, both, other shapes, beta, weights."""
    for wrong in (MASK * 0, MASK * torch.tensor([0.0, 1, -1, 1])):
        with pytest.raises(ValueError, match="good"):
            kto_loss(*errors, wrong, beta=1.0)
    with pytest.raises(ValueError, match="must be"):
        kto_loss(*errors, MASK[:4], beta=1.0)
    with pytest.raises(ValueError, match="must be"):
        kto_loss(errors[0][:0], errors[1][:0], MASK[:0], beta=1.0)
    with pytest.raises(ValueError, match="beta"):
        kto_loss(*errors, MASK, beta=math.nan)
    with pytest.raises(ValueError, match="weight"):
        kto_loss(*errors, MASK, beta=1.0, weight=torch.ones(4))


def test_a_device_without_float64_is_told_alike():
    """Apple's GPUs: a step's figures, and how the level follows."""
    draw = torch.Generator().manual_seed(0)
    given = *(torch.rand(1, 5, 4, generator=draw) for _ in range(2)), MASK
    found = []
    for kind in (torch.Tensor, OnApple):
        objective = Objective.of(nn.Identity(), scheduler(), replace(SETTINGS, loss="kto"))
        tensors = [tensor.as_subclass(kind) for tensor in given]
        objective.follow(*tensors, Crew())
        found.append((objective.figures(*tensors), objective.level))
    assert found[0] == found[1]
