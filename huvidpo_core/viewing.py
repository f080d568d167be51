"""One clip as people have it, looked at before an action is taught from it: how long and how large it is, what of it is
seen at a profile's size and rate. A file is read once, and remembered for as long as it stays as it is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from huvidpo_core import ffmpeg, media
from huvidpo_core.config import VideoConfig
from huvidpo_core.errors import UserError

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
LONGEST = 20  # windows of a long clip that are used, from the beginning on
REMEMBERED = 64  # clips; of each a picture, half a megabyte at most

_NUMBER = re.compile(r"(\d+)")


@dataclass(frozen=True)
class View:
    """A clip as it is taught from.

    Attributes:
        picture: the first frame at the profile's size, uint8 (h, w, 3).
        frames, fps: how many are used, near the profile's rate, and their rate.
        width, height: the clip's own, in pixels.
        motion: mean change from frame to frame in the first window, in levels.
        recipe: of a video that this app made, otherwise empty.
    """

    picture: np.ndarray
    frames: int
    fps: float
    width: int
    height: int
    motion: float
    recipe: Mapping[str, Any]

    @property
    def cut(self) -> float:
        """The share of the clip's own picture that is cut off, 0 to 1."""
        h, w, _ = self.picture.shape
        own, kept = self.width / self.height, w / h
        return 1 - min(own, kept) / max(own, kept)


def view(path: Path, video: VideoConfig) -> View:
    """Look at a video or a folder of pictures. Raises UserError as `read_clip`."""
    try:
        stamp = path.stat()
    except OSError:
        raise UserError(f"{path.name} is no longer there. Choose it again.") from None
    return _view(path, video, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=REMEMBERED)
def _view(path: Path, video: VideoConfig, changed: int, size: int) -> View:
    """`changed` and `size` are the file's, so that a new one of the same name is read anew."""
    from huvidpo_core.evaluation.metrics import clip_motion

    frames, fps = read_clip(path, video, LONGEST * video.frames)
    if path.is_dir():
        height, width, _ = media.read_image(pictures(path)[0]).shape
    else:
        _, width, height = ffmpeg.probe(path)
    recipe = media.read_recipe(path) if path.suffix.lower() == ".mp4" and path.is_file() else None
    motion = clip_motion(frames[: video.frames])
    return View(frames[0].copy(), len(frames), fps, width, height, motion, recipe or {})


def read_clip(path: Path, video: VideoConfig, most: int) -> tuple[np.ndarray, float]:
    """A clip's frames near the profile's rate and at its size, uint8 (f, h, w, 3), at most so many from the beginning
    on; and their rate.

    Every n-th frame is kept, so that motion stays even and as fast as it was, and none is made up: a clip that is
    shorter or slower stays so. The size is filled and the middle kept.

    Raises:
        UserError: it cannot be read, or has a single frame.
    """
    size = video.width, video.height
    if path.is_dir():
        found = pictures(path)[:most]
        frames, rate = np.stack([media.fit(media.read_image(each), *size) for each in found]), float(video.fps)
    else:
        rate, _, _ = ffmpeg.probe(path)
        pace = max(1, round(rate / video.fps))
        frames, rate = media.read_video(path, max_frames=most, size=size, every=pace)
    if len(frames) < 2:
        raise UserError(f"{path.name} has too few frames: nothing moves in it. Choose a longer clip.")
    return frames, rate


def pictures(folder: Path) -> list[Path]:
    """A folder's pictures, 2 before 10."""
    found = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES and path.is_file()]
    return sorted(found, key=lambda path: [int(part) if part.isdigit() else part for part in _NUMBER.split(path.name)])
