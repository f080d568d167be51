"""Where a stage finds what earlier stages made, and what it starts from."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from huvidpo_core.errors import UserError
from huvidpo_core.miniature.stages import paste
from huvidpo_core.miniature.workshop import BUDGETS, SHIPPED, Workshop


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path, BUDGETS["test"], torch.device("cpu"), torch.float32, workers=1)


def _weights(folder: Path, value: float) -> None:
    folder.mkdir(parents=True)
    tensors = {"weight": torch.full((1, 2), value), "bias": torch.zeros(1)}
    save_file({name: tensor.half() for name, tensor in tensors.items()}, folder / "diffusion_pytorch_model.safetensors")


def test_a_stage_prefers_what_was_made_here_to_what_it_starts_from(shop, tmp_path):
    """Nothing there: a sentence. An assembled miniature to start from: its part. The part made anew: that one."""
    with pytest.raises(UserError, match="run the stages before"):
        shop.made("vae")
    start = tmp_path / "assembled"
    _weights(start / SHIPPED["vae"], 1)
    from_start = dataclasses.replace(shop, start=start)
    assert from_start.made("vae") == start / "video/vae"
    _weights(tmp_path / "vae", 2)
    assert from_start.made("vae") == tmp_path / "vae"


def test_a_new_model_begins_with_the_weights_it_starts_from(shop, tmp_path):
    """Half-precision weights are taken over in the model's precision; without `start` a model stays as it was."""
    model = nn.Linear(2, 1)
    before = model.weight.detach().clone()
    assert torch.equal(shop.begin(model, "vae").weight, before)
    _weights(tmp_path / "assembled" / SHIPPED["vae"], 0.5)
    begun = dataclasses.replace(shop, start=tmp_path / "assembled").begin(model, "vae")
    assert begun.weight.dtype == torch.float32 and torch.equal(begun.weight, torch.full((1, 2), 0.5))


def test_latents_of_one_vae_are_not_taken_for_anothers(shop, tmp_path):
    """Another VAE, another folder of latents; the same VAE, the same folder."""
    _weights(tmp_path / "vae", 1)
    first = shop.latents
    assert first == shop.latents and first.parent == tmp_path
    (tmp_path / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    (tmp_path / "vae").rmdir()
    _weights(tmp_path / "vae", 2)
    assert shop.latents != first


def test_a_pasted_patch_is_still_and_comes_from_the_other_picture():
    """What is pasted is alike in all frames, rectangular, and every value of it occurs in the other picture."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        clip = torch.zeros(4, 5, 20, 32)
        other = torch.rand(4, 20, 32) + 1
        paste(clip, other, rng)
        changed = clip.ne(0).all(0)  # (f, h, w)
        assert torch.equal(clip.ne(0).any(0), changed) and (changed == changed[:1]).all()
        rows, columns = changed[0].any(1).sum(), changed[0].any(0).sum()
        assert 2 <= rows <= 8 and 2 <= columns <= 8 and changed[0].sum() == rows * columns
        assert (clip == clip[:, :1]).all() and torch.isin(clip[:, 0][:, changed[0]], other).all()
