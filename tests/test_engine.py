"""The engine over folders in the hub's layout (tiny, random weights): prompt to MP4, gallery, recipes, mistakes."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig
from transformers import CLIPTextModel

from huvidpo_core import media
from huvidpo_core.config import PACKS, load_profile
from huvidpo_core.engine import Clip, Engine, Picture, Progress
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.generation.animate import Animator
from huvidpo_core.generation.first_frame import FirstFramePainter
from huvidpo_core.models import preference
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.recipe import Recipe
from tests.tiny_models import FRAMES, HEIGHT, WIDTH, make_pack, make_profile

RECIPE = Recipe(prompt="a red horse runs", action="horse_run", style="cartoon", seed=3)


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return make_profile(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def engine(profile, tmp_path_factory):
    return Engine(profile, tmp_path_factory.mktemp("data"), device="cpu", packs=tmp_path_factory.mktemp("packs"))


def finish(work):
    """All items of a piece of work, and its result."""
    items = list(work)
    return items[:-1], items[-1]


def animate(engine: Engine, recipe: Recipe = RECIPE, image: np.ndarray | None = None) -> Clip:
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8) if image is None else image
    return finish(engine.animate(recipe, image, threading.Event()))[1]


def frames_of(clip: Clip) -> np.ndarray:
    return media.read_video(clip.video).frames


def test_first_frame_reports_every_step_and_ends_with_a_picture(engine):
    """Progress counts 1..n of n, with previews; the picture has the video's size; the same seed gives it again."""
    progress, picture = finish(engine.first_frame(RECIPE, threading.Event()))
    steps = [item for item in progress if item.stage == "drawing the first frame"]
    assert [item.step for item in steps] == [1, 2] and all(item.total == 2 for item in steps)
    assert all(item.preview.dtype == np.uint8 and item.preview.shape[-1] == 3 for item in steps)
    assert isinstance(picture, Picture) and picture.image.shape == (HEIGHT, WIDTH, 3)
    assert picture.recipe.origin == "generated"
    _, again = finish(engine.first_frame(RECIPE, threading.Event()))
    assert np.array_equal(again.image, picture.image)
    _, other = finish(engine.first_frame(RECIPE.with_(seed=4), threading.Event()))
    assert not np.array_equal(other.image, picture.image)


def test_the_dpo_unet_draws_the_first_frame(engine, profile, tmp_path):
    """Without the separate UNet folder the same seed gives another picture: the folder's UNet is the one in use."""
    import dataclasses

    plain = dataclasses.replace(profile, first_frame=dataclasses.replace(profile.first_frame, unet=None))
    other = Engine(plain, tmp_path, device="cpu")
    _, with_dpo = finish(engine.first_frame(RECIPE, threading.Event()))
    _, without = finish(other.first_frame(RECIPE, threading.Event()))
    assert not np.array_equal(with_dpo.image, without.image)


def test_animate_makes_a_playable_clip_with_its_recipe(engine):
    """Size, frame count and rate are the profile's; the MP4 and the row carry one and the same complete recipe."""
    progress, clip = finish(engine.animate(RECIPE, np.full((300, 200, 3), 60, np.uint8), threading.Event()))
    steps = [item for item in progress if item.stage == "animating"]
    assert [item.step for item in steps] == [1, 2, 3]
    assert all(item.preview.shape[0] == FRAMES for item in steps)
    video = media.read_video(clip.video)
    assert video.frames.shape == (FRAMES, HEIGHT, WIDTH, 3) and round(video.fps) == 8
    assert Recipe.from_dict(media.read_recipe(clip.video)) == clip.recipe == engine.clip(clip.id).recipe
    assert clip.recipe.steps == 3 and clip.recipe.guidance == 2.0 and clip.recipe.profile == "tiny"
    assert media.read_image(clip.picture).shape == (HEIGHT, WIDTH, 3)


def test_a_recipe_gives_its_clip_again(engine):
    """The seed fixes the clip to the last bit; another seed gives another one."""
    first, again, other = animate(engine), animate(engine), animate(engine, RECIPE.with_(seed=9))
    assert np.array_equal(frames_of(first), frames_of(again))
    assert not np.array_equal(frames_of(first), frames_of(other))


def test_the_gallery_survives_a_restart(engine, profile):
    """A new engine on the same folder lists the same clips, newest first; a deleted one stays away with its files."""
    old, new = animate(engine), animate(engine)
    reopened = Engine(profile, engine.data, device="cpu")
    assert [clip.id for clip in reopened.gallery()][:2] == [new.id, old.id]
    reopened.delete(old.id)
    assert old.id not in [clip.id for clip in engine.gallery()]
    assert not old.video.exists() and not old.picture.exists()
    with pytest.raises(UserError, match="no longer there"):
        engine.clip(old.id)


def test_a_dropped_mp4_gives_back_recipe_and_first_frame(engine, profile, tmp_path):
    """From our gallery the exact picture; on another machine, where only the MP4 is known, the video's first frame."""
    picture = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    clip = animate(engine, RECIPE.with_(origin="edited"), picture)
    known = engine.open_recipe(clip.video)
    assert known.recipe == clip.recipe and np.array_equal(known.image, picture)
    elsewhere = Engine(profile, tmp_path, device="cpu").open_recipe(clip.video)
    assert elsewhere.recipe == clip.recipe and np.array_equal(elsewhere.image, frames_of(clip)[0])


def test_stop_ends_at_the_next_step_and_keeps_nothing(engine):
    """After Stop is set, at most one more step is reported, no clip joins the gallery, no file is left."""
    before = {path.name for path in (engine.data / "clips").iterdir()}
    stop, seen = threading.Event(), 0
    with pytest.raises(Stopped):
        for item in engine.animate(RECIPE.with_(steps=50), np.zeros((HEIGHT, WIDTH, 3), np.uint8), stop):
            seen += isinstance(item, Progress) and item.stage == "animating"
            stop.set()
    assert seen <= 2 and {path.name for path in (engine.data / "clips").iterdir()} == before
    stop.clear()
    with pytest.raises(Stopped):
        for _ in engine.first_frame(RECIPE, stop):
            stop.set()


def test_repaint_changes_the_marked_part_alone(engine):
    """Outside the mask every pixel is the person's own; inside it is new; an empty mask is refused with a sentence."""
    image = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[8:40, 8:40] = True
    _, picture = finish(engine.repaint(RECIPE, image, mask, threading.Event()))
    assert np.array_equal(picture.image[~mask], image[~mask])
    assert not np.array_equal(picture.image[mask], image[mask])
    assert picture.recipe.origin == "edited"
    with pytest.raises(UserError, match="Nothing is marked"):
        next(engine.repaint(RECIPE, image, np.zeros_like(mask), threading.Event()))


def test_a_pack_changes_the_motion_and_strength_zero_is_the_base(engine):
    """A pack appears in the menu without a restart and is the action's default; at strength 0 it is the base model."""
    base = animate(engine, RECIPE.with_(pack=""))
    make_pack(engine)
    assert [choice.id for choice in engine.packs("horse_run")] == ["horse_run", "horse_run@lamp", ""]
    assert [choice.id for choice in engine.packs("rain")] == [""]
    taught = animate(engine)
    assert taught.recipe.pack == "horse_run"
    assert not np.array_equal(frames_of(taught), frames_of(base))
    assert np.array_equal(frames_of(animate(engine, RECIPE.with_(strength=0.0))), frames_of(base))
    assert np.array_equal(frames_of(animate(engine, RECIPE.with_(pack=""))), frames_of(base))


def test_strength_is_that_of_a_preference_too(profile, tmp_path):
    """At 0 nothing of what stage 2 learned is left either."""
    engine = Engine(profile, tmp_path / "data", device="cpu", packs=tmp_path / "packs")
    make_pack(engine)
    unet = engine._load().animator.unet
    unet.add_adapter(LoraConfig(r=2, lora_alpha=16, init_lora_weights=False, target_modules=["to_q", "to_v"]), "x")
    preference.save(unet, "x", ActionPack.load(engine._packs_folder / "horse_run").preference_file("liked"))
    unet.delete_adapters("x")
    liked = RECIPE.with_(pack="horse_run/liked")
    assert not np.array_equal(frames_of(animate(engine, liked)), frames_of(animate(engine)))
    base = animate(engine, RECIPE.with_(pack=""))
    assert np.array_equal(frames_of(animate(engine, liked.with_(strength=0.0))), frames_of(base))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt": "  "}, "prompt is empty"),
        ({"prompt": "x" * 10_000}, "10,000 characters"),
        ({"action": "sing"}, "no action 'sing'"),
        ({"style": "oil"}, "no style 'oil'"),
        ({"steps": -1}, "number of steps"),
        ({"guidance": float("nan")}, "guidance"),
        ({"seed": -5}, "seed"),
        ({"strength": 3.0}, "strength"),
        ({"frames": 1}, "number of frames"),
        ({"sampler": "magic"}, "no sampler 'magic'"),
        ({"pack": "nobody"}, "no action pack"),
        ({"pack": "../../etc"}, "pack"),
    ],
)
def test_a_mistake_is_a_sentence_and_nothing_is_written(engine, change, words):
    """Every wrong value is refused with a sentence that names it; the clips folder is as before."""
    before = sorted(path.name for path in (engine.data / "clips").iterdir())
    with pytest.raises(UserError, match=words):
        list(engine.animate(RECIPE.with_(**change), np.zeros((HEIGHT, WIDTH, 3), np.uint8), threading.Event()))
    assert sorted(path.name for path in (engine.data / "clips").iterdir()) == before


def test_a_full_disk_leaves_nothing_half_written(engine, monkeypatch):
    """When the MP4 cannot be written, the picture is taken back too and the gallery does not list the clip."""
    before = sorted(path.name for path in (engine.data / "clips").iterdir())

    def full(*_: object, **__: object) -> Path:
        raise UserError("The disk is full. Free some space, then try again.")

    monkeypatch.setattr(media, "write_mp4", full)
    with pytest.raises(UserError, match="disk is full"):
        animate(engine)
    assert sorted(path.name for path in (engine.data / "clips").iterdir()) == before


def no_room(size: int) -> None:
    """What each of the three raises: PyTorch on a CPU and numpy for real, CUDA by its type and words."""
    if size == 0:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of")
    torch.empty(size) if size > 10**17 else np.empty(size)


@pytest.mark.parametrize("size", [0, 10**15, 10**18], ids=["CUDA", "numpy", "CPU"])
def test_too_little_memory_is_a_sentence(engine, monkeypatch, size):
    """Drawing and animating say what to do, nothing is kept, and the device is free for the next job."""
    before = sorted(path.name for path in (engine.data / "clips").iterdir())
    with monkeypatch.context() as patched:
        patched.setattr(Animator, "finish", lambda *_: no_room(size))
        patched.setattr(FirstFramePainter, "draw", lambda *_, **__: no_room(size))
        with pytest.raises(UserError, match=r"not enough memory.*fewer frames"):
            animate(engine)
        with pytest.raises(UserError, match="not enough memory"):
            list(engine.first_frame(RECIPE, threading.Event()))
    assert sorted(path.name for path in (engine.data / "clips").iterdir()) == before
    assert animate(engine).id


def test_another_runtime_error_is_not_taken_for_it(engine, monkeypatch):
    """Only running out of memory becomes that sentence; a mistake of ours stays what it is."""

    def broken(*_: object) -> None:
        raise RuntimeError("tensor 7 is on fire")

    monkeypatch.setattr(Animator, "finish", broken)
    with pytest.raises(RuntimeError, match="on fire"):
        animate(engine)


def test_loading_without_memory_does_not_blame_the_folder(profile, tmp_path, monkeypatch):
    """When the models do not fit, the sentence is about memory, not about a broken folder; later they load."""
    engine = Engine(profile, tmp_path, device="cpu")
    with monkeypatch.context() as patched:
        patched.setattr(CLIPTextModel, "from_pretrained", lambda *_, **__: no_room(10**18))
        with pytest.raises(UserError, match="not enough memory"):
            animate(engine)
        engine.warm_up()
    assert not engine.loaded and animate(engine).id


def test_a_pack_that_is_not_there_is_said_before_the_models_load(profile, tmp_path):
    """Neither drawing nor animating loads anything for it, and the sentence lists the packs there are."""
    engine = Engine(profile, tmp_path, device="cpu", packs=PACKS.parent / "no packs")
    for work in (engine.first_frame, lambda recipe, stop: engine.animate(recipe, np.zeros((9, 9, 3), np.uint8), stop)):
        with pytest.raises(UserError, match=r"no action pack 'nope'\. Choose one of: none so far"):
            next(work(RECIPE.with_(pack="nope"), threading.Event()))
    assert not engine.loaded
    shipped = Engine(load_profile("miniature"), tmp_path, device="cpu")
    with pytest.raises(UserError, match=r"birds_fly, firework, .* waterfall; or ''"):
        next(shipped.first_frame(RECIPE.with_(pack="nope"), threading.Event()))
    with pytest.raises(UserError, match="no LoRA 'nope' for Rain; it may have been deleted"):
        next(shipped.first_frame(RECIPE.with_(pack="rain/nope"), threading.Event()))


def test_a_surprise_has_its_own_actions_pack(tmp_path):
    """Drawn again by the same seed; the pack is the drawn action's, not the first action's."""
    engine = Engine(load_profile("miniature"), tmp_path, device="cpu")
    surprises = [engine.surprise(seed) for seed in range(20)]
    assert all(recipe.pack == recipe.action for recipe in surprises)
    assert len({recipe.action for recipe in surprises}) > 4 and engine.surprise(7) == surprises[7]


def test_a_model_folder_that_is_not_there_is_a_sentence(profile, tmp_path):
    """The folder is named, and what to do."""
    import dataclasses

    broken = dataclasses.replace(profile, video=dataclasses.replace(profile.video, base=str(tmp_path / "gone")))
    engine = Engine(broken, tmp_path, device="cpu")
    with pytest.raises(UserError, match="gone"):
        animate(engine)


def test_a_picture_may_be_animated_as_soon_as_it_is_there(engine):
    """The endpoint /generate animates before it has asked the painter's generator to end: the device must be free."""
    from huvidpo_core.ui.api import Api
    from huvidpo_core.ui.prefer_desk import Desk

    for item in engine.first_frame(RECIPE, threading.Event()):
        if isinstance(item, Picture):
            clip = list(engine.animate(item.recipe, item.image, threading.Event()))[-1]
    assert isinstance(clip, Clip)
    *_, (video, recipe) = Api(engine, Desk(engine)).generate(RECIPE.prompt, RECIPE.action, RECIPE.style, 3)
    assert media.read_recipe(video) == recipe


def test_who_waits_for_the_device_can_stop(engine):
    """While one job holds the device, another that is stopped raises Stopped instead of waiting on."""
    busy = engine.animate(RECIPE, np.zeros((HEIGHT, WIDTH, 3), np.uint8), threading.Event())
    next(busy)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        next(engine.first_frame(RECIPE, stop))
    busy.close()
    assert animate(engine).id
