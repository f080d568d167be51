"""Clips that a person brings: real ones, and ones of every length and rate, against what other readers make of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from huvidpo_core import bringing, media
from huvidpo_core.bringing import Porter
from huvidpo_core.config import load_actions, load_profile, load_styles
from huvidpo_core.errors import UserError
from huvidpo_core.gallery import Gallery
from huvidpo_core.preferences.store import BASE_MODEL, BROUGHT, Store
from huvidpo_core.recipe import Recipe
from tests.clips import moving_clip
from tests.reference import reference

VIDEO = load_profile("miniature").video


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "data")


@pytest.fixture
def clips(store) -> Gallery:
    return Gallery(store)


@pytest.fixture
def porter(store, clips) -> Porter:
    return Porter(VIDEO, clips, store.votes, load_actions(), load_styles())


def counting(frames: int) -> np.ndarray:
    """Frame i shows its number, as six black or white bars: any that is dropped or repeated is seen."""
    bits = np.arange(frames)[:, None] >> np.arange(6) & 1
    return np.broadcast_to(255 * bits.repeat(8, axis=1)[:, None, :, None], (frames, 30, 48, 3)).astype(np.uint8)


def numbers(frames: np.ndarray) -> list[int]:
    bars = np.stack([bar.mean(axis=(1, 2, 3)) > 127 for bar in np.array_split(frames, 6, axis=2)], axis=1)
    return (bars << np.arange(6)).sum(axis=1).tolist()


def test_published_clips_can_be_brought(porter, clips):
    """A folder of six real GIFs, of 16 or 24 frames: all are there at the profile's size and look as PIL reads them."""
    folder = reference("clips/lamp")
    ids = porter.bring([folder], "something happens", "horse_run")
    files = sorted(folder.glob("*.gif"))
    assert len(ids) == len(files) == 6
    for clip_id, file in zip(ids, files, strict=True):
        clip = clips.get(clip_id)
        frames, fps = media.read_video(clip.video)
        with Image.open(file) as gif:
            known = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(gif)][: VIDEO.frames]
        assert frames.shape == (len(known), VIDEO.height, VIDEO.width, 3)
        assert fps in (8, 10)
        for ours, theirs in zip(frames, known, strict=True):
            expected = media.fit(theirs, VIDEO.width, VIDEO.height)
            assert np.abs(ours.astype(int) - expected).mean() < 4
        assert np.abs(media.read_image(clip.picture).astype(int) - frames[0]).mean() < 3
        assert (clip.recipe.origin, clip.recipe.frames, clip.recipe.action) == ("brought", len(known), "horse_run")


@pytest.mark.parametrize(
    ("frames", "fps", "kept", "rate"),
    [
        (60, 24, list(range(0, 48, 3)), 8),  # fast and long: every third, two seconds
        (24, 8, list(range(16)), 8),  # long: the beginning
        (5, 8, list(range(5)), 8),  # short: stays short
        (6, 4, list(range(6)), 4),  # slow: no frame twice, at its own rate
        (30, 30, list(range(0, 30, 4)), 7.5),  # one second, evenly
        (16, 10, list(range(16)), 10),  # near enough: every frame, at its own rate
        (40, 15, list(range(0, 32, 2)), 7.5),
    ],
)
def test_time_stays_time(porter, tmp_path, frames, fps, kept, rate):
    """Every n-th frame at an n-th of the rate, nearest to 8 a second: motion is as even and as fast as it was."""
    path = media.write_mp4(tmp_path / "clip.mp4", counting(frames), fps)
    read, read_fps = porter.frames_of(path)
    assert numbers(read) == kept
    assert read_fps == pytest.approx(rate)


def test_what_was_brought_is_kept_as_it_was(porter, clips, tmp_path):
    """The original's bytes lie beside the clip and go with it; a clip made here is its own original."""
    path = media.write_gif(tmp_path / "Mine.GIF", moving_clip(), 8)
    (clip_id,) = porter.bring([path], "a block moves", "rain")
    original = clips.original_of(clip_id)
    assert original.read_bytes() == path.read_bytes() and original.suffix == ".gif"
    clips.gif(clip_id)
    assert clips.original_of(clip_id) == original
    made = clips.keep(Recipe("p", "rain", "cartoon"), moving_clip()[0], moving_clip(), 8, 1.0)
    assert clips.original_of(made.id) == made.video
    clips.delete(clip_id)
    assert not original.exists()


def test_what_is_for_rating_stays_out_of_the_gallery_of_what_was_made(porter, clips, store, tmp_path):
    """Brought clips, paired or not yet, and every clip in a pair: left out, and to be had by id; the rest is there."""
    path = media.write_mp4(tmp_path / "clip.mp4", moving_clip(), 8)
    (brought,) = porter.bring([path], "a block moves", "rain")
    own, one, two = (clips.keep(Recipe("p", "rain", "cartoon"), moving_clip()[0], moving_clip(), 8, 1.0) for _ in "abc")
    store.votes.add_pair(one.id, two.id, source="seeds", prompt="p", action="rain")
    assert [clip.id for clip in clips.list(for_rating=False)] == [own.id]
    assert {clip.id for clip in clips.list()} == {brought, own.id, one.id, two.id}
    assert clips.get(one.id) == one


def test_clips_of_one_prompt_are_paired(porter, store, tmp_path):
    """Five of one prompt, brought in two goes, make 0 + 1 + 2 + 3 + 3 pairs; another prompt or action joins none."""
    paths = [media.write_mp4(tmp_path / f"{i}.mp4", moving_clip(6 + i), 8) for i in range(5)]
    porter.bring(paths[:2], "a block moves", "rain")
    porter.bring(paths[2:], " a block moves ", "rain")
    porter.bring(paths[:1], "a block moves", "smile")
    porter.bring(paths[:1], "another prompt", "rain")
    assert store.votes.open_pairs("ann") == store.votes.open_pairs("ann", "rain") == 9
    showing = store.votes.show("ann")
    assert (showing.prompt, showing.action) == ("a block moves", "rain") and 6 <= showing.frames <= 9


def test_clips_of_a_method_meet_those_of_other_models(porter, clips, store, tmp_path):
    """Up to three, the newest first: this app's, in pairs or not, and other methods'; none of its own, none that nobody
    has named, none of another prompt or action. A name is the same however it is written."""
    path = media.write_mp4(tmp_path / "clip.mp4", moving_clip(), 8)

    def own(prompt: str = "a block moves ", action: str = "rain") -> str:
        return clips.keep(Recipe(prompt, action, "cartoon", pack="rain"), moving_clip()[0], moving_clip(), 8, 1.0).id

    def bring(method: str, prompt: str = "a block moves") -> str:
        return porter.bring([path], prompt, "rain", method)[0]

    def rivals(clip: str) -> set[str]:
        return {one for pair in store.votes.pairs("brought", "rain").values() if clip in pair for one in pair} - {clip}

    oldest, *two = own(), own(), own()
    own("another prompt")
    own(action="smile")
    store.votes.add_pair(*two, source="seeds", prompt="a block moves", action="rain")
    nameless, lvdm = bring(""), bring("LVDM")
    assert rivals(lvdm) == {oldest, *two} and not rivals(nameless)
    other = bring(" ModelScope")
    assert rivals(other) == {lvdm, *two}
    assert rivals(bring("lvdm ")) == {other, *two} and not rivals(bring("LVDM", "nobody's prompt"))
    assert {clip.model for clip in clips.list()} == {"rain", BROUGHT, "LVDM", "ModelScope"}
    assert rivals(bring("")) == {nameless}  # as ever


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("m" * 61, "one line of at most 60"), ("LVDM\nand more", "one line"), ("rain/liked", "cannot have “/”"),
        ("@animatediff", "cannot have “@”"), ("lora:mine", "cannot have “lora:”"),
        ("LVDM, first frame by me", "cannot have “, first frame by”"), (BASE_MODEL, "of its own"),
        (BROUGHT.upper(), "of its own"), ("rain", "of its own"), ("Horse run", "of its own"),
        ("a pack that is gone", "of its own"), ("ANIMATEDIFF", "of its own"),
    ],
)  # fmt: skip
def test_a_name_that_is_taken_is_a_sentence_and_nothing_is_taken(clips, store, tmp_path, method, words):
    """What this app's own models are called, are written like, or were called when they made clips that are there."""
    own = clips.keep(Recipe("p", "rain", "cartoon", pack="a pack that is gone"), moving_clip()[0], moving_clip(), 8, 1)
    porter = Porter(VIDEO, clips, store.votes, load_actions(), load_styles(), {"AnimateDiff"})
    path = media.write_mp4(tmp_path / "clip.mp4", moving_clip(), 8)
    with pytest.raises(UserError, match=words):
        porter.bring([path], "p", "rain", method)
    assert clips.list() == [own]


def test_a_clip_of_this_app_brings_its_prompt(porter, clips, tmp_path):
    """Where nothing is typed, the recipe in the MP4 says what it shows; what is typed goes first."""
    recipe = Recipe("a green bird", "birds_fly", "pixel_art", seed=5).to_dict()
    path = media.write_mp4(tmp_path / "made.mp4", moving_clip(), 8, recipe)
    told, typed = (clips.get(porter.bring([path], prompt, "birds_fly")[0]).recipe for prompt in ("", "a bird"))
    assert (told.prompt, told.style, typed.prompt) == ("a green bird", "pixel_art", "a bird")
    assert told.origin == typed.origin == "brought"


def test_one_broken_file_does_not_cost_the_others(porter, clips, store, tmp_path):
    """The sentence names what could not be read and why; the good ones are there, paired."""
    good = [media.write_mp4(tmp_path / f"good{i}.mp4", moving_clip(), 8) for i in range(2)]
    still = media.write_mp4(tmp_path / "still.mp4", moving_clip(1), 8)
    broken = tmp_path / "broken.gif"
    broken.write_bytes(media.write_gif(tmp_path / "whole.gif", moving_clip(), 8).read_bytes()[:900])
    with pytest.raises(UserError, match=r"still\.mp4.*broken\.gif.*The other 2 are taken in") as error:
        porter.bring([good[0], still, broken, good[1]], "a block moves", "rain")
    assert "too few frames" in str(error.value)
    assert len(clips.list()) == 2 and store.votes.open_pairs("ann") == 1
    assert len(list((tmp_path / "data" / "clips").iterdir())) == 6  # MP4, PNG and original of each


@pytest.mark.parametrize(
    ("prompt", "action", "words"),
    [("", "rain", "What does clip.mp4 show"), ("p" * 3000, "rain", "3,000 characters"), ("p", "sing", "no action")],
)
def test_a_mistake_is_a_sentence_and_nothing_is_taken(porter, clips, tmp_path, prompt, action, words):
    """Prompt and action are looked at before any file is."""
    path = media.write_mp4(tmp_path / "clip.mp4", moving_clip(), 8)
    with pytest.raises(UserError, match=words):
        porter.bring([path], prompt, action)
    assert clips.list() == []


def test_what_cannot_be_brought_is_said(porter, tmp_path, monkeypatch):
    """A file that is too large, one of another kind, one that is not there, an empty folder."""
    path = media.write_mp4(tmp_path / "clip.mp4", moving_clip(), 8)
    monkeypatch.setattr(bringing, "LARGEST", 100)
    with pytest.raises(UserError, match=r"clip\.mp4 has .* MB; .* the first 2 seconds are used"):
        porter.bring([path], "p", "rain")
    (tmp_path / "empty").mkdir()
    for wrong, words in (("a.txt", "neither"), ("gone.mp4", "no file"), ("empty", "no MP4 or GIF")):
        with pytest.raises(UserError, match=words):
            porter.bring([tmp_path / wrong], "p", "rain")


def test_a_full_disk_leaves_nothing(porter, clips, tmp_path, monkeypatch):
    """When the MP4 cannot be written, picture and original are taken back too."""
    path = media.write_mp4(tmp_path / "clip.mp4", moving_clip(), 8)

    def full(*_: object, **__: object) -> Path:
        raise UserError("The disk is full.")

    monkeypatch.setattr(media, "write_mp4", full)
    with pytest.raises(UserError, match="disk is full"):
        porter.bring([path], "p", "rain")
    assert list((tmp_path / "data" / "clips").iterdir()) == []
