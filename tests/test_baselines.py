"""LAMP's attention as an entry of the menu of motions, other painters in pairs: compared blind, ranked by name."""

import dataclasses
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from huvidpo_core import media
from huvidpo_core.engine import Engine, Order
from huvidpo_core.errors import UserError
from huvidpo_core.generation.denoise import denoise, make_scheduler
from huvidpo_core.generation.latents import decode, draw_noise, encode
from huvidpo_core.models import VideoUNet
from huvidpo_core.models.weights import motion_parameters
from huvidpo_core.preferences.records import Ballot
from huvidpo_core.recipe import Recipe
from huvidpo_core.results import Clip
from huvidpo_core.training.settings import AlignSettings
from tests.tiny_models import FRAMES, HEIGHT, WIDTH, make_pack, make_profile

RECIPE = Recipe(prompt="a red horse runs", action="horse_run", style="cartoon", seed=3, pack="horse_run@lamp")
PATIENCE = 120  # seconds until a test that waits gives up


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return make_profile(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def models(profile, tmp_path_factory) -> Engine:
    """An engine whose models are loaded, and two packs of its family: one is LAMP's already."""
    engine = Engine(profile, tmp_path_factory.mktemp("data"), device="cpu", packs=tmp_path_factory.mktemp("packs"))
    pack, motion = make_pack(engine)
    theirs = dataclasses.replace(pack, title="Theirs", training={"key_frames": "first"})
    theirs.save(engine._packs_folder / "published", motion)
    return engine


@pytest.fixture
def engine(models, profile, tmp_path) -> Iterator[Engine]:
    """An engine with an empty gallery and the loaded models."""
    engine = Engine(profile, tmp_path, device="cpu", packs=models._packs_folder.parent)
    engine._bench.models = models._bench.models
    yield engine
    engine.stop_pairs()  # the next test uses the same models
    assert engine._pairing.wait(PATIENCE)


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def film(engine: Engine, **changes: object) -> np.ndarray:
    return list(engine._studio.film(RECIPE.with_(**changes), picture(), threading.Event()))[-1].frames


def make(engine: Engine, order: Order) -> tuple[Clip, Clip]:
    """The two clips of the one pair that this order makes, as a rater meets them."""
    engine.make_pairs(order)
    assert engine._pairing.wait(PATIENCE) and engine.pair_queue().error == ""
    showing = engine.store.votes.show("ann", order.recipe.action)
    return engine.clip(showing.left), engine.clip(showing.right)


def test_the_menu_has_lamps_attention_for_packs_that_have_another(engine):
    """After the packs, before the base; not for a pack that LAMP published; AnimateDiff where a profile names it."""
    choices = {choice.id: choice.title for choice in engine.packs("horse_run")}
    assert list(choices) == ["horse_run", "published", "horse_run@lamp", ""]
    assert choices["horse_run@lamp"] == "Horse run, LAMP (key frame 0 only)"
    for wrong in ("published@lamp", "rain@lamp", "horse_run/@lamp", "@lamp", "@animatediff"):
        with pytest.raises(UserError, match=r"no action pack|no LoRA '@lamp' for Horse run"):
            film(engine, pack=wrong)


def test_a_lamp_clip_is_the_packs_motion_with_key_frame_0_alone(engine, profile):
    """To the pixel what a network made by hand does: the folder's, with those weights, looking at frame 0."""
    animator, video = engine._load().animator, profile.video
    unet = VideoUNet.from_2d(video.base, "first", subfolder="unet").eval()
    with torch.no_grad():
        for tensor in motion_parameters(unet).values():
            tensor += 0.05
    first = encode(animator.vae, picture()[None])
    noise = draw_noise((1, 4, FRAMES, *first.shape[3:]), 3, torch.device("cpu"), torch.float32)
    text = engine.styles["cartoon"].template.replace("{prompt}", RECIPE.prompt)
    *_, last = denoise(
        unet, make_scheduler(animator.scheduler, "fast"), first_frame=first, noise=noise, text=animator.embed(text),
        negative_text=animator.embed(""), guidance=video.guidance, steps=video.steps,
    )  # fmt: skip
    expected = media.match_histograms(decode(animator.vae, last.latents)[0])
    made = film(engine)
    assert np.array_equal(made, expected)
    assert not np.array_equal(made, film(engine, pack="horse_run"))


def test_the_base_is_restored_bit_for_bit(engine):
    """After LAMP's entry, whatever comes next is what it was before: the pack, the base, and its key frames."""
    unet = engine._load().animator.unet
    before = {choice: film(engine, pack=choice) for choice in ("", "horse_run")}
    weights = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    film(engine)
    assert unet.config.key_frames == "first"
    assert np.array_equal(film(engine, pack="horse_run"), before["horse_run"])
    assert unet.config.key_frames == "first+previous"
    film(engine)
    assert np.array_equal(film(engine, strength=0.0), before[""])
    film(engine)
    assert np.array_equal(film(engine, pack=""), before[""]) and unet.config.key_frames == "first+previous"
    film(engine, pack="horse_run")
    assert all(torch.equal(tensor, weights[name]) for name, tensor in unet.state_dict().items())


def test_it_is_compared_blind_and_ranked_by_its_name(engine):
    """A pair of two models like any other: one picture, one seed; the vote names both, the ranking has them apart."""
    one, two = make(engine, Order(RECIPE.with_(pack="horse_run"), "models", rival="horse_run@lamp"))
    assert {one.recipe.pack, two.recipe.pack} == {"horse_run", "horse_run@lamp"}
    assert one.recipe.with_(pack="") == two.recipe.with_(pack="")
    revealed = engine.vote(engine.next_pair("ann").id, "ann", Ballot("left"))
    assert {revealed.left_model, revealed.right_model} == {"horse_run", "horse_run@lamp"}
    assert {each.name for each in engine.what_votes_say("horse_run").models} == {"horse_run", "horse_run@lamp"}


def test_two_painters_are_compared_blind(engine):
    """Each side's first frame is drawn by its own painter with one seed; the ranking tells them apart."""
    recipe = RECIPE.with_(pack="horse_run")
    sides = make(engine, Order(recipe, "models", rival="horse_run", rival_painter="plain"))
    own, plain = sorted(sides, key=lambda clip: clip.recipe.painter)
    assert (own.recipe.painter, plain.recipe.painter) == ("", "plain")
    assert own.recipe.seed == plain.recipe.seed
    for clip in sides:
        *_, drawn = engine.first_frame(clip.recipe, threading.Event())
        assert np.array_equal(media.read_image(clip.picture), drawn.image)
    revealed = engine.vote(engine.next_pair("ann").id, "ann", Ballot("tie"))
    assert {revealed.left_model, revealed.right_model} == {"horse_run", "horse_run, first frame by plain"}


def test_pairs_may_have_their_first_frame_from_another_painter(engine):
    """Two seeds, or two models, on one picture that the plain painter drew."""
    for order in (Order(RECIPE.with_(painter="plain")), Order(RECIPE.with_(painter="plain"), "models", rival="")):
        one, two = make(engine, order)
        assert one.recipe.painter == two.recipe.painter == "plain"
        assert np.array_equal(media.read_image(one.picture), media.read_image(two.picture))
        engine.vote(engine.next_pair("ann").id, "ann", Ballot("tie"))


def test_what_cannot_be_compared_or_trained_is_said(engine):
    """The same twice; a painter for a picture that is there; a training from what is there to be compared with."""
    *_, clip = engine.animate(RECIPE, picture(), threading.Event())
    for order, words in (
        (Order(RECIPE, "models", rival="horse_run@lamp"), "two different ones"),
        (Order(RECIPE, "models", rival="horse_run@lamp", rival_painter=""), "two different ones"),
        (Order(RECIPE, "models", rival="", rival_painter="nobody"), "no painter 'nobody'"),
        (Order(RECIPE, "models", clip=clip.id, rival="", rival_painter="plain"), "is drawn already"),
    ):
        with pytest.raises(UserError, match=words):
            engine.make_pairs(order)
    for pack in ("horse_run@lamp", "@animatediff"):
        with pytest.raises(UserError, match=f"'{pack}' is there to be compared with"):
            engine.trainings.prepare("horse_run", AlignSettings(), pack=pack)
