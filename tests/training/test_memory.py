"""The memory that a step needs, counted without weights."""

from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from diffusers import UNet2DConditionModel

from huvidpo_core.config import load_profile
from huvidpo_core.models import VideoUNet
from huvidpo_core.models.architectures import SD14
from huvidpo_core.training import lora
from huvidpo_core.training.frugal import channels_last, checkpointing
from huvidpo_core.training.memory import BESIDE, Needs, estimate, measure_step, needs
from huvidpo_core.training.settings import AlignSettings, load_settings

UNET = Path(__file__).parents[2] / "assets" / "miniature" / "video" / "unet"
SMALL = {"height": 80, "width": 128, "frames": 4, "folder": UNET}


@pytest.mark.parametrize("recomputed", [False, True])
def test_the_count_without_weights_is_that_of_a_real_step(recomputed):
    """The shipped network on the CPU: what really lives at the peak of a step, to a tenth: on `meta` norms do not leave
    their input's order in memory as it is, and copies are made and made again."""
    settings = replace(load_settings("miniature"), checkpointing=recomputed)
    unet = VideoUNet.from_pretrained(UNET, dtype=torch.float32)
    lora.attach(unet, settings.lora, 0)
    channels_last(unet)
    if recomputed:
        checkpointing(unet)
    real = measure_step(unet.train(), 2, 4, 10, 16)
    assert needs(settings, device="cpu", **SMALL).step == pytest.approx(real, rel=0.1)


def test_what_is_counted_goes_with_the_settings():
    """Twice the pairs, twice the step; one clip for two, half; half the precision, not quite half, for norms stay
    whole; recomputing, less; a larger rank, a larger adapter."""
    plain = AlignSettings(precision="float32")
    one = needs(plain, device="cuda", **SMALL)
    assert needs(replace(plain, batch=2), device="cuda", **SMALL).step == pytest.approx(2 * one.step, rel=0.1)
    assert 0.5 < needs(replace(plain, precision="auto"), device="cuda", **SMALL).step / one.step < 0.7
    assert needs(replace(plain, loss="kto"), device="cuda", **SMALL).step == pytest.approx(one.step / 2, rel=0.1)
    assert needs(replace(plain, checkpointing=True), device="cuda", **SMALL).step < 0.6 * one.step
    wider = replace(plain, lora=replace(plain.lora, rank=32))
    assert needs(wider, device="cuda", **SMALL).adapter == 2 * one.adapter


def test_the_published_network_fits_the_papers_gpu():
    """Stable Diffusion 1.4, inflated, 16 frames of 320 x 512 on 24 GB, in bfloat16; its weights are counted whole:
    those in two dimensions (diffusers' own), of the motion, and beside it."""
    with torch.device("meta"):
        flat = sum(each.numel() for each in UNet2DConditionModel(**SD14).parameters())
    assert flat == 859_520_964
    full = {"height": 320, "width": 512, "frames": 16, "device": "cuda"}
    found = needs(replace(load_settings("huvidpo"), checkpointing=False), **full)
    assert flat < found.weights / 2 - BESIDE < 1.3 * flat
    assert found.total < 19e9 < 24e9  # a group norm that kept its input twice would need 20.5 GB
    assert needs(replace(load_settings("huvidpo"), checkpointing=True), **full).total < 12e9


def test_the_sentence_says_what_there_is_and_what_to_do(monkeypatch):
    """Of this machine's memory; where it is too little, what makes it less."""
    video, cpu, settings = load_profile("miniature").video, torch.device("cpu"), load_settings("miniature")
    there = psutil.virtual_memory().total / 1e9
    assert f"of this machine's {there:.0f} GB of memory." in estimate(video, cpu, settings)
    monkeypatch.setattr("huvidpo_core.training.memory.needs", lambda *_, **__: Needs(1e15, 0, 0))
    words = estimate(video, cpu, replace(settings, batch=4))
    assert "more than there is" in words and "checkpointing" in words and "smaller batch" in words
