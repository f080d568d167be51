"""Beta measured from the margins that training itself makes."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from huvidpo_core.errors import UserError
from huvidpo_core.training import probe
from huvidpo_core.training.losses import margins
from tests.training.made import SETTINGS, aligner, draws, lessons, mean_errors, network, same, values


@pytest.mark.parametrize("loss", ["dense", "dense-sum"])
def test_the_measuring_pass_leaves_the_lora_and_hits_the_target(tmp_path, loss):
    """LoRA, gradients and the first step's draw are as without it. The same pass written out (AdamW on the bare
    margin) makes margins at whose median the gradient factor is the target."""
    settings = replace(SETTINGS, loss=loss, beta=0.0, gradient_factor=0.3, held_out=0)
    made = lessons()
    training = aligner(tmp_path, settings, learned=made)
    before, unet = values(training), copy.deepcopy(training._unet)
    next(training.run())
    assert same(values(training), before) and all(value.grad is None for value in training.parameters.values())

    reference, scratch = network(), [unet.get_parameter(name) for name in training.parameters]
    optimizer = torch.optim.AdamW(scratch, lr=settings.lr, weight_decay=0)
    drawn_from, sizes = draws(made, settings), []
    for step in range(12 + 24):
        drawn = drawn_from.at((1 << 20) + step)
        with torch.no_grad():
            given = torch.stack([mean_errors(reference, drawn, side) for side in (0, 1)])
        found = torch.stack([mean_errors(unet, drawn, side) for side in (0, 1)])
        margin = margins(found, given, drawn.batch.mask, kind=loss)
        if step < 12:
            optimizer.zero_grad()
            (-margin.mean()).backward()
            optimizer.step()
        else:
            sizes.append(margin.detach().abs())
    slope = 1.0 if loss == "dense-sum" else 0.5
    reward = slope * training.beta * torch.cat(sizes).quantile(0.5).item()
    assert 1 / (1 + math.exp(reward)) == pytest.approx(0.3, abs=0.02)


def test_clips_that_do_not_differ_leave_no_beta_to_measure(tmp_path, monkeypatch):
    """Winner and loser the same: a sentence that says what to do."""
    monkeypatch.setattr(probe, "STEPS", 2)
    monkeypatch.setattr(probe, "LOOKS", 4)
    made = lessons()
    for i in range(5):
        made.latents[f"l{i}"] = made.latents[f"w{i}"].clone()
    with pytest.raises(UserError, match="hardly differ"):
        next(aligner(tmp_path, replace(SETTINGS, beta=0.0), learned=made).run())


def test_too_large_a_learning_rate_is_a_sentence(tmp_path, monkeypatch):
    """The pass diverges, as the training would; the LoRA is as it was."""
    monkeypatch.setattr(probe, "STEPS", 3)
    monkeypatch.setattr(probe, "LOOKS", 4)
    training = aligner(tmp_path, replace(SETTINGS, beta=0.0, lr=1e30))
    before = values(training)
    with pytest.raises(UserError, match="diverged while beta was measured"):
        next(training.run())
    assert same(values(training), before)
