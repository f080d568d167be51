"""The preference losses against the published script's recorded steps and against sums by hand."""

import math

import pytest
import torch
from safetensors.torch import load_file

from huvidpo_core.training.losses import KINDS, pair_errors, preference_loss
from tests.reference import reference


def test_huvidpo_is_the_published_loss():
    """From recorded predictions, frame 0 left out, beta 50: four errors, margin and loss agree to 1e-5."""
    step = {
        name.removeprefix("step0."): value
        for name, value in load_file(reference("dpo.safetensors")).items()
        if name.startswith("step0.")
    }
    noise = torch.cat([step["noise"], step["noise"]])
    policy, given = (
        pair_errors(torch.cat([step[f"{who}_pred_w"], step[f"{who}_pred_l"]]), noise) for who in ("model", "ref")
    )
    for side, letter in enumerate("wl"):
        assert policy[side, :, 1:].mean().item() == pytest.approx(step[f"model_loss_{letter}"].item(), abs=1e-5)
        assert given[side, :, 1:].mean().item() == pytest.approx(step[f"ref_loss_{letter}"].item(), abs=1e-5)
    mask = torch.ones(1, 16)
    mask[:, 0] = 0
    result = preference_loss(policy, given, mask, kind="huvidpo", beta=50.0)
    assert result.loss.item() == pytest.approx(step["loss"].item(), abs=1e-5)
    # The published script stores what stands inside the sigmoid.
    assert result.implicit_reward_margin.item() == pytest.approx(step["inside_term"].item(), abs=1e-5)


def test_each_kind_by_hand():
    """One pair of three frames, the first a tie, the second better on the first clip, the third on the second."""
    policy = torch.tensor([[[1.0, 0.5, 0.7]], [[1.0, 0.9, 0.4]]])
    given = torch.tensor([[[1.0, 0.6, 0.6]], [[1.0, 0.8, 0.5]]])
    mask = torch.tensor([[0.0, 1.0, -1.0]])
    # d = (policy - given) of the first minus of the second: 0, -0.1 - 0.1, 0.1 + 0.1; the better side gained 0.2 twice.
    lost = lambda reward: math.log(1 + math.exp(-reward))  # noqa: E731
    wanted = {"huvidpo": lost(0.5 * 10 * 0.2), "dense": lost(0.5 * 10 * 0.2), "dense-sum": lost(10 * 0.4)}
    for kind, loss in wanted.items():
        result = preference_loss(policy, given, mask, kind=kind, beta=10.0)
        assert result.loss.item() == pytest.approx(loss, rel=1e-5), kind
        assert result.implicit_reward_margin.item() == pytest.approx(0.5 * 10 * 0.2, rel=1e-5), kind


def test_frames_of_opposite_labels_cancel_in_one_sigmoid_but_not_in_many():
    """Gains of 0.3 and -0.1: "huvidpo" sees their mean, "dense" each alone."""
    policy = torch.tensor([[[0.7, 1.1]], [[1.0, 1.0]]])
    given, mask = torch.ones(2, 1, 2), torch.ones(1, 2)
    lost = lambda reward: math.log(1 + math.exp(-reward))  # noqa: E731
    one = preference_loss(policy, given, mask, kind="huvidpo", beta=2.0).loss.item()
    many = preference_loss(policy, given, mask, kind="dense", beta=2.0).loss.item()
    assert one == pytest.approx(lost(0.1), rel=1e-5)
    assert many == pytest.approx((lost(0.3) + lost(-0.1)) / 2, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unchanged_policy_loses_ln_2_and_pulls_the_right_way(kind):
    """Policy equal to reference: ln 2; descending, the winner's error falls, the loser's rises, ties stay put."""
    policy = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mask = torch.tensor([[0.0, 1, 1, 0], [0, -1, -1, -1], [0, 0, 0, 0]])
    loss = preference_loss(policy, policy.detach(), mask, kind=kind, beta=50.0).loss
    assert loss.item() == pytest.approx(math.log(2), rel=1e-6)
    loss.backward()
    assert torch.equal(policy.grad[0].sign(), mask) and torch.equal(policy.grad[1].sign(), -mask)


def test_what_cannot_be_is_said():
    """Unknown kinds, ill-fitting shapes and pairs without any label are refused."""
    errors = torch.ones(2, 1, 3)
    with pytest.raises(ValueError, match="unknown preference loss"):
        preference_loss(errors, errors, torch.ones(1, 3), kind="ppo", beta=1.0)
    with pytest.raises(ValueError, match="must be"):
        preference_loss(errors, errors, torch.ones(3), beta=1.0)
    with pytest.raises(ValueError, match="label"):
        preference_loss(errors, errors, torch.zeros(1, 3), beta=1.0)
