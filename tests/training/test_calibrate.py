"""A calibrated beta does what it is for: the loss itself then has the gradient factor that was asked for."""

import json
import math
from dataclasses import asdict

import pytest
import torch

from huvidpo_core.training.calibrate import calibrate, equivalents
from huvidpo_core.training.kinds import KINDS
from huvidpo_core.training.losses import margins, preference_loss
from tests.training.made import OnApple


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", [0.2, 0.35, 0.45])
def test_at_the_typical_margin_the_loss_has_the_factor_asked_for(kind, target):
    """Autograd's slope of the loss in that margin, by what it is at margin 0, is the factor by 1/2."""
    found = calibrate(torch.tensor([-3.0, 1.0, 2.0, -2.0, 90.0]) * 1e-3, kind=kind, target=target)
    assert found.typical_margin == pytest.approx(2e-3, rel=1e-6)
    slopes = []
    for margin in (0.0, 2e-3):
        policy = torch.tensor([[[1.0 - margin]], [[1.0]]], dtype=torch.float64, requires_grad=True)
        given, mask = torch.ones(2, 1, 1, dtype=torch.float64), torch.ones(1, 1)
        preference_loss(policy, given, mask, kind=kind, beta=found.beta).loss.backward()
        slopes.append(policy.grad[0].item())
    assert slopes[1] / slopes[0] == pytest.approx(target / 0.5, rel=1e-6)


def test_figures_of_the_notes():
    """At a margin of 0.001, factors .44, .22 and .08 are betas of about 500, 2500 and 5000 (and 5000 is .076)."""
    for factor, beta in ((0.44, 500), (0.22, 2500), (0.076, 5000)):
        assert calibrate(torch.full((3,), 1e-3), target=factor).beta == pytest.approx(beta, rel=0.05)


def test_what_is_written_down():
    """Mean factor over sizes, share that agrees with zeros as halves, the count; and it is plain JSON."""
    found = calibrate(torch.tensor([0.0, 1.0, -1.0, 3.0]), target=0.3)
    rewards = [found.beta / 2 * size for size in (0, 1, 1, 3)]
    assert found.mean_factor == pytest.approx(sum(1 / (1 + math.exp(r)) for r in rewards) / 4)
    assert found.agreement == (0.5 + 1 + 0 + 1) / 4 and found.measured == 4
    assert json.loads(json.dumps(asdict(found))) == asdict(found)


@pytest.mark.parametrize("kind", KINDS)
def test_equivalents_give_the_same_rewards(kind):
    """On pairs whose frames gain alike, each kind with its equivalent beta has the same loss; back gives the same."""
    gain = torch.linspace(-0.1, 0.2, 6, dtype=torch.float64)[:, None].expand(6, 5)
    policy, given = torch.stack([1 - gain, torch.ones_like(gain)]), torch.ones(2, 6, 5, dtype=torch.float64)
    mask = torch.tensor([0.0, 1, 1, 1, 1]).repeat(6, 1)
    wanted = preference_loss(policy, given, mask, kind=kind, beta=12.0).loss
    for other, beta in equivalents(12.0, kind, frames=4).items():
        if other in KINDS:
            torch.testing.assert_close(preference_loss(policy, given, mask, kind=other, beta=beta).loss, wanted)
            assert equivalents(beta, other, 4)[kind] == pytest.approx(12.0)
    assert equivalents(1000.0, "kto", 4)["huvidpo"] == 2000.0
    sizes = calibrate(margins(policy, given, mask, kind=kind), kind=kind, frames=4)
    assert sizes.equivalents == pytest.approx(calibrate(margins(policy, given, mask), frames=4).equivalents)


@pytest.mark.parametrize(
    "wrong", [torch.zeros(4), torch.tensor([]), torch.tensor([1.0, math.nan]), torch.tensor([0.0, 0.0, 0.0, 1.0])]
)
def test_margins_that_say_nothing_are_refused(wrong):
    """None, all or most of them 0, or not numbers."""
    with pytest.raises(ValueError, match="margins"):
        calibrate(wrong)


def test_settings_out_of_range_are_refused():
    """A factor of 1/2 would be beta 0."""
    for options in ({"target": 0.5}, {"target": 0.0}, {"kind": "ppo"}, {"frames": 0}):
        with pytest.raises(ValueError, match="out of range"):
            calibrate(torch.ones(3), **options)


def test_a_device_without_float64_is_calibrated_for_alike():
    """Apple's GPUs."""
    margins = torch.tensor([-3.0, 1.0, 2.0, -2.0, 90.0]) * 1e-3
    assert calibrate(margins.as_subclass(OnApple)) == calibrate(margins)
