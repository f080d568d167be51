"""Memory plans at work, on a CPU in the GPU's place: the same pictures and clips, one part there at a time."""

import dataclasses
import threading

import numpy as np
import pytest
import torch

from huvidpo_core.engine import Engine
from huvidpo_core.errors import UserError
from huvidpo_core.generation import models as models_module
from huvidpo_core.generation.footprint import footprint
from huvidpo_core.generation.plans import Plan, load_plans
from huvidpo_core.media import read_video
from huvidpo_core.recipe import Recipe
from tests.tiny_models import make_profile

RECIPE = Recipe(prompt="a red horse runs", action="horse_run", style="cartoon", guidance=4.0)
PLANS = {plan.name: plan for plan in load_plans()}


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return make_profile(tmp_path_factory.mktemp("models"))


@pytest.fixture
def engine(profile, tmp_path, monkeypatch):
    """An engine by a plan, on the CPU."""

    def made(plan: Plan) -> Engine:
        monkeypatch.setattr(models_module, "choose_plan", lambda *_, **__: plan)
        return Engine(profile, tmp_path / plan.name, device="cpu", packs=tmp_path / "packs")

    return made


def made_by(engine: Engine) -> tuple[np.ndarray, np.ndarray]:
    """A first frame, repainted, and its clip's frames."""
    stop = threading.Event()
    *_, picture = engine.first_frame(RECIPE, stop)
    mask = np.zeros(picture.image.shape[:2], bool)
    mask[8:24, 8:24] = True
    *_, picture = engine.repaint(RECIPE, picture.image, mask, stop)
    *_, clip = engine.animate(RECIPE, picture.image, stop)
    return picture.image, read_video(clip.video).frames


@pytest.mark.parametrize("name", ["8", "12", "16"])
def test_a_plan_changes_nothing_that_is_made(engine, name):
    """Drawing in parts or in turns, decoding by the frame, guiding in two passes: the same, but for rounding."""
    for ours, wanted in zip(made_by(engine(PLANS[name])), made_by(engine(Plan("none"))), strict=True):
        off = np.abs(ours.astype(int) - wanted)
        assert (off > 2).mean() < 0.1 and off.mean() < 0.5  # levels; histogram matching magnifies what is rounded


def test_drawing_and_animating_take_turns(engine, monkeypatch):
    """By the plan for 12 GB whoever begins finds the other one's networks gone; by that for 16 GB all stay."""
    moved: list[str] = []
    for name, stays in (("12", False), ("16", True)):
        lab = engine(PLANS[name])
        models = lab._load()
        assert f"plan for {name} GB" not in lab.status() and models.expected > 0  # a CPU's memory has no plan
        painter, animator = models.painter_for(""), models.animator_for(None)
        for what, network in (("painter", painter.unet), ("animator", animator.unet)):
            place = network.to
            monkeypatch.setattr(
                network,
                "to",
                lambda where, *_, what=what, place=place, **__: moved.append(f"{what} to {where}") or place(where),
            )
        moved.clear()
        models.painter_for("")
        models.animator_for(None)
        there = [] if stays else ["animator to cpu", "painter to cpu", "painter to cpu", "animator to cpu"]
        assert moved == there


def test_running_out_of_memory_goes_on_by_the_next_smaller_plan(engine, monkeypatch):
    """The picture is kept, the sentence says what is used from now on, and the next press works."""
    lab, stop = engine(PLANS["16"]), threading.Event()
    *_, picture = lab.first_frame(RECIPE, stop)
    forward = type(lab._load().animator.unet).forward

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(type(lab._load().animator.unet), "forward", full)
    with pytest.raises(UserError, match=r"memory ran out\. What you made is kept.* plan for 12 GB \(drawing and"):
        list(lab.animate(picture.recipe, picture.image, stop))
    monkeypatch.setattr(type(lab._load().animator.unet), "forward", forward)
    asked = []
    monkeypatch.setattr(models_module, "choose_plan", lambda *given, **_: asked.append(given[2]) or PLANS["12"])
    lab._bench.models = None
    *_, clip = lab.animate(picture.recipe, picture.image, stop)
    assert clip.video.exists() and asked == ["12"]


def test_a_clip_that_is_too_long_is_refused_before_the_work(engine, monkeypatch):
    """With room for about twice the profile's frames by the count: three times as many are refused, and a number that
    fits is named; a GPU with more room takes them."""
    lab, stop = engine(PLANS["16"]), threading.Event()
    long = RECIPE.with_(frames=3 * lab.profile.video.frames)
    needed = footprint(lab.profile, PLANS["16"], 2 * lab.profile.video.frames).animating
    monkeypatch.setattr(models_module, "memory_of", lambda _: needed)
    image = np.zeros((48, 64, 3), np.uint8)
    with pytest.raises(
        UserError, match=rf"{long.frames} frames need .* Ask for {2 * lab.profile.video.frames} or fewer"
    ):
        list(lab.animate(long, image, stop))
    monkeypatch.setattr(models_module, "memory_of", lambda _: 2 * needed)
    *_, clip = lab.animate(long, image, stop)
    assert len(read_video(clip.video).frames) == long.frames


def test_half_precision_that_overflows_is_said(engine, profile, monkeypatch):
    """A network whose numbers are no longer finite: a sentence with the step, and no clip of noise or black."""
    lab, stop = engine(Plan("none")), threading.Event()
    *_, picture = lab.first_frame(RECIPE, stop)
    with torch.no_grad():
        lab._load().animator.unet.conv_out.conv2d.bias.fill_(torch.inf)
        lab._load().painters.use("").unet.conv_out.bias.fill_(torch.nan)
    with pytest.raises(UserError, match=r"overflowed in step 1 of 3: half precision was not enough"):
        list(lab.animate(picture.recipe, picture.image, stop))
    with pytest.raises(UserError, match=r"overflowed in step 1 of the first frame"):
        list(lab.first_frame(RECIPE, stop))
    assert lab.gallery() == []


def test_a_gpu_that_fails_is_not_blamed_on_memory(engine, monkeypatch):
    """What PyTorch says when a GPU is lost becomes a sentence: restart, everything is kept."""
    lab, stop = engine(Plan("none")), threading.Event()

    def lost(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be ...")

    monkeypatch.setattr(type(lab._load().painters.use("").unet), "forward", lost)
    with pytest.raises(UserError, match=r"GPU failed \(CUDA error: an illegal memory access.* Restart the program"):
        list(lab.first_frame(RECIPE, stop))


def test_the_profile_may_name_the_precision(profile, tmp_path, monkeypatch):
    """float32 on a CPU by itself; bfloat16 where the profile says so, in both halves."""
    for precision, dtype in (("auto", torch.float32), ("bfloat16", torch.bfloat16)):
        named = dataclasses.replace(profile, precision=precision)
        models = models_module.Models.load(named, "cpu")
        assert models.animator.unet.dtype == models.painters.use("").unet.dtype == dtype
