"""Pairs: how they are made (tiny random models), and the queue and its thread (a stand-in for the making)."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from huvidpo_core import media
from huvidpo_core.engine import Engine, Order
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.generation.animate import Animator
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.models.weights import model_hash, motion_parameters
from huvidpo_core.pairing import READY, Pairing
from huvidpo_core.preferences.records import Ballot
from huvidpo_core.preferences.store import Store
from huvidpo_core.progress import Progress
from huvidpo_core.recipe import Recipe
from huvidpo_core.results import Clip
from huvidpo_core.workbench import Workbench
from tests.clips import moving_clip
from tests.tiny_models import FRAMES, HEIGHT, WIDTH, make_profile

RECIPE = Recipe(prompt="a red horse runs", action="horse_run", style="cartoon", seed=3)
PATIENCE = 120  # seconds until a test that waits gives up


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return make_profile(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def models(profile, tmp_path_factory) -> Engine:
    """An engine whose models are loaded, and a pack of its family."""
    engine = Engine(profile, tmp_path_factory.mktemp("data"), device="cpu", packs=tmp_path_factory.mktemp("packs"))
    unet = engine._load().animator.unet
    motion = {name: tensor + 0.05 for name, tensor in motion_parameters(unet).items()}
    ActionPack(
        name="horse_run", title="Horse run", action="horse_run", prompt="{}", base="sd1", base_hash=model_hash(unet),
        frames=FRAMES, fps=8, width=WIDTH, height=HEIGHT, licence="Apache-2.0",
    ).save(engine._packs_folder / "horse_run", motion)  # fmt: skip
    return engine


@pytest.fixture
def engine(models, profile, tmp_path) -> Iterator[Engine]:
    """An engine with an empty gallery and the loaded models."""
    engine = Engine(profile, tmp_path, device="cpu", packs=models._packs_folder.parent)
    engine._bench.models = models._bench.models
    yield engine
    engine.stop_pairs()  # the next test uses the same models
    assert engine._pairing.wait(PATIENCE)


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
    assert {clip.id for clip in engine.gallery()} == {one.id, two.id}
    assert source_of(engine) == "seeds"


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
    assert engine.pair_queue() == (0, "", 0, "")


def test_half_a_pair_is_taken_back(engine, monkeypatch):
    """When the second clip fails, the first one goes too, and the reason is shown until the next order."""
    finish, calls = Animator.finish, []

    def once(self: Animator, latents: object) -> np.ndarray:
        calls.append(latents)
        if len(calls) == 2:
            raise UserError("The disk is full.")
        return finish(self, latents)

    monkeypatch.setattr(Animator, "finish", once)
    engine.make_pairs(Order(RECIPE, count=5))
    assert engine._pairing.wait(PATIENCE)
    assert engine.pair_queue() == (0, "", 0, "The disk is full.")
    assert engine.gallery() == [] and list((engine.data / "clips").iterdir()) == []
    make(engine, Order(RECIPE))


KILLED = """
import sys, threading, time
from pathlib import Path
from types import SimpleNamespace
from huvidpo_core.gallery import Gallery
from huvidpo_core.pairing import Order, PairMaker
from huvidpo_core.preferences.store import Store
from huvidpo_core.recipe import Recipe
from tests.clips import moving_clip

store = Store(Path(sys.argv[1]))
clips = Gallery(store)
made = []

def animate(recipe, image, stop, patient):
    if made:
        print("half", flush=True)
        time.sleep(60)
    made.append(clips.keep(recipe, image, moving_clip(), 8, 1.0))
    yield made[-1]

def draw(recipe, stop, patient):
    yield SimpleNamespace(recipe=recipe, image=moving_clip()[0])

studio = SimpleNamespace(complete=lambda recipe: recipe, draw=draw, animate=animate)
for _ in PairMaker(studio, clips, store.votes).make(Order(Recipe("p", "rain", "cartoon")), threading.Event()):
    pass
"""


def test_a_killed_process_leaves_no_half_pair(tmp_path):
    """`kill -9` while the second clip is being made: one whole clip in the gallery, no pair to be shown."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "half\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    store = Store(tmp_path)
    assert len(store.list()) == 1 and store.votes.open_pairs("ann") == 0 and store.votes.show("ann") is None


# --- the queue --------------------------------------------------------------------------------------------------------


class Maker:
    """Makes a pair each time it is let to; an order of the prompt "bad" fails, of "broken" badly."""

    def __init__(self) -> None:
        self.go, self.made, self.began = threading.Semaphore(0), [], threading.Semaphore(0)

    def check(self, order: Order) -> None:
        if not order.recipe.prompt:
            raise UserError("The prompt is empty.")

    def make(self, order: Order, stop: threading.Event) -> Iterator[Progress]:
        yield Progress("animating", 3, 4)
        self.began.release()
        while not self.go.acquire(timeout=0.01):
            if stop.is_set():
                raise Stopped
        if order.recipe.prompt == "bad":
            raise UserError("It went wrong.")
        if order.recipe.prompt == "broken":
            raise RuntimeError("tensor 7 is on fire")
        self.made.append(order)

    def open_pairs(self, rater: str, action: str | None = None) -> int:
        return sum(action in (None, order.recipe.action) for order in self.made)


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def pairing(maker) -> Iterator[Pairing]:
    pairing = Pairing(maker, maker)
    yield pairing
    pairing.stop()
    assert pairing.wait(PATIENCE)


def order(prompt: str = "good", action: str = "rain", count: int = 1) -> Order:
    return Order(Recipe(prompt, action, "cartoon"), count=count)


def let(maker: Maker, count: int) -> None:
    maker.go.release(count)


def test_the_queue_is_told(maker, pairing):
    """Ready, being made and ordered, of all and of one action; orders are carried out one by one, first come first."""
    assert pairing.queue() == (0, "", 0, "")
    pairing.order(order(count=2))
    pairing.order(order(action="smile"))
    maker.began.acquire()
    assert pairing.queue() == (0, "animating, step 3 of 4", 2, "")
    assert pairing.queue("smile") == (0, "", 1, "")
    let(maker, 3)
    assert pairing.wait(PATIENCE)
    assert pairing.queue() == (3, "", 0, "") and pairing.queue("rain").ready == 2
    assert [each.recipe.action for each in maker.made] == ["rain", "rain", "smile"]


def test_pairs_are_kept_ready_while_somebody_rates(maker, pairing):
    """Up to three, those on their way counted, as last ordered for the action; nothing for one never ordered."""
    pairing.keep_ready("ann", "rain")
    assert pairing.queue() == (0, "", 0, "")
    pairing.order(order("old"))
    pairing.order(order("new"))
    pairing.keep_ready("ann", "smile")
    for _ in range(3):
        pairing.keep_ready("ann", "rain")
    let(maker, 100)
    assert pairing.wait(PATIENCE)
    assert [each.recipe.prompt for each in maker.made] == ["old", "new", "new"] and len(maker.made) == READY
    pairing.keep_ready("ann")
    assert pairing.wait(PATIENCE) and len(maker.made) == READY
    maker.made.clear()  # all rated
    pairing.order(order("laugh", action="smile"))
    assert pairing.wait(PATIENCE)
    pairing.keep_ready("ann")
    assert pairing.wait(PATIENCE) and [each.recipe.prompt for each in maker.made] == ["laugh"] * 3


@pytest.mark.parametrize(
    ("prompt", "said"), [("bad", "It went wrong."), ("broken", "could not be made (RuntimeError)")]
)
def test_a_failure_is_shown_and_does_not_end_the_work(maker, pairing, prompt, said):
    """The rest of that order is dropped and not made again by itself; other orders go on; a new order clears it."""
    pairing.order(order(prompt, count=4))
    pairing.order(order(action="smile"))
    let(maker, 100)
    assert pairing.wait(PATIENCE)
    assert said in pairing.queue().error and len(maker.made) == 1
    pairing.keep_ready("ann", "rain")
    assert pairing.wait(PATIENCE) and len(maker.made) == 1 and said in pairing.queue().error
    pairing.order(order())
    assert pairing.queue().error == "" and pairing.wait(PATIENCE) and len(maker.made) == 2


def test_stop_ends_what_is_being_made_and_forgets_the_rest(maker, pairing):
    """Nothing more is made, not even while somebody rates, until the next order."""
    pairing.order(order(count=5))
    maker.began.acquire()
    pairing.stop()
    assert pairing.wait(PATIENCE) and pairing.queue() == (0, "", 0, "")
    pairing.keep_ready("ann", "rain")
    pairing.keep_ready("ann")
    assert pairing.queue() == (0, "", 0, "") and maker.made == []
    let(maker, 1)
    pairing.order(order())
    assert pairing.wait(PATIENCE) and len(maker.made) == 1


def test_many_at_once_lose_no_order(maker, pairing):
    """Eight threads order 25 pairs each, one by one: two hundred are made, by one worker at a time."""
    let(maker, 1000)
    threads = [threading.Thread(target=lambda: [pairing.order(order()) for _ in range(25)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pairing.wait(PATIENCE) and len(maker.made) == 200
    assert sum(thread.name == "pairs" and thread.is_alive() for thread in threading.enumerate()) <= 1


def test_people_go_before_pairs(profile):
    """Of two that wait for the models, the person gets them first though the pair has waited longer."""
    bench, turns = Workbench(profile, "cpu"), []

    def work(name: str, patient: bool) -> None:
        with bench.reserved(threading.Event(), patient=patient):
            turns.append(name)

    with bench.reserved(threading.Event()):
        threads = [threading.Thread(target=work, args=args) for args in (("pair", True), ("person", False))]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + PATIENCE
        while not bench._waiting and time.monotonic() < deadline:
            time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert turns == ["person", "pair"]


def test_a_patient_job_can_be_stopped_while_it_waits(profile):
    """It raises Stopped, and the models are free for the next."""
    bench, stop = Workbench(profile, "cpu"), threading.Event()
    stop.set()
    with bench.reserved(threading.Event()), pytest.raises(Stopped), bench.reserved(stop, patient=True):
        pass
    with bench.reserved(threading.Event(), patient=True):
        pass
