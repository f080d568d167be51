"""How a clip travels through a 2D network: its frames ride in the batch, and a shared number says how many they are.

The letters of every shape in this package:

    b  clips in the batch          f  frames of a clip       n = b * f, clip-major: frame i of clip j is row j * f + i
    c  channels                    h, w  height and width    d = h * w, the positions (tokens) of one frame
    l  tokens of the text

Latents are `(b, c, f, h, w)` at the public border and `(n, c, h, w)` inside. Nothing here has weights.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor


class FrameCount:
    """The number of frames per clip, shared by every module of one network.

    A module that mixes frames has to know it, and nothing in a stock 2D block hands it down. Only
    `VideoUNet.forward` writes it (`of`); everything else reads `value`.
    """

    def __init__(self) -> None:
        self.value = 1

    @contextmanager
    def of(self, frames: int) -> Iterator[None]:
        """The count is `frames` inside the `with`, and what it was before afterwards."""
        before, self.value = self.value, frames
        try:
            yield
        finally:
            self.value = before


def fold(clip: Tensor) -> Tensor:
    """(b, c, f, h, w) -> (n, c, h, w)."""
    return clip.transpose(1, 2).flatten(0, 1)


def unfold(rows: Tensor, frames: int) -> Tensor:
    """(n, c, h, w) -> (b, c, f, h, w)."""
    return rows.unflatten(0, (-1, frames)).transpose(1, 2)


def to_planes(rows: Tensor, frames: int) -> Tensor:
    """(n, c, h, w) -> (b, c, f, d): a clip as one picture, frames down and positions across.

    Always a view, so that 2D kernels (convolution, group norm) can work on a whole clip; of channels-last rows the
    planes are channels-last too, and then those kernels need no copy either.
    """
    return rows.flatten(2).unflatten(0, (-1, frames)).transpose(1, 2)


def from_planes(planes: Tensor, height: int, width: int) -> Tensor:
    """(b, c, f, d) -> (n, c, h, w), the inverse of `to_planes`."""
    return planes.transpose(1, 2).flatten(0, 1).unflatten(2, (height, width))
