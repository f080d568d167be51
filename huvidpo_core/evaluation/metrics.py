"""What the pixels of a clip tell: agreement, motion, flicker. Pure functions of frames, uint8 `(f, h, w, 3)` RGB.

Nothing here is good or bad alone: a frozen clip has the best SSIM, MSE and flicker there can be, and no motion. Whoever
shows these numbers shows a frozen frame's beside them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import numpy as np
from PIL import Image
from skimage.metrics import structural_similarity
from skimage.registration import optical_flow_tvl1

MIN_SIDE = 7  # px: the window of SSIM
FLOW_SIDE = 128  # px: the longer side at which flow is estimated


@dataclass(frozen=True)
class Consistency:
    """Agreement of a clip's frames, means over pairs: `ssim` up to 1, both errors in squared 8-bit levels."""

    ssim: float
    mse: float
    mse_overflowing_8bit: float


def clip_consistency(frames: np.ndarray, against: Literal["previous", "first"] = "previous") -> Consistency:
    """SSIM and MSE of every frame from 1 on with the frame before it, or with frame 0.

    The paper's SSIM column is x100 of the first; for its MSE column see `mse_overflowing_8bit`.

    Args:
        frames: uint8 `(f, h, w, 3)`, f >= 2, sides of at least `MIN_SIDE`.

    Raises:
        ValueError: other frames, or fewer.
    """
    check(frames)
    pairs = [(frames[i - 1] if against == "previous" else frames[0], frames[i]) for i in range(1, len(frames))]
    return Consistency(*(fmean(measure(a, b) for a, b in pairs) for measure in (ssim, mse, mse_overflowing_8bit)))


def measure_pairs(frames: np.ndarray) -> Iterator[dict[str, float]]:
    """All pixel measures of a clip, one dict for each frame i >= 1: with frame i-1 and, `*_first`, with frame 0.

    A clip's value of a measure is the mean of its entries. `flicker` needs three frames and is there from i = 2 on.
    Holds a few frames' worth of memory beside the clip. Arguments and errors as `clip_consistency`.
    """
    check(frames)
    for i in range(1, len(frames)):
        previous, this = frames[i - 1], frames[i]
        values = {
            "ssim": ssim(previous, this),
            "ssim_first": ssim(frames[0], this),
            "mse": mse(previous, this),
            "mse_first": mse(frames[0], this),
            "mse_overflowing_8bit": mse_overflowing_8bit(previous, this),
            "motion_energy": motion_energy(previous, this),
            "optical_flow": optical_flow(previous, this),
        }
        yield values | ({"flicker": flicker(frames[i - 2], previous, this)} if i > 1 else {})


def clip_motion(frames: np.ndarray) -> float:
    """Mean `motion_energy` of all consecutive frames. Arguments and errors as `clip_consistency`."""
    check(frames)
    return fmean(motion_energy(frames[i - 1], frames[i]) for i in range(1, len(frames)))


def check(frames: np.ndarray) -> None:
    """Raise ValueError unless these frames can be compared with each other."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"frames must be uint8 (f, h, w, 3), got {frames.dtype} {frames.shape}")
    f, h, w, _ = frames.shape
    if f < 2 or min(h, w) < MIN_SIDE:
        raise ValueError(f"at least 2 frames of {MIN_SIDE} x {MIN_SIDE} are needed, got {f} of {w} x {h}")


# --- two pictures, uint8 (h, w, 3) each -------------------------------------------------------------------------------


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity (Wang et al. 2004), -1 to 1, as scikit-image defines it when told nothing more.

    Per RGB channel, then the mean; data range 255; a uniform 7 x 7 window with sample covariance; K1 0.01, K2 0.03.
    """
    return float(structural_similarity(a, b, channel_axis=-1, data_range=255))


def mse(a: np.ndarray, b: np.ndarray) -> float:
    """Mean squared difference in 8-bit levels, 0 to 65025."""
    return float(np.square(a.astype(np.int32) - b).mean())


def mse_overflowing_8bit(a: np.ndarray, b: np.ndarray) -> float:
    """What comes out as MSE when difference and square are left in 8 bits and wrap modulo 256: 0 to 255, meaningless.

    A difference of 16 levels counts as 0. Here because the paper's MSE column agrees with this and not with `mse`.
    """
    difference = a - b  # uint8 minus uint8 wraps, and so does the product
    return float((difference * difference).mean())


def motion_energy(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference in 8-bit levels, 0 to 255. Noise and flicker count as motion; compare `flicker`."""
    return float(np.abs(a.astype(np.int16) - b).mean())


def optical_flow(a: np.ndarray, b: np.ndarray) -> float:
    """Mean length of the optical flow from a to b, in percent of the picture's longer side.

    TV-L1 (Zach, Pock & Bischof 2007) on grey pictures whose longer side is at most `FLOW_SIDE`: it is nearly blind to
    noise on flat areas, where Lucas-Kanade finds movement, and takes the same time whatever the size of the clip.
    Steps of more than about 7 % of the side are too large for it and come out too small.
    """
    a, b = _small_grey(a), _small_grey(b)
    flow = optical_flow_tvl1(a, b, num_iter=5, tol=1e-3)  # within a few percent of the defaults, at half the time
    return float(100 * np.hypot(*flow).mean() / max(a.shape))


def _small_grey(image: np.ndarray) -> np.ndarray:
    """float32 `(h', w')` in 0..1; pictures are made smaller by area, never larger."""
    h, w, _ = image.shape
    factor = min(1.0, FLOW_SIDE / max(h, w))
    size = max(1, round(w * factor)), max(1, round(h * factor))
    return np.asarray(Image.fromarray(image).convert("L").resize(size, Image.Resampling.BOX), np.float32) / 255


# --- three pictures ---------------------------------------------------------------------------------------------------


def flicker(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """By how many 8-bit levels, on average, a value goes one way from a to b and straight back from b to c.

    Per pixel and channel the smaller of the two changes where their signs differ, else nothing; that is half of
    |b-a| + |c-b| - |c-a|, the variation in time that is undone at once. A fade, or an edge that passes, counts nothing,
    unlike in VBench's temporal flickering (Huang et al. 2024), the mean difference of consecutive frames, which counts
    all motion and is here under its own name, `motion_energy`. Something thin that crosses a pixel within one frame
    does count.
    """
    before, after = b.astype(np.int16) - a, c.astype(np.int16) - b
    undone = np.minimum(np.abs(before), np.abs(after))
    return float(np.where((before > 0) != (after > 0), undone, 0).mean())
