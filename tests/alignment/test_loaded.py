"""What an alignment loads: in which precision what it learns from is encoded, and that nothing is compiled."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from huvidpo_core.alignment import Alignment
from huvidpo_core.generation.animate import Animator
from huvidpo_core.generation.first_frame import FirstFramePainter
from huvidpo_core.generation.latents import encode
from huvidpo_core.picture_alignment import PictureAlignment
from huvidpo_core.training.crew import Crew

CPU = torch.device("cpu")


@pytest.fixture
def low(monkeypatch) -> None:
    """Weights in bfloat16, as on a GPU."""
    monkeypatch.setattr(Alignment, "_precision", torch.bfloat16)


def encoded(process: Alignment, monkeypatch, size: tuple[int, int]) -> tuple[object, torch.Tensor, np.ndarray]:
    """What it loads, and what it makes of frames (1, h, w, 3) of noise."""
    models, kept = process._load(), []
    frames = np.random.default_rng(0).integers(0, 256, (1, *size, 3), dtype=np.uint8)
    monkeypatch.setattr(process, "_encode_once", lambda read, encode, embed: iter([kept.append(encode(frames))]))
    list(process._encode(models))
    return models, kept[0], frames


def test_clips_are_encoded_in_whole_precision(begin, engine, low, monkeypatch):
    """What is learned from are the latents that float32 gives, to the bit, though the network is in bfloat16."""
    process = Alignment(begin(), engine.profile, CPU, Crew(), engine.data)
    animator, latents, frames = encoded(process, monkeypatch, (48, 64))
    whole = Animator.load(engine.profile.video, device=CPU, dtype=torch.float32)
    assert animator.unet.dtype == torch.bfloat16 and torch.equal(latents, encode(whole.vae, frames))


def test_pictures_are_encoded_in_whole_precision(begin, engine, low, monkeypatch):
    """Likewise; the painter's own VAE stays in the pipeline's precision, or samples could not be decoded."""
    process = PictureAlignment(begin(), engine.profile, CPU, Crew(), engine.data)
    painter, latents, picture = encoded(process, monkeypatch, (48, 64))
    whole = FirstFramePainter.load(engine.profile.first_frame, device=CPU, dtype=torch.float32)
    assert painter.vae.dtype == torch.bfloat16 and torch.equal(latents[:, :, 1:], encode(whole.vae, picture))


def test_a_compiled_profile_is_not_compiled_for_training(begin, engine):
    """Compiled blocks and recomputed activations do not go together: `compile = true` is for making clips."""
    profile = replace(engine.profile, video=replace(engine.profile.video, compile=True))
    unet = Alignment(begin(), profile, CPU, Crew(), engine.data)._load().unet
    assert all(module._compiled_call_impl is None for module in unet.modules())
    made = Animator.load(profile.video, device=CPU, dtype=torch.float32).unet
    assert any(module._compiled_call_impl is not None for module in made.modules())
