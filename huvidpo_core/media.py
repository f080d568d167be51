"""Pictures and clips in and out of files. A picture is uint8 `(h, w, 3)` RGB, a clip uint8 `(f, h, w, 3)`.

Video goes through the ffmpeg that imageio-ffmpeg brings, so none has to be installed. An MP4 is written as every
browser plays it (H.264, yuv420p, index in front), each frame a key frame so that a player can seek to any of them, and
carries the recipe it was made from as JSON in its `comment` tag. Every file appears whole or not at all.
"""

import json
import logging
import re
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from huvidpo_core import ffmpeg
from huvidpo_core.errors import UserError
from huvidpo_core.files import whole_file, write_error

logger = logging.getLogger(__name__)

MIN_SIDE = 16  # px; below this a picture is a mistake
MAX_FILE = 500 * 2**20  # bytes of a file that people bring; the page takes no larger one
MAX_PIXELS = 80_000_000  # in one picture; about 240 MB once decoded
MAX_CLIP_BYTES = 2**30  # of decoded frames held at once

_PICTURES = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_PPM = ("-c:v", "ppm", "-pix_fmt", "rgb24", "-f", "image2pipe", "-")  # raw pictures, each with its size in front
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class Clip(NamedTuple):
    """Decoded video: `frames` uint8 `(f, h, w, 3)` and their rate in frames a second."""

    frames: np.ndarray
    fps: float


# --- video files ------------------------------------------------------------------------------------------------------


def write_mp4(path: Path | str, frames: np.ndarray, fps: float, recipe: dict[str, Any] | None = None) -> Path:
    """Write a clip as MP4 and return its path; an odd width or height is made even by repeating the last column or row.

    Args:
        path: where to; missing folders are made.
        frames: uint8 `(f, h, w, 3)`, f >= 1.
        fps: frames a second.
        recipe: whatever JSON can hold; `read_recipe` gives it back.

    Raises:
        UserError: the file cannot be written (disk full, no permission); nothing is left behind then.
    """
    _, h, w, _ = _check_frames(frames).shape
    frames = np.pad(frames, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), mode="edge")
    options = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "16", "-g", "1", "-pix_fmt", "yuv420p"]
    # Converted to BT.709 and said to be, since players guess differently where nothing is said.
    tags = "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
    options += ["-vf", f"scale=out_color_matrix=bt709:out_range=tv,{tags}", "-movflags", "+faststart"]
    if recipe is not None:
        options += ["-metadata", f"comment={json.dumps(recipe)}"]  # pure ASCII, whatever the prompt is written in
    return _encode(Path(path), frames, fps, [*options, "-f", "mp4"])


def write_gif(path: Path | str, frames: np.ndarray, fps: float) -> Path:
    """Write a clip as an endless GIF with one palette made for it, and return its path. Arguments as `write_mp4`."""
    palette = "split[a][b];[a]palettegen=stats_mode=full[p];[b][p]paletteuse=dither=sierra2_4a"
    return _encode(Path(path), _check_frames(frames), fps, ["-filter_complex", palette, "-loop", "0", "-f", "gif"])


def read_video(
    path: Path | str, *, max_frames: int | None = None, size: tuple[int, int] | None = None, every: int = 1
) -> Clip:
    """Read the frames a video file holds: MP4, GIF, WebM, MOV, MKV, AVI and the like; sound is ignored.

    Args:
        path: the file.
        max_frames: read no more than this many from the start.
        size: `(width, height)` to fit the frames to, filling and cropping the centre, as they are read.
        every: keep only frames 0, every, 2 every, ...; the others are neither counted nor held, and the rate is that of
            those that are kept.

    Raises:
        UserError: no such file, not a video, a damaged or truncated one, or more than fits in `MAX_CLIP_BYTES`.
    """
    path = Path(path)
    fps, width, height = ffmpeg.probe(_existing(path))
    frame_bytes = 3 * (size[0] * size[1] if size else width * height)
    room = MAX_CLIP_BYTES // frame_bytes
    if width * height > MAX_PIXELS or room < 1:
        raise UserError(f"{path.name} is too large: {width} x {height}.")
    limit = min(room + 1, max_frames or room + 1)

    options = ["-map", "0:v:0", "-frames:v", str(limit), "-fps_mode", "passthrough"]
    filters = [f"select='not(mod(n,{every}))'"] if every > 1 else []
    if size:
        fill = f"scale={size[0]}:{size[1]}:force_original_aspect_ratio=increase:flags=lanczos"
        filters += [fill, f"crop={size[0]}:{size[1]}"]
    if filters:
        options += ["-vf", ",".join(filters)]
    # A file that ends too early is an error, not a shorter video; but for some containers ffmpeg merely says so.
    result = ffmpeg.run(["-v", "warning", "-xerror", *ffmpeg.source(path), *options, *_PPM])
    cut_off = re.search(rb"ended prematurely|LZW decode failed|corrupt", result.stderr)
    header = re.match(rb"P6\n(\d+) (\d+)\n255\n", result.stdout)
    if result.returncode or cut_off or not header:
        raise UserError(f"{path.name} is damaged or incomplete and cannot be read to its end.")
    width, height = int(header[1]), int(header[2])
    raw = np.frombuffer(result.stdout, np.uint8).reshape(-1, header.end() + 3 * width * height)
    if len(raw) > room:
        raise UserError(f"{path.name} is too long to be read whole ({width} x {height}); please cut it shorter.")
    return Clip(raw[:, header.end() :].reshape(-1, height, width, 3).copy(), fps / every)


def read_recipe(path: Path | str) -> dict[str, Any] | None:
    """The recipe that `write_mp4` or `write_png` put into a file, or None where there is none.

    Raises:
        UserError: no such file.
    """
    path = _existing(Path(path))
    with path.open("rb") as file:
        is_png = file.read(8) == _PNG_SIGNATURE
    try:
        recipe = json.loads(_png_comment(path) if is_png else ffmpeg.comment(path))
    except (ValueError, OSError, SyntaxError):
        return None
    return recipe if isinstance(recipe, dict) else None


# --- picture files ----------------------------------------------------------------------------------------------------


def write_png(path: Path | str, image: np.ndarray, recipe: dict[str, Any] | None = None) -> Path:
    """Write a picture, uint8 `(h, w, 3)`, without loss and return its path; recipe and errors as `write_mp4`."""
    path, info = Path(path), PngInfo()
    if recipe is not None:
        info.add_text("comment", json.dumps(recipe))
    with whole_file(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG", pnginfo=info)
    return path


def read_image(source: Path | str | Image.Image | np.ndarray) -> np.ndarray:
    """Read a picture upright and opaque: EXIF rotation applied, transparency laid on white; uint8 `(h, w, 3)`.

    Args:
        source: a file, a PIL image, or an array as PIL takes it. Of an animation, the first frame is read.

    Raises:
        UserError: no such file; not a picture; smaller than `MIN_SIDE` on a side; more than `MAX_PIXELS`, which is told
            from the header, before anything is decoded.
    """
    name = Path(source).name if isinstance(source, Path | str) else "The picture"
    try:
        if isinstance(source, np.ndarray):
            source = Image.fromarray(source)
        elif not isinstance(source, Image.Image):
            with warnings.catch_warnings():  # our own limit speaks below, in a sentence
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                source = Image.open(_existing(Path(source)), formats=_PICTURES)
        width, height = source.size
        if width * height > MAX_PIXELS:
            raise UserError(f"{name} is too large: {width} x {height}. Please scale it down first.")
        if min(width, height) < MIN_SIDE:
            raise UserError(f"{name} is too small: {width} x {height}. Each side needs at least {MIN_SIDE} pixels.")
        image = ImageOps.exif_transpose(source)
        if image.mode.startswith("I"):  # 16 bits, which PIL would cut off at 255 instead of scaling
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return np.array(image.convert("RGB"))
    except Image.DecompressionBombError as error:
        raise UserError(f"{name} is too large. Please scale it down first.") from error
    except (OSError, SyntaxError, ValueError, TypeError, EOFError) as error:  # what PIL's decoders raise
        logger.info("cannot read %s: %s", name, error)
        raise UserError(f"{name} is not a picture that can be read (PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF).") from error


def fit(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scale a picture `(h, w, 3)` to cover width x height (Lanczos) and crop what sticks out on both sides equally."""
    return np.array(ImageOps.fit(Image.fromarray(image), (width, height), Image.Resampling.LANCZOS))


# --- arithmetic on frames ---------------------------------------------------------------------------------------------


def match_histograms(frames: np.ndarray) -> np.ndarray:
    """Match each frame's histogram to frame 0's, per RGB channel, in 8 bits (method 4.5).

    A level v goes to the lowest level whose share of frame 0's pixels, at or below it, reaches v's share in its own
    frame. Frame 0 stays as it is. `frames` is uint8 `(f, h, w, 3)`, and so is the answer.
    """
    f, h, w, _ = _check_frames(frames).shape
    # One count for all (frame, channel): each has its own run of 256 bins.
    runs = frames + 256 * np.arange(3 * f).reshape(f, 1, 1, 3)
    counts = np.bincount(runs.ravel(), minlength=3 * f * 256).reshape(f, 3, 256)
    # Shares, not counts: where two shares are equal, the published answer hangs on how they round.
    shares = (counts / (h * w)).cumsum(axis=-1)
    tables = np.stack([np.searchsorted(shares[0, c], shares[:, c], side="left") for c in range(3)], axis=1)
    return tables.clip(max=255).astype(np.uint8).ravel()[runs]


def contact_sheet(clips: np.ndarray | Sequence[np.ndarray], *, columns: int = 8, tile: int = 128) -> np.ndarray:
    """Lay clips out as one picture: a row per clip, up to `columns` of its frames from first to last, `tile` px wide.

    Args:
        clips: one clip `(f, h, w, 3)` or several, of any sizes.

    Returns:
        uint8 `(H, W, 3)`, white between and around the frames.
    """
    gap = 4
    clips = [clips] if isinstance(clips, np.ndarray) and clips.ndim == 4 else clips
    rows = []
    for clip in clips:
        f, h, w, _ = _check_frames(clip).shape
        chosen = np.linspace(0, f - 1, min(columns, f)).round().astype(int)
        size = (tile, max(1, round(tile * h / w)))
        rows.append([Image.fromarray(clip[i]).resize(size, Image.Resampling.LANCZOS) for i in chosen])
    width = max(len(row) for row in rows) * (tile + gap) + gap
    sheet = Image.new("RGB", (width, sum(row[0].height + gap for row in rows) + gap), "white")
    top = gap
    for row in rows:
        for column, picture in enumerate(row):
            sheet.paste(picture, (gap + column * (tile + gap), top))
        top += row[0].height + gap
    return np.array(sheet)


# --- writing ----------------------------------------------------------------------------------------------------------


def _png_comment(path: Path) -> str:
    with Image.open(path, formats=("PNG",)) as image:
        return getattr(image, "text", {}).get("comment", "")


def _encode(path: Path, frames: np.ndarray, fps: float, options: list[str]) -> Path:
    """Pipe raw frames through ffmpeg into a whole file."""
    if not fps > 0:
        raise ValueError(f"fps must be above 0, got {fps}")
    _, h, w, _ = frames.shape
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{w}x{h}", "-framerate", str(fps), "-i", "-"]
    with whole_file(path) as temporary:
        result = ffmpeg.run(["-v", "error", *raw, *options, f"file:{temporary}"], frames.tobytes())
        if result.returncode:
            raise write_error(result.stderr.decode(errors="replace"))
    return path


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file so that `target` is whole or untouched. Raises UserError when it cannot be written."""
    with whole_file(target) as temporary:
        shutil.copyfile(source, temporary)


def _existing(path: Path) -> Path:
    if path.is_dir():
        raise UserError(f"{path} is a folder. Name a file that is in it.")
    if not path.is_file():
        raise UserError(f"There is no file {path}. Check how it is written.")
    return path


def _check_frames(frames: np.ndarray) -> np.ndarray:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise ValueError(f"frames must be uint8 (f, h, w, 3), got {frames.dtype} {frames.shape}")
    return frames
