"""Who draws the first frame, on folders in the hub's layout (tiny, random weights)."""

import dataclasses
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel

from huvidpo_core.config import Download, load_profile
from huvidpo_core.engine import Engine
from huvidpo_core.errors import UserError
from huvidpo_core.generation.painters import Painters
from huvidpo_core.media import read_recipe
from huvidpo_core.recipe import Recipe
from tests.tiny_models import HEIGHT, WIDTH, make_profile

RECIPE = Recipe(prompt="a red horse runs", action="horse_run", style="cartoon", seed=3)
TEXT = "a red horse runs"  # what the style makes of it is put around it


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return make_profile(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def engine(profile, tmp_path_factory):
    return Engine(profile, tmp_path_factory.mktemp("data"), device="cpu", packs=tmp_path_factory.mktemp("packs"))


def draw(engine: Engine, painter: str = "", **changes: object) -> np.ndarray:
    *_, picture = engine.first_frame(RECIPE.with_(painter=painter, **changes), threading.Event())
    assert picture.recipe.painter == painter
    return picture.image


@pytest.mark.parametrize(
    ("painter", "kind", "folder"),
    [("plain", StableDiffusionXLPipeline, "sdxl"), ("sd15", StableDiffusionPipeline, "sd1")],
)
def test_a_painter_draws_what_its_folder_draws_by_itself(engine, profile, painter, kind, folder):
    """To the pixel what diffusers' own pipeline makes of that folder, with the same prompt and seed."""
    style = engine.styles["cartoon"]
    alone = kind.from_pretrained(Path(profile.first_frame.base).parent / folder)
    expected = alone(
        style.template.replace("{prompt}", TEXT),
        negative_prompt=style.negative_prompt or None,
        width=WIDTH, height=HEIGHT, num_inference_steps=2, guidance_scale=3.0, output_type="np",
        generator=torch.Generator().manual_seed(3),
    ).images[0]  # fmt: skip
    assert np.array_equal(draw(engine, painter), (expected * 255).round().astype(np.uint8))


def test_painters_take_turns(engine):
    """After the others have drawn, the profile's own draws as before; all three draw differently."""
    own, plain, sd15 = draw(engine), draw(engine, "plain"), draw(engine, "sd15")
    assert np.array_equal(draw(engine), own) and np.array_equal(draw(engine, "plain"), plain)
    assert not np.array_equal(own, plain) and not np.array_equal(own, sd15) and not np.array_equal(plain, sd15)


def test_what_painters_have_in_common_is_loaded_once(engine):
    """The plain SDXL has the aligned one's text encoders and VAE, SD-1.x the animator's; the networks are their own."""
    models = engine._load()
    own, plain, sd15 = (models.painters.use(name).text_to_image for name in ("", "plain", "sd15"))
    models.painters.use("")
    for part in ("vae", "text_encoder", "text_encoder_2"):
        assert getattr(plain, part) is getattr(own, part)
    assert sd15.vae is models.animator.vae and sd15.text_encoder is models.animator.text_encoder
    assert len({id(pipeline.unet) for pipeline in (own, plain, sd15)}) == 3


def test_only_one_network_is_on_the_device(profile, tmp_path, monkeypatch):
    """Whoever drew before makes room before the next one comes, and so on back again."""
    models = Engine(profile, tmp_path, device="cpu")._load()
    own = models.painters.use("")
    painters = Painters(profile, own, models.animator, torch.device("meta"))
    moves = []

    def note(network: UNet2DConditionModel, where: object, *_: object) -> UNet2DConditionModel:
        moves.append(("own" if network is own.unet else "plain", str(where)))
        return network

    monkeypatch.setattr(UNet2DConditionModel, "to", note)
    painters.use("")
    moves.clear()
    painters.use("plain")
    assert moves == [("own", "cpu"), ("plain", "meta")]
    painters.use("plain")
    painters.use("")
    assert moves[2:] == [("plain", "cpu"), ("own", "meta")]


def test_one_that_finds_no_room_leaves_nothing_there(profile, tmp_path, monkeypatch):
    """Memory runs out while its parts come one by one: those that found room go back, and later it is tried again."""
    models = Engine(profile, tmp_path, device="cpu")._load()
    own = models.painters.use("")
    painters = Painters(profile, own, models.animator, torch.device("meta"))
    moves = []

    def move(pipeline: DiffusionPipeline, where: object, *_: object) -> DiffusionPipeline:
        moves.append(str(where))
        if moves == ["meta"]:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return pipeline

    monkeypatch.setattr(DiffusionPipeline, "to", move)
    with pytest.raises(RuntimeError, match="out of memory"):
        painters.use("")
    assert moves == ["meta", "cpu"]
    painters.use("")
    assert moves == ["meta", "cpu", "meta"]


def test_a_repaint_in_one_step_is_drawn_in_two(engine):
    """Almost all of the noise of one step is none at all."""
    painter = engine._load().painters.use("")
    mask = np.ones((HEIGHT, WIDTH), bool)
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    assert painter.repaint(picture, mask, "a cat", "", 1, lambda *_: False, steps=1).any()


@pytest.mark.parametrize("painter", ["plain", "sd15"])
def test_every_painter_repaints(engine, painter):
    """What is marked is drawn anew, by that painter; the rest stays to the pixel."""
    image = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[8:40, 16:48] = True
    made = {}
    for name in ("", painter):
        *_, picture = engine.repaint(RECIPE.with_(painter=name), image, mask, threading.Event())
        assert np.array_equal(picture.image[~mask], image[~mask]) and picture.recipe.painter == name
        made[name] = picture.image[mask]
    assert not np.array_equal(made[""], made[painter])


def test_the_clips_recipe_says_who_drew(engine):
    """It is in the MP4 too, unless the picture was brought along; a recipe from before there were painters is read."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for origin, painter in (("generated", "sd15"), ("edited", "sd15"), ("uploaded", "")):
        *_, clip = engine.animate(RECIPE.with_(painter="sd15", origin=origin), image, threading.Event())
        assert read_recipe(clip.video)["painter"] == painter
    old = RECIPE.to_dict()
    del old["painter"]
    assert Recipe.from_dict(old) == RECIPE


def test_a_painter_who_is_not_there_is_said_before_the_models_load(profile, tmp_path):
    """The sentence lists who there is; nothing is loaded for it."""
    engine = Engine(profile, tmp_path, device="cpu")
    with pytest.raises(UserError, match=r"no painter 'leonardo'\. Choose one of: plain, sd15; or ''"):
        next(engine.first_frame(RECIPE.with_(painter="leonardo"), threading.Event()))
    assert not engine.loaded
    assert [choice.id for choice in engine.painters()] == ["", "plain", "sd15"]


def test_a_painters_own_download_is_asked_for_when_it_is_chosen(profile, tmp_path, monkeypatch):
    """Nobody else's work needs it; agreeing to the profile's downloads is not agreeing to it; then it is fetched."""
    more = Download("someone/unet", "draws", 5.1, "MIT", ("unet/config.json",))
    plain, sd15 = profile.painters
    profile = dataclasses.replace(profile, painters=(dataclasses.replace(plain, downloads=(more,)), sd15))
    engine = Engine(profile, tmp_path, device="cpu")
    asked = []

    def fetch(item, told):
        told(2_000_000_000)
        asked.append(item)

    monkeypatch.setattr("huvidpo_core.generation.downloads.fetch", fetch)
    assert engine.missing_downloads() == [] and engine.missing_downloads("plain") == [more]
    engine.allow_downloads()
    assert draw(engine).any() and not asked
    with pytest.raises(UserError, match=r"someone/unet \(5.1 GB, MIT\)"):
        draw(engine, "plain")
    assert not asked
    engine.allow_downloads("plain")
    *progress, _ = engine.first_frame(RECIPE.with_(painter="plain"), threading.Event())
    assert asked == [more] and progress[0].stage == "fetching someone/unet (5.1 GB)"
    assert (progress[1].step, progress[1].total, progress[1].unit) == (2000, 5100, "MB")


def test_the_miniatures_plain_painter_is_the_network_before_alignment(tmp_path):
    """It draws what the shipped first-frame folder draws, and not what the aligned one does."""
    profile = load_profile("miniature")
    engine = Engine(profile, tmp_path, device="cpu")
    models = engine._load()
    own, plain = models.painters.use(""), models.painters.use("plain")
    arguments = ("a red horse runs on the beach", "", 1, lambda *_: False)
    aligned, undisturbed = (painter.draw(*arguments, steps=2) for painter in (own, plain))
    assert aligned.shape == undisturbed.shape == (160, 256, 3) and not np.array_equal(aligned, undisturbed)
    own.text_to_image.unet.load_state_dict(plain.unet.state_dict())
    assert np.array_equal(own.draw(*arguments, steps=2), undisturbed)
