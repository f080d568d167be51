"""Clips in files: what is written plays in a browser and reads back; what cannot be read is said in a sentence."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from huvidpo_core import media
from huvidpo_core.errors import UserError
from huvidpo_core.media import read_recipe, read_video, write_gif, write_mp4, write_png
from tests.clips import RECIPE, ffmpeg, moving_clip


def atoms(path: Path) -> list[str]:
    """The names of an MP4's top-level boxes in order, read straight from the bytes."""
    data, at, names = path.read_bytes(), 0, []
    while at < len(data):
        names.append(data[at + 4 : at + 8].decode())
        at += int.from_bytes(data[at : at + 4])
    return names


# --- MP4 --------------------------------------------------------------------------------------------------------------


def test_an_mp4_plays_in_a_browser(tmp_path: Path):
    """H.264, yuv420p with its colours declared, the index in front of the data, and every frame a key frame."""
    path = write_mp4(tmp_path / "clip.mp4", moving_clip(), fps=8)
    stream = re.search(r"Stream #0:0.*Video: (.*)", ffmpeg("-i", path).stderr)[1]
    assert stream.startswith("h264")
    assert "yuv420p(tv, bt709" in stream
    assert "64x48" in stream
    assert "8 fps" in stream
    names = atoms(path)
    assert names.index("moov") < names.index("mdat")
    shown = ffmpeg("-i", path, "-vf", "showinfo", "-f", "null", "-").stderr
    assert len(re.findall(r"iskey:1", shown)) == 6
    assert "iskey:0" not in shown


@pytest.mark.parametrize("fps", [8, 7.5, 24])
def test_an_mp4_reads_back(tmp_path: Path, fps: float):
    """As many frames, at the same rate, and near the same colours: chroma at half size costs the most."""
    clip = moving_clip()
    frames, rate = read_video(write_mp4(tmp_path / "clip.mp4", clip, fps))
    assert frames.shape == clip.shape
    assert frames.dtype == np.uint8
    assert rate == fps
    assert np.abs(frames.astype(int) - clip).mean() < 3


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 40)])
def test_colours_are_not_shifted(tmp_path: Path, colour: tuple[int, int, int]):
    """A plain colour comes back within 3 levels: the matrix used for writing is the one the file declares."""
    clip = np.full((2, 32, 32, 3), colour, np.uint8)
    frames, _ = read_video(write_mp4(tmp_path / "clip.mp4", clip, 8))
    assert np.abs(frames.astype(int) - colour).max() <= 3


def test_odd_sizes_are_made_even(tmp_path: Path):
    """yuv420p needs even sides: the last row and column are repeated, nothing is scaled."""
    clip = moving_clip(3, 33, 47)
    frames, _ = read_video(write_mp4(tmp_path / "clip.mp4", clip, 8))
    assert frames.shape == (3, 34, 48, 3)
    assert np.abs(frames[:, :33, :47].astype(int) - clip).mean() < 4
    assert np.abs(frames[:, 33].astype(int) - frames[:, 32]).mean() < 3


def test_the_recipe_survives(tmp_path: Path):
    """Quotes, line breaks, backslashes, `=;#` and any script come back exactly; ffmpeg, too, sees JSON in `comment`."""
    path = write_mp4(tmp_path / "clip.mp4", moving_clip(), 8, RECIPE)
    assert read_recipe(path) == RECIPE
    comment = re.search(r"^ +comment +: (.*)$", ffmpeg("-i", path).stderr, re.MULTILINE)[1]
    assert json.loads(comment) == RECIPE
    long = {"prompt": "é" * 10_000}
    assert read_recipe(write_mp4(path, moving_clip(), 8, long)) == long


def test_no_recipe_is_none(tmp_path: Path):
    """A clip without one, somebody else's comment, a GIF and a text file have no recipe; a missing file is an error."""
    plain = write_mp4(tmp_path / "plain.mp4", moving_clip(), 8)
    assert read_recipe(plain) is None
    for name, comment in (("words.mp4", "shot on my phone"), ("list.mp4", "[1, 2]")):
        ffmpeg("-i", plain, "-c", "copy", "-metadata", f"comment={comment}", tmp_path / name)
        assert read_recipe(tmp_path / name) is None
    assert read_recipe(write_gif(tmp_path / "clip.gif", moving_clip(), 8)) is None
    (tmp_path / "notes.mp4").write_text("no video")
    assert read_recipe(tmp_path / "notes.mp4") is None
    with pytest.raises(UserError, match="no file"):
        read_recipe(tmp_path / "missing.mp4")


def test_a_name_is_only_a_name(tmp_path: Path):
    """Names that look like options, addresses, patterns or quoting are written and read like any other."""
    for name in ("-y.mp4", "http:x.mp4", "a%03d.mp4", 'it\'s "ü" 馬.mp4'):
        path = write_mp4(tmp_path / name, moving_clip(2), 8, {"name": name})
        assert len(read_video(path).frames) == 2
        assert read_recipe(path) == {"name": name}


def test_the_same_clip_gives_the_same_bytes(tmp_path: Path):
    """Encoding is repeatable, so a clip can be recognised by its hash."""
    first = write_mp4(tmp_path / "1.mp4", moving_clip(), 8, RECIPE).read_bytes()
    assert write_mp4(tmp_path / "2.mp4", moving_clip(), 8, RECIPE).read_bytes() == first


# --- whole files or none ----------------------------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """When ffmpeg runs out of disk after half the file, the earlier clip is intact and no fragment lies beside it."""
    path = write_mp4(tmp_path / "clip.mp4", moving_clip(), 8)
    before = path.read_bytes()
    fake = tmp_path / "bin" / "ffmpeg"
    fake.parent.mkdir()
    fake.write_text(
        f"#!{sys.executable}\nimport sys\nsys.stdin.buffer.read()\n"
        "open(sys.argv[-1].removeprefix('file:'), 'wb').write(b'half')\n"
        "sys.exit('Error writing trailer: No space left on device')\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake))
    with pytest.raises(UserError, match=r"clip\.mp4 could not be written: the disk is full"):
        write_mp4(path, moving_clip(), 8)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bin", "clip.mp4"]


def test_a_place_that_cannot_be_written(tmp_path: Path):
    """A file where a folder is needed is said to be the reason; a missing folder is simply made."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"clip\.mp4 could not be written"):
        write_mp4(tmp_path / "file" / "clip.mp4", moving_clip(), 8)
    (tmp_path / "taken.mp4").mkdir()
    with pytest.raises(UserError, match=r"taken\.mp4 could not be written: Is a directory\. Choose another"):
        write_mp4(tmp_path / "taken.mp4", moving_clip(), 8)
    assert write_mp4(tmp_path / "new" / "folder" / "clip.mp4", moving_clip(), 8).is_file()


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("clip.webm", ["-c:v", "libvpx-vp9"]),
        ("clip.mov", []),
        ("clip.mkv", []),
        ("clip.avi", []),
        ("sound.mp4", ["-f", "lavfi", "-i", "sine=d=0.75", "-c:v", "copy"]),
    ],
)
def test_other_containers_read_too(tmp_path: Path, name: str, options: list[str]):
    """WebM, MOV, MKV, AVI, and a video with sound, give the same six frames."""
    source = write_mp4(tmp_path / "source.mp4", moving_clip(), 8)
    ffmpeg("-i", source, *options, tmp_path / name)
    frames, fps = read_video(tmp_path / name)
    assert frames.shape == (6, 48, 64, 3)
    assert fps == 8
    assert np.abs(frames.astype(int) - moving_clip()).mean() < 8


def test_a_turned_video_is_read_upright(tmp_path: Path):
    """A phone's rotation mark is honoured: width and height change places."""
    source = write_mp4(tmp_path / "source.mp4", moving_clip(), 8)
    ffmpeg("-display_rotation", "90", "-i", source, "-c", "copy", tmp_path / "turned.mp4")
    assert read_video(tmp_path / "turned.mp4").frames.shape == (6, 64, 48, 3)


def test_reading_part_and_fitting(tmp_path: Path):
    """`max_frames` stops early with the same frames; `size` fills and crops the centre."""
    path = write_mp4(tmp_path / "clip.mp4", moving_clip(6, 48, 96), 8)
    whole = read_video(path).frames
    assert np.array_equal(read_video(path, max_frames=2).frames, whole[:2])
    fitted = read_video(path, size=(48, 48)).frames
    assert fitted.shape == (6, 48, 48, 3)
    assert np.abs(fitted.astype(int) - whole[:, :, 24:72]).mean() < 1


@pytest.mark.parametrize("keep", [0.25, 0.5, 0.9])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.webm", "clip.gif", "clip.mkv"])
def test_a_truncated_video_is_refused(tmp_path: Path, name: str, keep: float):
    """A file cut off at a quarter, the middle or near the end is an error, never a shorter clip."""
    noise = np.random.default_rng(0).integers(0, 256, (6, 48, 64, 3), dtype=np.uint8)
    source = write_mp4(tmp_path / "source.mp4", noise, 8)
    ffmpeg("-i", source, "-map_metadata", -1, tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(UserError, match=re.escape(name)):
        read_video(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        bytes(range(256)) * 40,
        b"#EXTM3U\n#EXTINF:10,\nclip.mp4\n",
        b"ffconcat version 1.0\nfile clip.mp4\n",
    ],
    ids=["empty", "text", "bytes", "playlist", "concat script"],
)
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes):
    """Also a playlist that names a real video: a file is read for itself, never for what it points to."""
    write_mp4(tmp_path / "clip.mp4", moving_clip(), 8)
    (tmp_path / "upload.mp4").write_bytes(content)
    with pytest.raises(UserError, match=r"upload\.mp4 is not a video"):
        read_video(tmp_path / "upload.mp4")


def test_a_picture_and_a_missing_file_are_no_videos(tmp_path: Path):
    """Each gets its own sentence."""
    write_png(tmp_path / "picture.png", moving_clip()[0])
    with pytest.raises(UserError, match="not a video"):
        read_video(tmp_path / "picture.png")
    with pytest.raises(UserError, match="no file"):
        read_video(tmp_path / "missing.mp4")


def test_a_video_too_large_for_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Beyond the limit it is an error, not a crash; fitting to a small size, or fewer frames, makes room."""
    path = write_mp4(tmp_path / "clip.mp4", moving_clip(), 8)
    monkeypatch.setattr(media, "MAX_CLIP_BYTES", 3 * 48 * 64 * 3)
    with pytest.raises(UserError, match="too long"):
        read_video(path)
    assert len(read_video(path, max_frames=3).frames) == 3
    assert len(read_video(path, size=(16, 16)).frames) == 6
    monkeypatch.setattr(media, "MAX_CLIP_BYTES", 1000)
    with pytest.raises(UserError, match="64 x 48"):
        read_video(path)


def test_a_gif_reads_back(tmp_path: Path):
    """Endless, as many frames even where they do not change, at the rate asked for as nearly as 10 ms units allow."""
    clip = moving_clip()
    clip[3] = clip[2]
    path = write_gif(tmp_path / "clip.gif", clip, 8)
    with Image.open(path) as image:
        assert image.n_frames == 6
        assert image.info["loop"] == 0
    frames, fps = read_video(path)
    assert frames.shape == clip.shape
    assert fps == pytest.approx(8, abs=0.5)
    assert np.abs(frames.astype(int) - clip).mean() < 8
