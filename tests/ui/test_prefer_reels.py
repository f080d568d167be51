"""What a rater gets of two clips tells nothing but their pictures."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from huvidpo_core import media
from huvidpo_core.errors import UserError
from huvidpo_core.preferences.records import Showing
from huvidpo_core.ui import prefer_reels
from huvidpo_core.ui.prefer_reels import Reels
from tests.ui.rated import FPS, coded, frame_of

SECRET = {"pack": "liked", "prompt": "secret"}


@pytest.fixture
def reels(tmp_path):
    """Reels over a folder with a smooth clip, a noisy one, and a larger, longer one; each MP4 carries a recipe."""
    noisy = np.random.default_rng(0).integers(0, 60, (16, 160, 256, 3)).astype(np.uint8) | coded()
    for name, clip in (("smooth", coded()), ("noisy", noisy), ("large", coded(512, 320, 14))):
        media.write_mp4(tmp_path / f"{name}.mp4", clip, FPS, SECRET)
    return Reels(tmp_path / "showings", lambda clip: tmp_path / f"{clip}.mp4")


def showing(left="smooth", right="noisy", frames=16, id="aa11"):
    return Showing(id, "Anna", left, right, "a horse", "horse_run", frames, FPS)


def slots(path, frames):
    """Both sides' pictures, and the lengths of their slots."""
    reel = path.read_bytes()
    length, rest = divmod(len(reel), 2 * frames)
    assert rest == 0
    return [reel[start : start + length] for start in range(0, len(reel), length)]


def test_a_reel_is_both_clips_in_slots_of_one_length(reels):
    """Frame i of the left clip lies in slot i, of the right one in slot frames + i; each decodes to that frame."""
    pictures = [np.asarray(Image.open(io.BytesIO(slot))) for slot in slots(reels.reel(showing()), 16)]
    assert [frame_of(picture) for picture in pictures] == [*range(16), *range(16)]
    assert {picture.shape for picture in pictures} == {(160, 256, 3)}


def test_nothing_but_pixels_tells_the_sides_apart(reels):
    """Quality tables and headers are equal in all slots; neither the file nor its name knows clip, model or prompt."""
    path = reels.reel(showing())
    pictures = [Image.open(io.BytesIO(slot)) for slot in slots(path, 16)]
    assert all(picture.quantization == pictures[0].quantization for picture in pictures)
    assert all(picture.info == pictures[0].info for picture in pictures)
    for word in (b"smooth", b"noisy", b"liked", b"secret", b"comment"):
        assert word not in path.read_bytes()
    assert path.name == "aa11.reel"


def test_clips_of_two_sizes_and_lengths_become_alike(reels):
    """The larger clip is shown at the smaller one's size, and both only as long as the pair is."""
    for sides in (("smooth", "large"), ("large", "smooth")):
        pictures = [
            np.asarray(Image.open(io.BytesIO(slot))) for slot in slots(reels.reel(showing(*sides, 14, sides[0])), 14)
        ]
        assert {picture.shape for picture in pictures} == {(160, 256, 3)}
        assert [frame_of(picture) for picture in pictures] == [*range(14), *range(14)]


def test_videos_for_programs_are_equally_long_and_carry_nothing(reels):
    """left.mp4 and right.mp4 have the same number of bytes, frames and rate, no recipe, and play."""
    left, right = reels.videos(showing())
    assert (left.name, right.name) == ("left.mp4", "right.mp4")
    assert left.stat().st_size == right.stat().st_size
    for path in (left, right):
        frames, fps = media.read_video(path)
        assert [frame_of(frame) for frame in frames] == list(range(16))
        assert fps == FPS
        assert media.read_recipe(path) is None
        assert b"secret" not in path.read_bytes()


def test_the_same_showing_has_the_same_files_and_old_ones_go(reels, monkeypatch):
    """Asked again nothing is made again; the oldest showings' files are removed, and come back when asked for."""
    monkeypatch.setattr(prefer_reels, "KEPT", 2)
    first = reels.reel(showing(id="s0"))
    made = first.stat().st_mtime_ns
    assert reels.reel(showing(id="s0")).stat().st_mtime_ns == made
    for number in range(1, 4):
        os.utime(reels.reel(showing(id=f"s{number}")), (number, number))
    reels.videos(showing(id="s4"))
    assert len(list(reels.folder.iterdir())) == 2
    assert reels.reel(showing(id="s1")).exists()


def test_a_clip_that_cannot_be_read_is_a_sentence(reels):
    """A missing clip raises a sentence for the person, and leaves no file behind."""
    with pytest.raises(UserError, match="There is no file"):
        reels.reel(showing(right="gone"))
    assert not reels.folder.exists() or not list(reels.folder.iterdir())
