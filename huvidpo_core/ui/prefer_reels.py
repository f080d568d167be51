"""Both clips of a showing, re-encoded alike, so that nothing but the pictures tells them apart. No gradio.

The page's player gets one file, a *reel*: 2 x frames JPEG pictures of one size and quality, the left clip's first, each
in a slot of one length (the longest picture's, filled up with zeros). Programs get two MP4s, `left.mp4` and
`right.mp4`, without a recipe, of the same size, rate, length and number of bytes.
"""

import io
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from huvidpo_core import media
from huvidpo_core.files import whole_file, whole_folder
from huvidpo_core.preferences.records import Showing

WIDTH = 640  # px; wider clips are shown this wide, so that a phone can hold both in memory
QUALITY = 92
MEMORY = 128 * 2**20  # bytes of pictures kept, so that a clip shown again or soon needs no decoding
KEPT = 128  # files and folders of showings that stay on disk
NAMES = ("left.mp4", "right.mp4")


class Reels:
    """The files of showings, in `folder`, made when asked for; `video` says where a clip's MP4 is."""

    def __init__(self, folder: Path, video: Callable[[str], Path]) -> None:
        self.folder, self._video = folder, video
        self._pictures: OrderedDict[str, list[bytes]] = OrderedDict()  # the longest unused first
        self._lock = threading.Lock()

    def reel(self, showing: Showing) -> Path:
        """Both clips in one file for the player. Raises UserError when a clip or the folder cannot be used."""
        path = self.folder / f"{showing.id}.reel"
        if not path.exists():
            left, right = self._alike(showing)
            slot = max(map(len, left + right))
            with whole_file(path) as temporary:
                temporary.write_bytes(b"".join(picture.ljust(slot, b"\0") for picture in left + right))
            self._tidy()
        return path

    def videos(self, showing: Showing) -> tuple[Path, Path]:
        """The left and the right clip as MP4s. Raises UserError when a clip or the folder cannot be used."""
        folder = self.folder / showing.id
        if not folder.exists():
            with whole_folder(folder) as temporary:
                paths = [temporary / name for name in NAMES]
                for path, pictures in zip(paths, self._alike(showing), strict=True):
                    media.write_mp4(path, np.stack([_pixels(picture) for picture in pictures]), showing.fps)
                _same_length(paths)
            self._tidy()
        return folder / NAMES[0], folder / NAMES[1]

    def _alike(self, showing: Showing) -> tuple[list[bytes], list[bytes]]:
        """The first `showing.frames` pictures of both clips, at the smaller clip's size."""
        sides = [self._pictures_of(clip)[: showing.frames] for clip in (showing.left, showing.right)]
        sizes = [Image.open(io.BytesIO(side[0])).size for side in sides]
        if sizes[0] != sizes[1]:  # clips that people bring; both are encoded once more, lest the sharper one tell
            smaller = min(sizes, key=lambda size: size[0] * size[1])
            sides = [_jpegs([media.fit(_pixels(picture), *smaller) for picture in side]) for side in sides]
        return sides[0], sides[1]

    def _pictures_of(self, clip: str) -> list[bytes]:
        with self._lock:
            if clip in self._pictures:
                self._pictures.move_to_end(clip)
                return self._pictures[clip]
        frames = media.read_video(self._video(clip)).frames
        _, h, w, _ = frames.shape
        if w > WIDTH:
            frames = [media.fit(frame, WIDTH, round(WIDTH * h / w)) for frame in frames]
        pictures = _jpegs(frames)
        with self._lock:
            self._pictures[clip] = pictures
            while len(self._pictures) > 2 and self._size() > MEMORY:
                self._pictures.popitem(last=False)
        return pictures

    def _size(self) -> int:
        return sum(len(picture) for pictures in self._pictures.values() for picture in pictures)

    def _tidy(self) -> None:
        """Forget the oldest showings' files; those that are asked for again are made again."""
        made = sorted(self.folder.glob("[!.]*"), key=lambda path: path.stat().st_mtime)
        for path in made[:-KEPT]:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _jpegs(frames: Sequence[np.ndarray] | np.ndarray) -> list[bytes]:
    pictures = []
    for frame in frames:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
        pictures.append(buffer.getvalue())
    return pictures


def _pixels(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture)))


def _same_length(paths: Sequence[Path]) -> None:
    """Add an empty `free` box, which players pass over, to the end of MP4s, so that all are equally long."""
    length = max(path.stat().st_size for path in paths) + 8  # a box has a head of 8 bytes
    for path in paths:
        missing = length - path.stat().st_size
        with path.open("ab") as file:
            file.write(missing.to_bytes(4, "big") + b"free" + bytes(missing - 8))
