"""The preference losses against the published script's recorded steps and against sums by hand."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from huvidpo_core.models import VideoUNet, official
from huvidpo_core.models import preference as lora
from huvidpo_core.training.kinds import KINDS
from huvidpo_core.training.losses import margins, pair_errors, preference_loss, sides, slope
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


def test_its_gradient_is_the_published_one():
    """Through the network and the published LoRA, every recorded gradient agrees to 1e-3 of its largest entry."""
    recorded = load_file(reference("dpo.safetensors"))
    step = {name.removeprefix("step0."): value for name, value in recorded.items() if name.startswith("step0.")}
    unet = VideoUNet.from_official(reference("model/unet"))
    tensors, _ = official.read_lora(reference("lora/model_weights.pth"))
    lora.attach(unet, lora.from_published(tensors), "published")
    noisy, noise, text = torch.cat([step["noisy_w"], step["noisy_l"]]), step["noise"], step["encoder_hidden_states"]
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_("lora_" in name)
    prediction = unet(noisy, step["timesteps"].repeat(2), text.repeat(2, 1, 1)).sample
    policy = pair_errors(prediction, noise.repeat(2, 1, 1, 1, 1))
    given = pair_errors(torch.cat([step["ref_pred_w"], step["ref_pred_l"]]), noise.repeat(2, 1, 1, 1, 1))
    mask = torch.ones(1, 16)
    mask[:, 0] = 0
    preference_loss(policy, given, mask, kind="huvidpo", beta=50.0).loss.backward()
    learned = dict(unet.named_parameters())
    gradients = {name: value for name, value in recorded.items() if name.startswith("grad_step0.")}
    assert len(gradients) == 6
    for name, gradient in gradients.items():
        own = learned[name.removeprefix("grad_step0.base_model.model.").replace(".default.", ".published.")].grad
        torch.testing.assert_close(own, gradient, rtol=0, atol=1e-5, msg=name)


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
    with pytest.raises(ValueError, match="-1, 0 and"):
        preference_loss(errors, errors, torch.full((1, 3), 0.5), beta=1.0)
    with pytest.raises(ValueError, match="-1, 0 and"):
        preference_loss(errors, errors, torch.full((1, 3), math.nan), beta=1.0)
    with pytest.raises(ValueError, match="beta"):
        preference_loss(errors, errors, torch.ones(1, 3), beta=0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_a_number_is_not_hidden(kind):
    """An error that is NaN makes the loss NaN, also in a frame without a label, so that a run notices."""
    for frame in (0, 1):
        policy = torch.ones(2, 2, 3)
        policy[1, 0, frame] = math.nan
        mask = torch.tensor([[0.0, 1, 1], [0, 1, 1]])
        assert preference_loss(policy, torch.ones(2, 2, 3), mask, kind=kind, beta=1.0).loss.isnan()


def test_with_one_frame_the_kinds_are_one():
    """For a picture, "dense" is "huvidpo", and "dense-sum" is so with half the beta: loss and gradient."""
    generator = torch.Generator().manual_seed(1)
    errors, given = torch.rand(2, 5, 1, generator=generator), torch.rand(2, 5, 1, generator=generator)
    mask = torch.tensor([[1.0], [-1], [1], [0], [-1]])
    found = []
    for kind, beta in (("huvidpo", 6.0), ("dense", 6.0), ("dense-sum", 3.0)):
        policy = errors.clone().requires_grad_()
        loss = preference_loss(policy, given, mask, kind=kind, beta=beta).loss
        loss.backward()
        found.append(torch.cat([loss.detach()[None], policy.grad.flatten()]))
    torch.testing.assert_close(found[1], found[0])
    torch.testing.assert_close(found[2], found[0])


@pytest.mark.parametrize("kind", KINDS)
def test_batches_join_by_their_counts(kind):
    """A batch's loss is the mean of its pairs' losses, weighted by `count`: two processes can make one of theirs."""
    policy, given = torch.rand(2, 2, 3, 4, generator=torch.Generator().manual_seed(2)).unbind()
    mask = torch.tensor([[0.0, 1, 1, 0], [0, -1, 1, -1], [0, 0, 0, 1]])
    whole = preference_loss(policy, given, mask, kind=kind, beta=9.0)
    parts = [
        preference_loss(policy[:, part], given[:, part], mask[part], kind=kind, beta=9.0)
        for part in (slice(0, 1), slice(1, 3))
    ]
    assert sum(part.count for part in parts) == whole.count == (6 if kind == "dense" else 3)
    joined = sum(part.loss * part.count for part in parts) / whole.count
    torch.testing.assert_close(joined, whole.loss)


@pytest.mark.parametrize("kind", KINDS)
def test_margins_are_what_the_sigmoid_is_given(kind):
    """From margins and slope alone, in numpy, the loss comes out; swapping the sides and the labels changes nothing."""
    policy, given = torch.rand(2, 2, 3, 4, generator=torch.Generator().manual_seed(3)).unbind()
    mask = torch.tensor([[0.0, 1, 1, 0], [0, -1, 1, -1], [0, 0, 0, 0]])
    found = margins(policy, given, mask, kind=kind)
    assert len(found) == (5 if kind == "dense" else 2)
    by_hand = np.log1p(np.exp(-slope(kind) * 7 * found.double().numpy())).mean()
    assert preference_loss(policy, given, mask, kind=kind, beta=7.0).loss.item() == pytest.approx(by_hand, rel=1e-5)
    torch.testing.assert_close(margins(policy.flip(0), given.flip(0), -mask, kind=kind), found)


def test_sides_follow_the_mask_frame_by_frame():
    """Where the second clip is better, it is the winner."""
    errors, mask = torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]]), torch.tensor([[1.0, -1.0]])
    winner, loser = sides(errors, mask)
    assert winner.tolist() == [[1.0, 4.0]] and loser.tolist() == [[3.0, 2.0]]
