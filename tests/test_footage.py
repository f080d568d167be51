"""Clips to teach from: which are found, how they are read, what is said of them, and that copies are kept."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from huvidpo_core import footage, media
from huvidpo_core.config import load_profile
from huvidpo_core.errors import UserError
from huvidpo_core.footage import look, read_clip
from huvidpo_core.training.material import CLIPS, Material
from huvidpo_core.viewing import view
from tests.clips import ffmpeg, moving_clip

VIDEO = load_profile("miniature").video


def compose(prompt: str, action: str, style: str) -> str:
    return f"{prompt}|{action}|{style}"


def mp4(path: Path, frames: int = 16, fps: float = 8, seed: int = 0, recipe=None) -> Path:
    clip = moving_clip(frames)
    clip[:, :4, :4] = seed * 9
    return media.write_mp4(path, clip, fps, recipe)


def pictures(folder: Path, count: int) -> Path:
    """Frame i has i in its corner; their names are in no alphabetical order."""
    folder.mkdir(parents=True)
    for number in range(count):
        frame = moving_clip(count)[number]
        frame[:8, :8] = number * 10
        media.write_png(folder / f"frame {number}.png", frame)
    return folder


@pytest.fixture
def clips(tmp_path) -> Path:
    """Eight MP4s."""
    for number in range(8):
        mp4(tmp_path / "clips" / f"clip{number}.mp4", seed=number)
    return tmp_path / "clips"


def names(found) -> list[str]:
    return [shot.take.name for shot in found.shots]


def test_a_good_folder_is_taken_without_a_remark(clips):
    """Eight clips of the profile's length and rate, each with the prompt."""
    found = look([clips], "a ball  bounces", VIDEO, compose)
    assert names(found) == [f"clip{number}.mp4" for number in range(8)] and found.notes == ()
    assert {(shot.take.text, shot.take.prompt, shot.take.frames) for shot in found.shots} == {
        ("a ball bounces", "a ball bounces", 16)
    }


def test_videos_of_other_kinds_and_folders_of_pictures_are_clips_too(tmp_path):
    """A GIF, a WebM and a folder of pictures, also below; hidden files, a GIF beside its MP4, single pictures and
    pictures beside a video are not. A file given twice counts once."""
    top = tmp_path / "top"
    mp4(top / "a.mp4")
    media.write_gif(top / "a.gif", moving_clip(), 8)
    media.write_gif(top / "b.gif", moving_clip(), 8)
    (top / "below").mkdir()
    ffmpeg("-i", top / "a.mp4", "-c:v", "libvpx", top / "below" / "x.webm").check_returncode()
    mp4(top / ".hidden" / "c.mp4")
    pictures(top / "frames", 12)
    media.write_png(top / "one" / "alone.png", moving_clip()[0])
    for number in (1, 2):
        media.write_png(top / f"cover{number}.png", moving_clip()[0])
    found = look([top, top / "a.mp4"], "up", VIDEO, compose)
    assert sorted(names(found)) == ["a.mp4", "b.gif", "frames", "x.webm"]
    frames, fps = read_clip(top / "frames", VIDEO, 99)
    assert frames.shape == (12, VIDEO.height, VIDEO.width, 3) and fps == VIDEO.fps
    corners = frames[:, :8, :8].mean(axis=(1, 2, 3))
    assert np.all(np.diff(corners) > 5)  # 2 comes before 10


def test_every_nth_frame_of_a_faster_clip(tmp_path):
    """24 frames a second become 8 by keeping every third, exactly those that ffmpeg decodes; half of 12 are too many
    for the profile, which is said, and so is a clip of 4."""
    whole = media.read_video(mp4(tmp_path / "fast.mp4", 48, 24), size=(VIDEO.width, VIDEO.height)).frames
    frames, fps = read_clip(tmp_path / "fast.mp4", VIDEO, 10)
    assert fps == 8 and np.array_equal(frames, whole[:30:3])
    mp4(tmp_path / "near.mp4", 24, 12)
    mp4(tmp_path / "slow.mp4", 16, 4)
    notes = "\n".join(look([tmp_path], "up", VIDEO, compose).notes)
    assert "near.mp4 has 12 frames" not in notes and "fast.mp4" not in notes
    assert "slow.mp4 has 4 frames a second and not 8: its motion is taught 2.0 times as fast" in notes


def test_whose_words_count(tmp_path):
    """A text file fills the gap, or replaces a sentence; a recipe is a whole sentence, in its style; else the gap is
    closed. A text file that was given counts like one beside the clip."""
    mp4(tmp_path / "a.mp4", recipe={"prompt": "a red ball", "action": "rain", "style": "cartoon"})
    mp4(tmp_path / "b.mp4", recipe={"prompt": "a red ball", "action": "rain", "style": "cartoon"})
    mp4(tmp_path / "c.mp4")
    mp4(tmp_path / "d.mp4")
    (tmp_path / "b.txt").write_text("﻿yellow\n and  blue ")
    apart = tmp_path / "apart" / "c.txt"
    apart.parent.mkdir()
    apart.write_text("grün", encoding="utf-8")
    files = [*sorted(tmp_path.glob("*.mp4")), apart]

    def said(template: str) -> list[tuple[str, str]]:
        return [(shot.take.text, shot.take.prompt) for shot in look(files, template, VIDEO, compose).shots]

    assert said("a {} ball, bouncing") == [
        ("a red ball|rain|cartoon", "a red ball"),
        ("a yellow and blue ball, bouncing",) * 2,
        ("a grün ball, bouncing",) * 2,
        ("a ball, bouncing",) * 2,
    ]
    assert said("bounces")[1:] == [("yellow and blue",) * 2, ("grün",) * 2, ("bounces",) * 2]
    with pytest.raises(UserError, match=r"What does d.mp4 show\? Put its words into d.txt"):
        said("{}")


@pytest.mark.parametrize(
    ("rate", "seconds", "said"),
    [
        (8, 2.0, ""),
        (24, 2.0, ""),
        (12, 2.0, "but taken evenly only 12 of its 16 frames, 6 a second in place of 8: their motion will look 1.3"),
        (30, 2.0, "look 1.1 times as fast. Bring some of 2.1 seconds or more, or with 8 frames a second."),
        (12, 3.0, ""),
        (12, 1.5, "2 clips are shorter than the 16 frames of a clip made here (2 seconds)"),
    ],
)  # fmt: skip
def test_a_clip_that_is_long_enough_is_not_called_short(tmp_path, rate, seconds, said):
    """By the clock: every n-th frame of what was written, counted here by hand. One of two seconds whose rate does not
    go into eight a second is told of as what it is."""
    for name in "ab":
        media.write_mp4(tmp_path / f"{name}.mp4", moving_clip(round(rate * seconds)), rate)
    notes = " ".join(look([tmp_path], "a ball", VIDEO, compose).notes)
    assert said in notes and ("clips last" in notes or "shorter" in notes) == bool(said)


def test_what_could_be_better_is_said(tmp_path):
    """Few clips, short ones, one that stands still, one that is long, a gap that nothing fills."""
    mp4(tmp_path / "a.mp4", 5)
    mp4(tmp_path / "b.mp4", 10)
    media.write_mp4(tmp_path / "still.mp4", moving_clip(1).repeat(16, axis=0), 8)
    mp4(tmp_path / "long.mp4", 16 * footage.LONGEST + 5)
    found = look([tmp_path], "a {} ball", VIDEO, compose)
    said = " ".join(found.notes)
    assert "There are 4 clips only. 8 to 16 are good" in said
    assert "2 clips are shorter than the 16 frames" in said
    assert "Hardly anything moves in still.mp4" in said and "moves in a.mp4" not in said
    assert "Of long.mp4 the first 40 seconds are used" in said
    assert "Nothing says what {} stands for, so it is left out. In Teach, type it under each clip; or" in said
    assert len(found.notes) == 5
    (tmp_path / "a.txt").write_text("red")
    notes = look([tmp_path], "a {} ball", VIDEO, compose).notes
    assert [note for note in notes if "{}" in note] == ["Nothing fills the gap of 3 clips: {} is left out there."]
    for name in ("b", "still"):
        (tmp_path / f"{name}.txt").write_text("blue")
    assert "gap of one clip:" in " ".join(look([tmp_path], "a {} ball", VIDEO, compose).notes)
    (tmp_path / "long.txt").write_text("green")
    assert "{}" not in " ".join(look([tmp_path], "a {} ball", VIDEO, compose).notes)
    with pytest.raises(UserError, match="more than one"):
        look([tmp_path], "a {} ball {}", VIDEO, compose)
    assert [shot.take.frames for shot in found.shots] == [5, 10, 16 * footage.LONGEST, 16]


def test_clips_that_bring_a_prompt_of_their_own_are_told(tmp_path):
    """How many, and whether they show several actions; where a text file says something else, that is used."""
    for number, action in enumerate(("rain", "rain", "helicopter")):
        mp4(tmp_path / f"{number}.mp4", seed=number, recipe={"prompt": f"clip {number}", "action": action, "style": ""})
    mp4(tmp_path / "own.mp4", seed=9)
    said = look([tmp_path], "it moves", VIDEO, compose).notes
    assert any(
        note.startswith("3 clips were made by this app: the prompt that is in the file is used") for note in said
    )
    assert any("several actions (helicopter, rain)" in note for note in said)
    (tmp_path / "2.txt").write_text("something else")
    said = look([tmp_path], "it moves", VIDEO, compose).notes
    assert any(note.startswith("2 clips were made") for note in said) and not any("several" in note for note in said)


@pytest.mark.parametrize(
    ("make", "template", "words"),
    [
        (lambda path: None, "up", "There is no clip. Give at least 2 videos"),
        (lambda path: mp4(path / "a.mp4"), "up", "There is one clip only"),
        (lambda path: [mp4(path / f"{n}.mp4", 1 if n else 9) for n in range(2)], "up", "1.mp4 has too few frames"),
        (lambda path: [(path / f"{n}.mp4").write_bytes(b"no") for n in range(2)], "up", "0.mp4 is not a video"),
        (lambda path: [(path / f"{n}.mp4").write_bytes(b"no") for n in range(5)], "up", "And 2 more are at fault"),
        (lambda path: [mp4(path / f"{n}.mp4") for n in range(2)], " ", "What do the clips show?"),
        (lambda path: [mp4(path / f"{n}.mp4") for n in range(2)], "up " * 2000, "The prompt has"),
    ],
)
def test_what_cannot_be_taught_from_is_a_sentence(tmp_path, make, template, words):
    """No clips, one, a single frame, no videos, no prompt, a prompt that is a paste gone wrong."""
    make(tmp_path)
    with pytest.raises(UserError, match=re.escape(words)) as caught:
        look([tmp_path], template, VIDEO, compose)
    assert "\n" not in str(caught.value)


def test_a_clip_of_another_shape_is_cropped_and_that_is_said(tmp_path):
    """An upright clip loses what does not fit, told as a share; one of nearly the same shape is not worth a word."""
    for number in range(8):
        mp4(tmp_path / f"clip{number}.mp4", seed=number)
    assert look([tmp_path], "a ball", VIDEO, compose).notes == ()
    media.write_mp4(tmp_path / "tall.mp4", moving_clip(16, height=128, width=40), 8)
    (note,) = look([tmp_path], "a ball", VIDEO, compose).notes
    seen = view(tmp_path / "tall.mp4", VIDEO)
    kept = (40 * VIDEO.height / VIDEO.width) / 128  # of its height
    assert seen.cut == pytest.approx(1 - kept, abs=0.01) and (seen.width, seen.height) == (40, 128)
    assert note.startswith("1 clip has another shape than the 256 x 160") and f"{1 - kept:.0%}" in note


def test_a_clip_is_read_once_and_anew_when_it_changed(tmp_path):
    """The second look costs no reading; a new file of the same name does."""
    path = mp4(tmp_path / "a.mp4", 8)
    assert view(path, VIDEO).frames == 8 and view(path, VIDEO) is view(path, VIDEO)
    mp4(path, 11)
    assert view(path, VIDEO).frames == 11
    path.unlink()
    with pytest.raises(UserError, match=r"a\.mp4 is no longer there"):
        view(path, VIDEO)


def test_files_that_are_at_fault_are_named(clips, tmp_path, monkeypatch):
    """One that is not there, one that is no video, one that is cut short, one too large, words that are no text."""
    (tmp_path / "notes.pdf").write_bytes(b"%PDF")
    damaged = tmp_path / "cut.mp4"
    damaged.write_bytes((clips / "clip1.mp4").read_bytes()[:-3000])
    (clips / "clip2.txt").write_bytes(b"\xff\xfe\xff")
    for file, words in (
        (tmp_path / "gone.mp4", "There is no file or folder"),
        (tmp_path / "notes.pdf", "notes.pdf is not a video (MP4,"),
        (damaged, "cut.mp4"),
        (clips / "clip2.mp4", "clip2.txt cannot be read as text"),
    ):
        with pytest.raises(UserError, match=re.escape(words)):
            look([clips / "clip0.mp4", file], "up", VIDEO, compose)
    monkeypatch.setattr(media, "MAX_FILE", 100)
    with pytest.raises(UserError, match=r"clip0.mp4 has over 0 MB"):
        look([clips / "clip0.mp4", clips / "clip1.mp4"], "up", VIDEO, compose)


def test_copies_are_kept_and_known_by_what_is_in_them(clips, tmp_path):
    """Byte for byte, pictures too; the digest is that of clips and words, not of names."""
    pictures(clips / "frames", 3)
    (clips / "frames" / "thumbs.db").write_bytes(b"?")
    material = look([clips], "up", VIDEO, compose).keep(tmp_path / "run")
    kept = tmp_path / "run" / CLIPS
    assert Material.load(tmp_path / "run") == material and len(material.takes) == 9
    for take in material.takes:
        if take.name == "frames":
            assert {path.name for path in (kept / take.file).iterdir()} == {
                f"frame {number}.png" for number in range(3)
            }
        else:
            assert (kept / take.file).read_bytes() == (clips / take.name).read_bytes()

    def digest(words: str) -> str:
        shutil.rmtree(tmp_path / "other", ignore_errors=True)
        return look([clips], words, VIDEO, compose).keep(tmp_path / "other").digest

    assert digest("up") == material.digest != digest("down")
    (clips / "clip0.mp4").rename(clips / "clip00.mp4")
    assert digest("up") == material.digest
    mp4(clips / "clip1.mp4", seed=20)
    assert digest("up") != material.digest


def test_a_full_disk_leaves_nothing(clips, tmp_path, monkeypatch):
    """ENOSPC at the third copy: a sentence, no half a run."""
    left = [3]
    copy = shutil.copyfile

    def full(source, target):
        left[0] -= 1
        if not left[0]:
            raise OSError(28, "No space left on device")
        return copy(source, target)

    monkeypatch.setattr(footage.shutil, "copyfile", full)
    with pytest.raises(UserError, match="disk is full"):
        look([clips], "up", VIDEO, compose).keep(tmp_path / "run")
    assert not (tmp_path / "run").exists()
