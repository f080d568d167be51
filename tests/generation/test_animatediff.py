"""AnimateDiff as one more entry of the menu of motions, by tiny random networks in the hub's layout."""

import dataclasses
import threading

import gradio as gr
import numpy as np
import pytest
import torch
from diffusers import (
    AnimateDiffSparseControlNetPipeline,
    MotionAdapter,
    SparseControlNetModel,
    StableDiffusionPipeline,
)
from PIL import Image

from huvidpo_core import media
from huvidpo_core.config import Download, load_profile
from huvidpo_core.engine import Clip, Engine
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.generation.latents import decode
from huvidpo_core.generation.samplers import make_scheduler
from huvidpo_core.recipe import ANIMATEDIFF, Recipe
from huvidpo_core.ui.clips import Clips
from tests.tiny_models import FRAMES, HEIGHT, WIDTH, make_animatediff, make_profile

RECIPE = Recipe(prompt="a red horse runs", action="horse_run", style="cartoon", seed=3, pack=ANIMATEDIFF)
DOWNLOAD = Download("guoyww/adapter", "moves", 1.7, "Apache-2.0", ("config.json",))


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return dataclasses.replace(make_profile(folder), animatediff=make_animatediff(folder))


@pytest.fixture(scope="module")
def engine(profile, tmp_path_factory):
    return Engine(profile, tmp_path_factory.mktemp("data"), device="cpu", packs=tmp_path_factory.mktemp("packs"))


def picture(seed: int = 0) -> np.ndarray:
    """Smooth, so that the VAE sees something of it."""
    rough = np.random.default_rng(seed).integers(0, 255, (3, 4, 3), dtype=np.uint8)
    return np.array(Image.fromarray(rough).resize((WIDTH, HEIGHT)))


def animate(engine: Engine, image: np.ndarray, **changes: object) -> tuple[list, Clip]:
    *progress, clip = engine.animate(RECIPE.with_(**changes), image, threading.Event())
    return progress, clip


def frames_of(clip: Clip) -> np.ndarray:
    return media.read_video(clip.video).frames


def test_it_makes_an_mp4_as_the_animator_does(engine):
    """Every step is reported with a preview of all frames; size and rate are the profile's; its own steps, guidance."""
    progress, clip = animate(engine, picture())
    steps = [item for item in progress if item.stage == "animating"]
    assert [item.step for item in steps] == [1, 2] and all(item.total == 2 for item in steps)
    assert all(item.preview.dtype == np.uint8 and item.preview.shape[0] == FRAMES for item in steps)
    video = media.read_video(clip.video)
    assert video.frames.shape == (FRAMES, HEIGHT, WIDTH, 3) and round(video.fps) == 8
    assert (clip.recipe.pack, clip.recipe.steps, clip.recipe.guidance) == (ANIMATEDIFF, 2, 3.0)
    assert Recipe.from_dict(media.read_recipe(clip.video)) == clip.recipe
    assert [choice.id for choice in engine.packs("horse_run")] == [ANIMATEDIFF, ""]


@pytest.mark.parametrize("sampler", ["fast", "ddim"])
def test_the_frames_are_those_of_diffusers_own_pipeline(engine, profile, sampler):
    """Built from the folders by hand, and told the picture's latent as the condition: the same latents, decoded and
    matched to frame 0; AnimateDiff's noise schedule is linear."""
    other, base = profile.animatediff, StableDiffusionPipeline.from_pretrained(profile.video.base)
    image, style = picture(), engine.styles["cartoon"]
    pipeline = AnimateDiffSparseControlNetPipeline(
        base.vae, base.text_encoder, base.tokenizer, base.unet, MotionAdapter.from_pretrained(other.adapter),
        SparseControlNetModel.from_pretrained(other.control),
        make_scheduler({**base.scheduler.config, "beta_schedule": "linear"}, sampler),
    )  # fmt: skip
    pixels = torch.from_numpy(image).movedim(-1, 0)[None] / 127.5 - 1
    with torch.no_grad():
        latent = base.vae.encode(pixels).latent_dist.mode() * base.vae.config.scaling_factor
        pipeline.prepare_image = lambda *_: latent[:, :, None]
        latents = pipeline(
            style.template.replace("{prompt}", RECIPE.prompt), negative_prompt="", num_frames=FRAMES, width=WIDTH,
            height=HEIGHT, conditioning_frames=Image.fromarray(image), num_inference_steps=2, guidance_scale=3.0,
            generator=torch.Generator().manual_seed(3), output_type="latent",
        ).frames  # fmt: skip
    expected = media.match_histograms(decode(base.vae, latents)[0])
    made = engine._studio.film(RECIPE.with_(sampler=sampler), image, threading.Event())
    assert np.array_equal(list(made)[-1].frames, expected)


def test_the_first_frame_reaches_the_network(engine):
    """A recipe gives its clip again; another picture gives another clip, with the same seed and words."""
    first, again, other = (animate(engine, picture(seed))[1] for seed in (0, 0, 1))
    assert np.array_equal(frames_of(first), frames_of(again))
    assert np.abs(frames_of(first).astype(int) - frames_of(other)).mean() > 1


def test_stop_ends_it_between_two_steps(engine):
    """Of 50 steps only those begun are done, nothing is kept, and the models are free for the next."""
    before, threads, stop, seen = len(engine.gallery()), set(threading.enumerate()), threading.Event(), []
    with pytest.raises(Stopped):
        for item in engine.animate(RECIPE.with_(steps=50), picture(), stop):
            if item.stage == "animating":
                seen.append(item.step)
                stop.set()
    assert seen == [1] and len(engine.gallery()) == before
    assert set(threading.enumerate()) <= threads  # the one that worked has ended
    assert animate(engine, picture())[1].id


def test_it_leaves_the_animator_as_it_was(engine):
    """The base model's clip is the same before and after, bit for bit; what both use is there once."""
    before = list(engine._studio.film(RECIPE.with_(pack=""), picture(), threading.Event()))[-1].frames
    animate(engine, picture())
    after = list(engine._studio.film(RECIPE.with_(pack=""), picture(), threading.Event()))[-1].frames
    assert np.array_equal(before, after)
    animators = engine._load().animators
    pipeline = animators.use(ANIMATEDIFF).pipeline
    animators.use("")
    assert pipeline.vae is animators.own.vae and pipeline.text_encoder is animators.own.text_encoder


def test_choosing_it_sets_its_own_pace(engine):
    """On the page, steps and guidance become AnimateDiff's and then the profile's again; a person's own stay."""
    clips, skip = Clips(engine), gr.skip()
    own = engine.defaults()
    assert clips.pace(ANIMATEDIFF, "fast", own.steps, own.guidance) == [2, 3.0]
    assert clips.pace("", "fast", 2, 3.0) == [own.steps, own.guidance]
    assert clips.pace(ANIMATEDIFF, "fast", 77, own.guidance) == [skip, 3.0]
    assert clips.pace("", "fast", own.steps, own.guidance) == [skip, skip]
    assert (clips.usual("ddim", ANIMATEDIFF).steps, clips.usual("ddim", "").steps) == (2, 4)


def test_what_it_cannot_do_is_said(engine, tmp_path):
    """More frames than it learned; another clip's motion, before any model is loaded; a profile without it."""
    with pytest.raises(UserError, match="at most 8 frames, not 9"):
        animate(engine, picture(), frames=9)
    with pytest.raises(UserError, match="cannot vary the motion"):
        animate(engine, picture(), reference="c", eta=0.7)
    miniature = Engine(load_profile("miniature"), tmp_path, device="cpu")
    with pytest.raises(UserError, match="no action pack '@animatediff'"):
        animate(miniature, picture())
    assert not miniature.loaded


def test_its_download_is_asked_for_when_it_is_chosen(profile, tmp_path, monkeypatch):
    """Not by the base model; with the person's word it is fetched."""
    known = dataclasses.replace(profile.animatediff, downloads=(DOWNLOAD,))
    engine = Engine(dataclasses.replace(profile, animatediff=known), tmp_path, device="cpu")
    asked = []
    monkeypatch.setattr("huvidpo_core.generation.downloads.fetch", lambda item, _: asked.append(item))
    assert engine.missing_downloads() == [] and engine.missing_downloads(ANIMATEDIFF) == [DOWNLOAD]
    animate(engine, picture(), pack="")
    with pytest.raises(UserError, match=r"guoyww/adapter \(1.7 GB, Apache-2.0\)"):
        animate(engine, picture())
    engine.allow_downloads(ANIMATEDIFF)
    animate(engine, picture())
    assert asked == [DOWNLOAD]
