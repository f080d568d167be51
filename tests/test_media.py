"""Files: what is written plays in a browser and reads back; what cannot be read is said in a sentence."""

import errno
import json
import re
import subprocess
import sys
import zlib
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from huvidpo_core import media
from huvidpo_core.errors import UserError
from huvidpo_core.media import (
    contact_sheet,
    fit,
    match_histograms,
    read_image,
    read_recipe,
    read_video,
    write_gif,
    write_mp4,
    write_png,
)
from tests.reference import reference

RECIPE = {"prompt": 'a "horse" = läuft; #馬 \\ am\nStrand\t🐎', "seed": 0, "styles": ["pixel art"], "guidance": 12.5}


def moving_clip(frames: int = 6, height: int = 48, width: int = 64) -> np.ndarray:
    """A smooth gradient with a block that moves: compressible, and every frame different."""
    y, x = np.mgrid[0:height, 0:width]
    clip = np.stack([np.stack([x * 3, y * 4, np.full_like(x, 90)], axis=-1)] * frames).astype(np.uint8)
    for i in range(frames):
        clip[i, 8:24, 4 * i : 4 * i + 16] = 230
    return clip


def ffmpeg(*arguments: object) -> subprocess.CompletedProcess:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-y", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


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


def test_a_full_disk_while_saving_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The same for a PNG, whose bytes PIL writes."""

    def full(self: Image.Image, target: Path, **options: object) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(UserError, match="disk is full"):
        write_png(tmp_path / "picture.png", moving_clip()[0])
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path: Path):
    """A file where a folder is needed is said to be the reason; a missing folder is simply made."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"clip\.mp4 could not be written"):
        write_mp4(tmp_path / "file" / "clip.mp4", moving_clip(), 8)
    (tmp_path / "taken.mp4").mkdir()
    with pytest.raises(UserError, match=r"taken\.mp4 could not be written: Is a directory\.$"):
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


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_a_png_is_exact(tmp_path: Path):
    """Pixels and recipe come back as they were."""
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    path = write_png(tmp_path / "picture.png", picture, RECIPE)
    assert np.array_equal(read_image(path), picture)
    assert np.array_equal(read_image(picture), picture)
    assert np.array_equal(read_image(Image.fromarray(picture)), picture)
    assert read_recipe(path) == RECIPE
    assert read_recipe(write_png(path, picture)) is None


def test_a_photo_is_turned_upright(tmp_path: Path):
    """EXIF orientation 6 (the camera was held upright): what the file has on the left is at the top of the picture."""
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:, :24] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture).save(tmp_path / "photo.jpg", exif=exif, quality=95)
    upright = read_image(tmp_path / "photo.jpg")
    assert upright.shape == (48, 32, 3)
    assert upright[:20].min() > 240
    assert upright[28:].max() < 15


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_becomes_white(tmp_path: Path, mode: str):
    """Whatever colour hides under full transparency; half transparency is half way to white."""
    picture = np.zeros((16, 32, 4), np.uint8)
    picture[:, 16:, 3] = 255
    image = Image.fromarray(picture).convert(mode)
    if mode == "P":
        image = Image.new("P", (32, 16))
        image.putpalette([0, 0, 0, 10, 10, 10])
        image.paste(1, (16, 0, 32, 16))
        image.info["transparency"] = 0
    image.save(tmp_path / "picture.png")
    flat = read_image(tmp_path / "picture.png")
    assert (flat[:, :16] == 255).all()
    assert (flat[:, 16:] <= 10).all()
    half = Image.new("RGBA", (16, 16), (0, 0, 0, 128))
    assert read_image(half)[0, 0].tolist() == pytest.approx([127] * 3, abs=1)


def test_grey_of_sixteen_bits_keeps_its_shades(tmp_path: Path):
    """65535 is white and half of it is mid grey, where PIL alone would show both as white."""
    levels = np.repeat(np.array([[0, 32768, 65535]], np.uint16), 16, axis=0).repeat(16, axis=1)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png")[0, [0, 20, 40], 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("mode", ["L", "1", "CMYK", "P"])
def test_every_kind_of_picture_becomes_rgb(tmp_path: Path, mode: str):
    """Grey, bilevel, print colours, palette."""
    Image.new("RGB", (20, 16), "white").convert(mode).save(tmp_path / "picture.tiff")
    assert (read_image(tmp_path / "picture.tiff") == 255).all()


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9_500, 20_000, 60_000])
def test_a_decompression_bomb_is_not_decoded(tmp_path: Path, side: int):
    """A PNG of a few bytes that claims to be huge is refused from its header, whose word it is taken at."""
    Image.new("RGB", (16, 16)).save(tmp_path / "small.png")
    data = bytearray((tmp_path / "small.png").read_bytes())
    data[16:24] = side.to_bytes(4) * 2
    crc = zlib.crc32(data[12:29])
    data[29:33] = crc.to_bytes(4)
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(UserError, match="too large"):
        read_image(tmp_path / "bomb.png")


@pytest.mark.parametrize("size", [(1, 1), (15, 400), (400, 15)])
def test_a_tiny_picture_is_refused(size: tuple[int, int]):
    """Below 16 pixels a side, with the size in the message."""
    with pytest.raises(UserError, match=f"{size[0]} x {size[1]}"):
        read_image(Image.new("RGB", size))
    assert read_image(Image.new("RGB", (16, 16))).shape == (16, 16, 3)


def test_what_is_no_picture_is_refused(tmp_path: Path):
    """Text, nothing, half a JPEG, PostScript (which PIL would hand to another program), a missing file."""
    Image.effect_noise((64, 64), 90).save(tmp_path / "half.jpg")
    (tmp_path / "half.jpg").write_bytes((tmp_path / "half.jpg").read_bytes()[:600])
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nshowpage\n")
    for name in ("half.jpg", "text.png", "empty.png", "script.png"):
        with pytest.raises(UserError, match=f"{name} is not a picture"):
            read_image(tmp_path / name)
    with pytest.raises(UserError, match="no file"):
        read_image(tmp_path / "missing.png")


def test_fitting_crops_the_centre():
    """A wide picture loses its sides equally and keeps its proportions; scaling up works too."""
    picture = np.zeros((40, 100, 3), np.uint8)
    picture[:, 30:70] = 255  # the middle square
    assert (fit(picture, 40, 40) == 255).all()
    assert fit(picture, 512, 320).shape == (320, 512, 3)


# --- histograms and contact sheets ------------------------------------------------------------------------------------


def test_histogram_matching_reproduces_the_published_levels():
    """Level for level, for random pictures and for a picture matched to itself."""
    known = load_file(reference("his_match.safetensors"))
    first, frame = ((known[f"random.{name}_hwc"] * 255).astype(np.uint8) for name in ("reference", "frame"))
    assert np.array_equal(match_histograms(np.stack([first, frame]))[1], known["random.matched_hwc_levels"])
    assert np.array_equal(match_histograms(np.stack([first, first]))[1], known["identical.matched_hwc_levels"])


def test_histogram_matching_reproduces_the_published_clip():
    """The whole recorded 10-step clip, and the 50-step run's frame 1, exactly."""
    clip = load_file(reference("sampling_steps10.safetensors"))["video"][0].transpose(1, 2, 3, 0)
    known = load_file(reference("his_match.safetensors"))
    matched = match_histograms((clip * 255).astype(np.uint8))
    assert np.array_equal(matched, known["steps10.matched_video_uint8"][0].transpose(1, 2, 3, 0))
    few = load_file(reference("sampling_steps50.safetensors"))["video_frames_0_1_last"][0].transpose(1, 2, 3, 0)
    assert np.array_equal(match_histograms((few * 255).astype(np.uint8))[1], known["steps50.matched_frame1_hwc_levels"])


def test_histogram_matching_equals_a_loop_over_pixels():
    """For each pixel: the lowest level at which frame 0 has as large a share of pixels at or below it."""
    frames = np.random.default_rng(7).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)  # 256 pixels: shares are exact
    frames[1] //= 3
    expected = np.empty_like(frames)
    for f, y, x, c in np.ndindex(frames.shape):
        share = (frames[f, :, :, c] <= frames[f, y, x, c]).mean()
        expected[f, y, x, c] = next(v for v in range(256) if (frames[0, :, :, c] <= v).mean() >= share)
    matched = match_histograms(frames)
    assert np.array_equal(matched, expected)
    assert np.array_equal(matched[0], frames[0])


def test_frames_of_the_wrong_kind_are_named(tmp_path: Path):
    """Floats, one picture instead of a clip, no frames at all: the message has type and shape."""
    for wrong in (np.zeros((2, 8, 8, 3)), np.zeros((8, 8, 3), np.uint8), np.zeros((0, 8, 8, 3), np.uint8)):
        with pytest.raises(ValueError, match=re.escape(f"{wrong.dtype} {wrong.shape}")):
            match_histograms(wrong)
        with pytest.raises(ValueError, match=re.escape(f"{wrong.dtype} {wrong.shape}")):
            write_mp4(tmp_path / "clip.mp4", wrong, 8)
    with pytest.raises(ValueError, match="fps"):
        write_mp4(tmp_path / "clip.mp4", moving_clip(), 0)


def test_a_contact_sheet_shows_each_clip_from_first_to_last():
    """A row per clip, the first and the last frame at its ends, in the order given."""
    clip = np.arange(0, 250, 25, dtype=np.uint8)[:, None, None, None] * np.ones((1, 20, 40, 3), np.uint8)
    sheet = contact_sheet([clip, clip[::-1, :, :20]], columns=4, tile=40)
    assert sheet.shape == (4 + 20 + 4 + 40 + 4, 4 + 4 * 44, 3)
    assert [sheet[10, 10 + 44 * i, 0] for i in range(4)] == [0, 75, 150, 225]
    assert [sheet[40, 10 + 44 * i, 0] for i in range(4)] == [225, 150, 75, 0]
    assert contact_sheet(clip, tile=40).shape == (4 + 20 + 4, 4 + 8 * 44, 3)
