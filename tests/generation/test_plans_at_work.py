"""Memory plans at work, on a CPU in the GPU's place: the same pictures and clips, one part there at a time."""

import dataclasses
import threading

import numpy as np
import pytest
import torch

from huvidpo_core.config import load_profile
from huvidpo_core.engine import Engine
from huvidpo_core.errors import UserError
from huvidpo_core.generation import models as models_module
from huvidpo_core.generation.footprint import LIBRARIES, footprint
from huvidpo_core.generation.plans import Plan, load_plans
from huvidpo_core.media import read_video
from huvidpo_core.recipe import Recipe
from huvidpo_core.training.record import RunFolder
from tests.tiny_models import make_profile

RECIPE = Recipe(prompt="a red horse runs", action="horse_run", style="cartoon", guidance=4.0)
PLANS = {plan.name: plan for plan in load_plans()}


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    """Tiny models that plans matter to."""
    return dataclasses.replace(make_profile(tmp_path_factory.mktemp("models")), gpu_gigabytes=1.0)


@pytest.fixture
def engine(profile, tmp_path, monkeypatch):
    """An engine by a plan, on the CPU, whose own memory nobody asks for."""
    monkeypatch.setattr("huvidpo_core.generation.footprint.free_memory", lambda _: 1e12)

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


def test_running_out_of_memory_while_loading_does_so_too(engine, monkeypatch):
    """Each press goes one plan down, until it works; where nothing less is left, what else can be done is said."""
    lab, stop = engine(PLANS["16"]), threading.Event()
    monkeypatch.setattr(models_module, "choose_plan", lambda _, __, wish="", **___: PLANS[wish or "16"])
    load, tried = models_module.Animator.load, []

    def crowded(*given: object, plan: Plan, **how: object) -> object:
        tried.append(plan.name)
        if plan.name not in fitting:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return load(*given, plan=plan, **how)

    monkeypatch.setattr(models_module.Animator, "load", crowded)
    fitting = ["8"]
    for name in ("12", "8"):
        with pytest.raises(UserError, match=rf"memory ran out\. .* by the plan for {name} GB .*try again"):
            list(lab.first_frame(RECIPE, stop))
    *_, picture = lab.first_frame(RECIPE, stop)
    assert tried == ["16", "12", "8"] and picture.image.std() > 0
    lab._bench.models, fitting = None, []
    with pytest.raises(UserError, match="close other programs that hold memory"):
        list(lab.first_frame(RECIPE, stop))


def watched(lab: Engine, monkeypatch) -> list[str]:
    """What is put where from now on, and when memory kept in reserve is given back."""
    seen, models = [], lab._load()
    for what, network in (("painter", models.painter_for("").unet), ("animator", models.animator_for(None).unet)):
        place = network.to
        monkeypatch.setattr(
            network,
            "to",
            lambda where, *_, what=what, place=place, **__: seen.append(f"{what} to {where}") or place(where),
        )
    monkeypatch.setattr(models_module, "give_back", lambda device: seen.append("given back"))
    return seen


@pytest.fixture
def training(engine):
    """`training(lab)`: a run in its data folder whose record says that it is being carried out."""

    def begun(lab: Engine) -> RunFolder:
        asked = {"action": "horse_run", "profile": "tiny", "name": "liked", "settings": {}}
        run = RunFolder.create(lab.data / "runs" / "one", asked)
        run.tell(status="running")
        lab.trainings.begun()
        return run

    return begun


def test_a_training_that_begins_finds_the_gpu_empty(engine, training, monkeypatch):
    """All models leave the GPU when it begins; those that a clip takes meanwhile leave with the end of that job; when
    the training has ended they stay again. Without a plan, as the miniature, they stay anyway."""
    lab, stop = engine(PLANS["16"]), threading.Event()
    *_, picture = lab.first_frame(RECIPE, stop)
    seen = watched(lab, monkeypatch)
    run = training(lab)
    assert seen == ["painter to cpu", "animator to cpu", "given back"] and not lab.loaded
    lab.warm_up()
    assert not lab.loaded
    *_, clip = lab.animate(picture.recipe, picture.image, stop)
    assert clip.video.exists() and not lab.loaded and seen[3:] == ["given back"]
    run.tell(status="stopped")
    *_, clip = lab.animate(picture.recipe, picture.image, stop)
    assert clip.video.exists() and lab.loaded

    small = engine(Plan())
    small.warm_up()
    training(small)
    assert small.loaded


def test_a_job_at_work_is_not_robbed_of_its_models(engine, training, monkeypatch):
    """A training that begins in the middle of a clip: the clip is finished first, for the training waits for its turn
    on the device to load anything; then the models leave. Those that are being loaded meanwhile leave, too."""
    lab = engine(PLANS["16"])
    seen = watched(lab, monkeypatch)
    with lab._bench.reserved(threading.Event()):
        run = training(lab)
        assert lab.loaded and seen == []
    assert not lab.loaded and seen[-1] == "given back"

    run.tell(status="stopped")
    load = models_module.Models.load

    def slow(*given: object) -> object:
        models = load(*given)
        run.tell(status="running")
        lab.trainings.begun()
        return models

    monkeypatch.setattr(models_module.Models, "load", slow)
    lab.warm_up()
    assert not lab.loaded


def test_too_little_memory_beside_a_training_is_said(engine, training, monkeypatch):
    """By the smallest plan: stop it, or wait; not that other programs should be closed."""
    lab = engine(PLANS["8"])
    training(lab)

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(models_module.FirstFramePainter, "load", full)
    with pytest.raises(UserError, match=r"beside the training that goes on\. Stop the training"):
        list(lab.first_frame(RECIPE, threading.Event()))


def test_what_another_painter_left_on_the_gpu_leaves_too(profile):
    """SDXL's text encoders stay when Stable Diffusion's network takes its place, for the next picture may be SDXL's;
    they do not when all have to go."""
    models = models_module.Models.load(profile, torch.device("cpu"), PLANS["16"])
    encoder, moved = models.painter_for("").text_to_image.text_encoder_2, []
    encoder.to = lambda where, *_, **__: moved.append(str(where)) or encoder
    models.painter_for("sd15")
    assert moved == []
    models.rest()
    assert moved == ["cpu"]


def test_a_plan_may_be_insisted_on_for_the_miniature():
    """It is loaded by that plan, nothing is counted for it, and no clip is too long."""
    models = models_module.Models.load(load_profile("miniature"), torch.device("cpu"), PLANS["8"])
    assert models.plan.resident == "parts" and models.expected == 0
    models.check_room(10_000)


def test_the_peak_that_is_shown_is_counted_as_the_expected_one(profile, monkeypatch):
    """With the libraries, and from the loading of these models on, not that of former ones by another plan."""
    cuda, asked = torch.device("cuda:1"), []
    models = models_module.Models.load(profile, torch.device("cpu"), PLANS["16"])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Some GPU")
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _: 2e9)
    where = dataclasses.replace(models, device=cuda, expected=3e9).where
    assert f"{2 + LIBRARIES / 1e9:.1f} GB at the peak so far, 3.0 GB expected" in where
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", asked.append)
    monkeypatch.setattr(models_module.FirstFramePainter, "load", lambda *_, **__: asked.append("loading") or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        models_module.Models.load(profile, cuda, PLANS["16"])
    assert asked == [cuda, "loading"]


def test_a_clip_that_is_too_long_is_refused_before_the_work(engine, monkeypatch):
    """With room for about twice the profile's frames by the count: three times as many are refused, and a number that
    fits is named, and a plan by which they would; a GPU with more room takes them."""
    lab, stop = engine(PLANS["16"]), threading.Event()
    long = RECIPE.with_(frames=3 * lab.profile.video.frames)
    needed = footprint(lab.profile, PLANS["16"], 2 * lab.profile.video.frames).animating
    monkeypatch.setattr(models_module, "memory_of", lambda _: needed)
    image = np.zeros((48, 64, 3), np.uint8)
    assert footprint(lab.profile, PLANS["12"], long.frames).animating < needed
    with pytest.raises(
        UserError,
        match=rf"{long.frames} frames need .* Ask for {2 * lab.profile.video.frames} or fewer, or .* --plan 12:",
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
    with torch.no_grad():
        lab._load().painters.use("").unet.conv_out.bias.zero_()
        lab._load().painters.use("").vae.decoder.conv_out.bias.fill_(torch.nan)
    with pytest.raises(UserError, match=r"overflowed between the picture and its latents"):
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
        models = models_module.Models.load(named, torch.device("cpu"), Plan())
        assert models.animator.unet.dtype == models.painters.use("").unet.dtype == dtype
