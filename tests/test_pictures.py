"""Pictures in files: exact when written, upright and opaque when read; what is no picture is said in a sentence."""

import errno
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from huvidpo_core.errors import UserError
from huvidpo_core.media import fit, read_image, read_recipe, write_png
from tests.clips import RECIPE, moving_clip


def test_a_full_disk_while_saving_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The same for a PNG, whose bytes PIL writes."""

    def full(self: Image.Image, target: Path, **options: object) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(UserError, match="disk is full"):
        write_png(tmp_path / "picture.png", moving_clip()[0])
    assert list(tmp_path.iterdir()) == []


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
