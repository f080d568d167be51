"""The memory that a step needs, counted without weights."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DConditionModel

from huvidpo_core.config import ASSETS, load_profile
from huvidpo_core.container import memory_there
from huvidpo_core.models import VideoUNet, motion_parameters
from huvidpo_core.models.architectures import SD14
from huvidpo_core.models.counting import LiveBytes
from huvidpo_core.training import lora
from huvidpo_core.training.frugal import channels_last, checkpointing
from huvidpo_core.training.memory import BESIDE, Needs, estimate, measure_step, needs
from huvidpo_core.training.motion_settings import MotionSettings, load_motion_settings
from huvidpo_core.training.pictures import PictureUNet
from huvidpo_core.training.settings import AlignSettings, load_settings
from huvidpo_core.training.takes import Takes
from tests.training.made_takes import teacher

UNET, PAINTER = (ASSETS / "miniature" / part / "unet" for part in ("video", "first_frame"))
SMALL = {"height": 80, "width": 128, "frames": 4, "folder": UNET}


@pytest.mark.parametrize("recomputed", [False, True])
def test_the_count_without_weights_is_that_of_a_real_step(recomputed):
    """The shipped network on the CPU: what really lives at the peak of a step, to a twentieth."""
    settings = replace(load_settings("miniature"), checkpointing=recomputed)
    unet = VideoUNet.from_pretrained(UNET, dtype=torch.float32)
    lora.attach(unet, settings.lora, 0)
    channels_last(unet)
    if recomputed:
        checkpointing(unet)
    real = measure_step(unet.train(), 2, 4, 10, 16)
    assert needs(settings, device="cpu", **SMALL).step == pytest.approx(real, rel=0.05)


@pytest.mark.parametrize("recomputed", [False, True])
def test_so_is_the_count_of_a_step_on_pictures(recomputed):
    """The shipped painter's network; four pairs at once."""
    settings = replace(load_settings("miniature", ASSETS / "picture"), checkpointing=recomputed)
    unet = PictureUNet.from_pretrained(PAINTER, dtype=torch.float32)
    lora.attach(unet, settings.lora, 0)
    channels_last(unet)
    if recomputed:
        checkpointing(unet)
    real = measure_step(unet.train(), 2 * settings.batch, 2, 10, 16)
    found = needs(settings, device="cpu", height=80, width=128, frames=0, folder=PAINTER)
    assert found.step == pytest.approx(real, rel=0.05)


def test_sdxl_is_counted_where_nothing_has_been_downloaded():
    """All its 2.57 billion parameters, the VAE's 84 million and the text encoders' 123 and 695; recomputing saves more
    than half of a step."""
    settings = load_settings("diffusion_dpo", ASSETS / "picture")
    found = needs(settings, device="cuda", height=1024, width=1024, frames=0)
    assert found.weights / 2 == pytest.approx(2_567_463_684 + 83.7e6 + 123.1e6 + 694.7e6, rel=1e-3)
    whole = needs(replace(settings, checkpointing=False), device="cuda", height=1024, width=1024, frames=0)
    assert found.step < 0.5 * whole.step


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
    assert needs(wider, device="cuda", **SMALL).trained == 2 * one.trained


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
    """Of this machine's memory; where it is too little, what makes it fit, and nothing where nothing does."""
    video, cpu, settings = load_profile("miniature").video, torch.device("cpu"), load_settings("miniature")
    there = memory_there() / 1e9
    assert f"of this machine's {there:.1f} GB of memory." in estimate(video, cpu, settings)
    monkeypatch.setattr(
        "huvidpo_core.training.memory.needs",
        lambda asked, **_: Needs(0, 0, there * 1e9 * asked.batch * (0.5 if asked.checkpointing else 2)),
    )
    assert estimate(video, cpu, settings).endswith("It fits with checkpointing = true in the settings.")
    words = estimate(video, cpu, replace(settings, batch=4))
    assert words.endswith("It fits with checkpointing = true and batch = 1 in the settings.")
    monkeypatch.setattr("huvidpo_core.training.memory.needs", lambda *_, **__: Needs(1e15, 0, 0))
    words = estimate(video, cpu, replace(settings, batch=4))
    assert "more than there is, whatever the settings say" in words and "checkpointing" not in words


@pytest.mark.parametrize("recomputed", [False, True])
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_the_count_of_stage_1_is_what_a_teaching_takes(tmp_path, recomputed, average):
    """The shipped network on the CPU, taught for two steps, the first of which has no gradient from before: all that
    lives at the peak beside the weights, to a tenth."""
    settings = MotionSettings(average=average, checkpointing=recomputed, mirror=False, held_out=0)
    unet = VideoUNet.from_pretrained(UNET, dtype=torch.float32)
    clip, text = torch.randn(4, 4, 10, 16), torch.randn(77, unet.config.cross_attention_dim)
    learned = Takes((clip,), (clip,), {"up": text, "": text}, ("up",), (1.0,))
    counter = LiveBytes(unet.parameters())
    with counter:
        course = teacher(tmp_path, settings, learned=learned, unet=unet, split=((0,), ()))
        for _ in range(2):
            course._take_step()
    wanted = needs(settings, device="cpu", **SMALL)
    assert wanted.trained + wanted.step == pytest.approx(counter.peak, rel=0.1)


def test_what_stage_1_needs_goes_with_the_settings():
    """The weights are float32 whatever is computed in; AdamW's moments are twice the trained numbers, 8-bit ones a
    quarter of that; twice the clips, twice the activations."""
    plain = MotionSettings(checkpointing=False, precision="float32")
    one = needs(plain, device="cuda", **SMALL)
    numbers = sum(value.numel() for value in motion_parameters(VideoUNet.from_pretrained(UNET)).values())
    assert one.trained == 8 * numbers
    assert needs(replace(plain, optimizer="adamw8bit"), device="cuda", **SMALL).trained == 2 * numbers
    assert needs(replace(plain, average=0.9), device="cuda", **SMALL).trained == 12 * numbers
    low = needs(replace(plain, precision="bfloat16"), device="cuda", **SMALL)
    assert low.weights == one.weights and low.step < one.step
    two = needs(replace(plain, batch=2), device="cuda", **SMALL)
    assert two.step - 4 * numbers == pytest.approx(2 * (one.step - 4 * numbers), rel=0.1)


def test_the_papers_gpu_teaches_without_computing_twice():
    """LAMP's settings leave it to the plan, and on 24 GB activations can be kept; by the plan for 12 GB it takes 8-bit
    moments, too, and the sentence says so."""
    lamp, full = load_motion_settings("lamp"), {"height": 320, "width": 512, "frames": 16, "device": "cuda"}
    assert lamp.checkpointing is None
    assert needs(replace(lamp, checkpointing=False), **full).total < 22e9
    twice = replace(lamp, checkpointing=True)
    assert needs(replace(twice, optimizer="adamw8bit"), **full).total < 11.5e9 < needs(twice, **full).total


def test_too_small_a_gpu_for_stage_1_is_told_what_helps(monkeypatch):
    """Not a smaller batch, of one clip; on Apple's GPUs, of which PyTorch tells by another name, no 8-bit moments."""
    video = load_profile("miniature").video
    monkeypatch.setattr(
        "huvidpo_core.training.memory.needs",
        lambda asked, **_: Needs(0, 0 if asked.optimizer == "adamw8bit" else 9e9, 1e9 if asked.checkpointing else 9e9),
    )
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=8.5e9))
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 16e9)
    settings = MotionSettings(checkpointing=True)
    words = estimate(video, torch.device("cuda"), settings)
    assert "this GPU's 8.5 GB of memory." in words and 'It fits with optimizer = "adamw8bit" in the settings.' in words
    assert "whatever the settings say" not in words
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 8e9)
    assert "whatever the settings say" in estimate(video, torch.device("mps"), settings)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 16e9)
    assert "fits with checkpointing = true in" in estimate(video, torch.device("mps"), MotionSettings())
