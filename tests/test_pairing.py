"""How a pair is made, by tiny random models."""

import copy
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
from peft import LoraConfig, get_peft_model_state_dict

from huvidpo_core import media
from huvidpo_core.engine import Engine, Order
from huvidpo_core.errors import UserError
from huvidpo_core.gallery import Gallery
from huvidpo_core.generation.animate import Animator
from huvidpo_core.models import cards, preference
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.preferences.records import Ballot
from huvidpo_core.preferences.store import Store
from huvidpo_core.recipe import Recipe
from huvidpo_core.results import Clip
from huvidpo_core.training.lora import TARGETS
from tests.clips import moving_clip
from tests.tiny_models import HEIGHT, WIDTH, make_pack, make_profile

RECIPE = Recipe(prompt="a red horse runs", action="horse_run", style="cartoon", seed=3)
PATIENCE = 120  # seconds until a test that waits gives up


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return make_profile(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def models(profile, tmp_path_factory) -> Engine:
    """An engine whose models are loaded, and a pack of its family."""
    engine = Engine(profile, tmp_path_factory.mktemp("data"), device="cpu", packs=tmp_path_factory.mktemp("packs"))
    make_pack(engine)
    return engine


@pytest.fixture
def engine(models, profile, tmp_path) -> Iterator[Engine]:
    """An engine with an empty gallery and the loaded models."""
    engine = Engine(profile, tmp_path, device="cpu", packs=models._packs_folder.parent)
    engine._bench.models = models._bench.models
    yield engine
    engine.stop_pairs()  # the next test uses the same models
    assert engine._pairing.wait(PATIENCE)


@pytest.fixture
def lora(engine) -> Iterator[None]:
    """A random one beside the pack, under the name "liked"."""
    unet = copy.deepcopy(engine._bench.models.animator.unet)
    config = LoraConfig(r=2, lora_alpha=16, init_lora_weights=False, target_modules=list(TARGETS))
    unet.add_adapter(config, "liked")
    adapter = preference.Adapter(get_peft_model_state_dict(unet, adapter_name="liked"), config.to_dict())
    pack = ActionPack.load(engine._packs_folder / "horse_run")
    preference.write(adapter, pack.preference_file("liked"))
    yield
    for name in pack.preferences:
        cards.remove(pack.preference_file(name))


def make(engine: Engine, order: Order) -> tuple[Clip, Clip]:
    """The two clips of the one pair that this order makes, as a rater meets them."""
    engine.make_pairs(order)
    assert engine._pairing.wait(PATIENCE)
    assert engine.pair_queue().error == ""
    showing = engine.store.votes.show("ann", order.recipe.action)
    assert (showing.prompt, showing.action) == (order.recipe.prompt, order.recipe.action)
    return engine.clip(showing.left), engine.clip(showing.right)


def frames_of(clip: Clip) -> np.ndarray:
    return media.read_video(clip.video).frames


def test_another_methods_clips_are_compared_with_this_apps(engine, tmp_path, lora):
    """Brought under their names, two methods' clips meet the app's own and each other; votes rank all three by name.
    The name of a model that is there is refused."""
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    *_, own = engine.animate(RECIPE, picture, threading.Event())
    paths = [media.write_mp4(tmp_path / f"{n}.mp4", moving_clip(3, HEIGHT, WIDTH), 8) for n in range(2)]
    for taken in ("Horse run", "Horse run + liked", "None (base model)", "base model", "horse_run"):
        with pytest.raises(UserError, match="calls clips of its own"):
            engine.bring_clips(paths, RECIPE.prompt, RECIPE.action, taken)
    lvdm = engine.bring_clips(paths, RECIPE.prompt, RECIPE.action, "LVDM")
    (other,) = engine.bring_clips(paths[:1], RECIPE.prompt, RECIPE.action, "ModelScope")
    (alone,) = engine.bring_clips(paths[:1], "nobody's prompt", RECIPE.action, "ModelScope")
    assert engine.without_pair([*lvdm, other, alone]) == [alone]
    names, met = {own.id: "horse_run", other: "ModelScope", **dict.fromkeys(lvdm, "LVDM")}, set()
    while showing := engine.next_pair("ann"):
        told = engine.vote(showing.id, "ann", Ballot("left" if showing.left in lvdm else "right"))
        assert (told.left_model, told.right_model) == (names[showing.left], names[showing.right])
        met.add(frozenset((told.left_model, told.right_model)))
    assert met == {frozenset(pair) for pair in combinations(("horse_run", "LVDM", "ModelScope"), 2)}
    said = {model.name: (model.wins, model.losses) for model in engine.what_votes_say().models}
    assert said.keys() == {"horse_run", "LVDM", "ModelScope"} and said["LVDM"][0] == 4


def source_of(engine: Engine) -> str:
    engine.vote(engine.next_pair("ann").id, "ann", Ballot("tie"))
    return engine.store.votes.history()[0].source


def test_two_seeds_share_the_first_frame_alone(engine):
    """Two ordinary clips of the gallery: the same picture to the pixel, all settings alike but the seed."""
    one, two = make(engine, Order(RECIPE))
    assert one.recipe.seed != two.recipe.seed
    assert one.recipe.with_(seed=0) == two.recipe.with_(seed=0)
    assert one.recipe.pack == "horse_run" and one.recipe.reference == ""
    assert np.array_equal(media.read_image(one.picture), media.read_image(two.picture))
    assert not np.array_equal(frames_of(one), frames_of(two))
    assert Recipe.from_dict(media.read_recipe(one.video)) == one.recipe
    assert engine.gallery() == []  # there they would tell which side is by which seed
    assert {clip.id for clip in engine.gallery(for_rating=True)} == {one.id, two.id}
    assert source_of(engine) == "seeds"


def test_two_settings_differ_in_what_a_person_can_see(engine):
    """One picture; two seeds, numbers of steps and guidances around the profile's own; and each can be repeated."""
    own = engine.defaults().steps
    one, two = make(engine, Order(RECIPE, "settings"))
    assert one.recipe.with_(seed=0, steps=0, guidance=0) == two.recipe.with_(seed=0, steps=0, guidance=0)
    assert one.recipe.steps != two.recipe.steps and one.recipe.seed != two.recipe.seed
    assert all(min(2, own / 2) <= clip.recipe.steps <= 3 * own for clip in (one, two))
    assert np.array_equal(media.read_image(one.picture), media.read_image(two.picture))
    *_, copy = engine.animate(one.recipe, media.read_image(one.picture), threading.Event())
    assert np.array_equal(frames_of(copy), frames_of(one))
    assert source_of(engine) == "settings"


def test_a_pair_may_begin_with_a_picture_of_the_gallery(engine):
    """Its exact first frame, which the recipe says was the person's own."""
    picture = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    *_, known = engine.animate(RECIPE.with_(origin="edited"), picture, threading.Event())
    one, two = make(engine, Order(RECIPE, clip=known.id))
    for clip in (one, two):
        assert np.array_equal(media.read_image(clip.picture), picture) and clip.recipe.origin == "edited"


def test_structural_pairs_vary_one_clip_at_one_level(engine, tmp_path):
    """From a clip that was brought: the same reference and level on both sides, within the paper's range; two seeds."""
    path = media.write_mp4(tmp_path / "mine.mp4", moving_clip(3, HEIGHT, WIDTH), 8)
    (brought,) = engine.bring_clips([path], "a block moves", "rain")
    one, two = make(engine, Order(RECIPE, "structural", clip=brought))
    assert one.recipe.with_(seed=0) == two.recipe.with_(seed=0) and one.recipe.seed != two.recipe.seed
    assert one.recipe.reference == brought and 0.65 <= one.recipe.eta <= 0.8 and one.recipe.origin == "uploaded"
    assert frames_of(one).shape == (3, HEIGHT, WIDTH, 3) and one.recipe.frames == 3
    assert np.array_equal(media.read_image(one.picture), media.read_image(engine.clip(brought).picture))
    assert not np.array_equal(frames_of(one), frames_of(two))
    again = engine.open_recipe(one.video)
    *_, copy = engine.animate(again.recipe, again.image, threading.Event())
    assert np.array_equal(frames_of(copy), frames_of(one))
    assert source_of(engine) == "structural"


def test_the_less_noise_the_less_seeds_matter(engine):
    """Two seeds from one reference, which leaves them less and less freedom: at eta 0 hardly any."""
    *_, reference = engine.animate(RECIPE, moving_clip(2, HEIGHT, WIDTH)[0], threading.Event())
    picture = media.read_image(reference.picture)

    def apart(eta: float) -> float:
        clips = [
            list(engine.animate(RECIPE.with_(seed=seed, reference=reference.id, eta=eta), picture, threading.Event()))
            for seed in (1, 2)
        ]
        one, two = (frames_of(items[-1]).astype(int) for items in clips)
        return np.abs(one - two)[1:].mean()

    assert apart(0.0) < apart(0.7) < apart(1.0)


def test_two_models_share_all_but_the_pack(engine):
    """For the blind round: one picture, one seed; one side is the base model."""
    one, two = make(engine, Order(RECIPE, "models", rival=""))
    assert {one.recipe.pack, two.recipe.pack} == {"horse_run", ""}
    assert one.recipe.with_(pack="") == two.recipe.with_(pack="")
    assert not np.array_equal(frames_of(one), frames_of(two))
    revealed = engine.vote(engine.next_pair("ann").id, "ann", Ballot("tie"))
    assert {revealed.left_model, revealed.right_model} == {"horse_run", "base model"}


@pytest.mark.parametrize("when", ["draw", "film"])
def test_a_lora_that_is_renamed_meanwhile_makes_its_pairs(engine, lora, monkeypatch, when):
    """Before the pair is begun, or while its clip waits for the models: made under the new name, with the LoRA that was
    asked for. One that is deleted is named by its pack's title."""
    reserved, waits = engine._bench.reserved, []

    def rename_meanwhile(*values: object, **named: object) -> object:
        waits.append(when)
        if len(waits) == (1 if when == "draw" else 2):
            engine.loras.rename("horse_run/liked", "third")
        return reserved(*values, **named)

    monkeypatch.setattr(engine._bench, "reserved", rename_meanwhile)
    order = Order(RECIPE.with_(pack="horse_run/liked"), "models", rival="horse_run")
    clips = {clip.recipe.pack: clip for clip in make(engine, order)}
    assert set(clips) == {"horse_run/third", "horse_run"} and len(waits) == 3
    liked = clips["horse_run/third"]
    *_, again = engine.animate(liked.recipe, media.read_image(liked.picture), threading.Event())
    assert np.array_equal(frames_of(again), frames_of(liked))
    assert not np.array_equal(frames_of(again), frames_of(clips["horse_run"]))
    engine.loras.delete("horse_run/third")
    with pytest.raises(UserError, match=r"no LoRA 'liked' for Horse run; it may have been deleted"):
        engine.make_pairs(order)


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (Order(RECIPE.with_(prompt=" ")), "prompt is empty"),
        (Order(RECIPE.with_(action="sing")), "no action 'sing'"),
        (Order(RECIPE.with_(pack="nobody")), "no action pack 'nobody'"),
        (Order(RECIPE, count=0), "number of pairs is 0"),
        (Order(RECIPE, count=10**6), "between 1 and 200"),
        (Order(RECIPE, "magic"), "cannot be made from 'magic'"),
        (Order(RECIPE, "structural"), "need a clip"),
        (Order(RECIPE, "structural", clip="gone"), "no longer there"),
        (Order(RECIPE, "models", rival="horse_run"), "two different ones"),
        (Order(RECIPE, "models", rival="nobody"), "no action pack 'nobody'"),
    ],
)
def test_an_order_that_cannot_be_carried_out_is_refused_at_once(engine, order, words):
    """With a sentence; nothing is queued."""
    with pytest.raises(UserError, match=words):
        engine.make_pairs(order)
    assert engine.pair_queue() == (0, "", 0, "", 0)


@pytest.mark.parametrize(("owner", "work"), [(Animator, "finish"), (Gallery, "keep")])
def test_half_a_pair_is_taken_back(engine, monkeypatch, owner, work):
    """When the second clip cannot be made or saved, the first goes too; the reason is shown until the next order."""
    whole, calls = getattr(owner, work), []

    def once(self: object, *values: object, **named: object) -> object:
        calls.append(values)
        if len(calls) == 2:
            raise UserError("The disk is full.")
        return whole(self, *values, **named)

    monkeypatch.setattr(owner, work, once)
    engine.make_pairs(Order(RECIPE, count=5))
    assert engine._pairing.wait(PATIENCE)
    assert engine.pair_queue() == (0, "", 0, "The disk is full.", 0)
    assert engine.gallery(for_rating=True) == [] and list((engine.data / "clips").iterdir()) == []
    make(engine, Order(RECIPE))


KILLED = """
import sys, threading, time
from pathlib import Path
from types import SimpleNamespace
from huvidpo_core.gallery import Gallery
from huvidpo_core.pairing import Order, PairMaker
from huvidpo_core.preferences.store import Store
from huvidpo_core.recipe import Recipe
from huvidpo_core.results import Film
from huvidpo_core.training.lora import TARGETS
from tests.clips import moving_clip

store = Store(Path(sys.argv[1]))
clips = Gallery(store)
made = []

def film(recipe, image, stop, patient):
    if made:
        print("half", flush=True)
        time.sleep(60)
    made.append(Film(recipe, image, moving_clip(), 1.0))
    yield made[-1]

def draw(recipe, stop, patient):
    yield SimpleNamespace(recipe=recipe, image=moving_clip()[0])

studio = SimpleNamespace(complete=lambda recipe: recipe, draw=draw, film=film)
for _ in PairMaker(studio, clips, store.votes).make(Order(Recipe("p", "rain", "cartoon")), threading.Event()):
    pass
"""


def test_a_killed_process_leaves_no_half_pair(tmp_path):
    """`kill -9` while the second clip is being made: neither a clip in the gallery nor a pair to be shown."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "half\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    store = Store(tmp_path)
    assert store.list() == [] and store.votes.open_pairs("ann") == 0 and store.votes.show("ann") is None


def test_scenes_take_the_recipes_place(engine, monkeypatch):
    """Each pair shows one of them, words and style alike on both sides; one that cannot be is told beforehand."""
    scenes = (("a red horse runs", "cartoon"), ("a blue horse runs", "pixel_art"))
    for scene in scenes:
        monkeypatch.setattr("huvidpo_core.pairing.secrets.choice", lambda there, scene=scene: there[there.index(scene)])
        engine.make_pairs(Order(RECIPE, "seeds", scenes=scenes))
        assert engine._pairing.wait(PATIENCE) and engine.pair_queue().error == ""
    made = [(clip.recipe.prompt, clip.recipe.style) for clip in engine.gallery(for_rating=True)]
    assert sorted(made) == sorted(scenes * 2)
    with pytest.raises(UserError, match="prompt is empty"):
        engine.make_pairs(Order(RECIPE, "seeds", scenes=(("", "cartoon"),)))
