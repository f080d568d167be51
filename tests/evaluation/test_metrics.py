"""The pixel measures against hand computation and naive loops over the defining formulas."""

from statistics import fmean

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from huvidpo_core.evaluation import clip_consistency, metrics


def flat(*levels: int) -> np.ndarray:
    """A clip of plain grey frames, 8 x 10."""
    return np.stack([np.full((8, 10, 3), level, np.uint8) for level in levels])


def noise(f: int = 4, h: int = 11, w: int = 9, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (f, h, w, 3), dtype=np.uint8)


def texture(w: int = 128, h: int = 80, seed: int = 0) -> np.ndarray:
    """A smooth grey pattern with detail everywhere, float (h, w) in 0..255."""
    pattern = gaussian_filter(np.random.default_rng(seed).random((h, w)), 2)
    return 255 * (pattern - pattern.min()) / np.ptp(pattern)


def picture(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey.round().clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def naive_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al.'s formula on every 7 x 7 window that lies inside, per channel, with the sample (co)variance."""
    c1, c2, values = (0.01 * 255) ** 2, (0.03 * 255) ** 2, []
    h, w, _ = a.shape
    for channel in range(3):
        for top in range(h - 6):
            for left in range(w - 6):
                x, y = (image[top : top + 7, left : left + 7, channel].astype(float).ravel() for image in (a, b))
                (xx, xy), (_, yy) = np.cov(x, y)
                values.append(
                    (2 * x.mean() * y.mean() + c1) * (2 * xy + c2)
                    / ((x.mean() ** 2 + y.mean() ** 2 + c1) * (xx + yy + c2))
                )  # fmt: skip
    return fmean(values)


def test_ssim_is_the_formula_and_means_go_over_consecutive_frames():
    """clip_consistency's SSIM equals the formula in loops, over pairs (i-1, i), or (0, i) when asked for frame 0."""
    frames = noise()
    frames[2] = frames[1] // 2 + 60  # not only pairs that have nothing in common
    consecutive = fmean(naive_ssim(frames[i - 1], frames[i]) for i in range(1, 4))
    first = fmean(naive_ssim(frames[0], frames[i]) for i in range(1, 4))
    assert clip_consistency(frames).ssim == pytest.approx(consecutive, abs=1e-6)
    assert clip_consistency(frames, "first").ssim == pytest.approx(first, abs=1e-6)
    assert abs(consecutive - first) > 0.05


def test_mse_by_hand():
    """Grey 10, 26, 20: consecutive (16^2 + 6^2) / 2 = 146, to frame 0 (16^2 + 10^2) / 2 = 178; no wrapping."""
    assert clip_consistency(flat(10, 26, 20)).mse == 146
    assert clip_consistency(flat(10, 26, 20), "first").mse == 178
    assert clip_consistency(flat(0, 255)).mse == 255**2


def test_the_overflowing_mse_by_hand():
    """Squares modulo 256: a difference of 15 gives 225, of 16 nothing, of -17 gives 289 - 256 = 33, of 255 just 1."""
    for levels, expected in (((10, 25), 225), ((10, 26), 0), ((27, 10), 33), ((0, 255), 1)):
        assert clip_consistency(flat(*levels)).mse_overflowing_8bit == expected
    a, b = noise(2)
    squares = [(int(x) - int(y)) ** 2 % 256 for x, y in zip(a.ravel(), b.ravel(), strict=True)]
    assert metrics.mse_overflowing_8bit(a, b) == pytest.approx(fmean(squares))


def test_motion_energy_by_hand():
    """Up by 200 and down by 200 count alike; half of the picture changing counts half."""
    assert metrics.motion_energy(*flat(20, 220)) == metrics.motion_energy(*flat(220, 20)) == 200
    a, b = flat(50, 50)
    b[:, :5] = 60
    assert metrics.motion_energy(a, b) == 5


@pytest.mark.parametrize("shift", [1, 4, 9])
def test_optical_flow_finds_a_known_shift(shift):
    """A pattern moved by s of 128 pixels flows by 100 s / 128 percent, within 5 %; nothing moved is no flow at all."""
    wide = texture(128 + shift)
    a, b = picture(wide[:, shift:]), picture(wide[:, :128])
    assert metrics.optical_flow(a, b) == pytest.approx(100 * shift / 128, rel=0.05)
    assert metrics.optical_flow(a, a) == 0


def test_optical_flow_does_not_depend_on_the_size():
    """The same scene at three times the size has the same flow, for it is a share of the side."""
    wide = texture(132)
    a, b = picture(wide[:, 4:]), picture(wide[:, :128])
    large = [image.repeat(3, axis=0).repeat(3, axis=1) for image in (a, b)]
    assert metrics.optical_flow(*large) == pytest.approx(metrics.optical_flow(a, b), rel=0.01)


def test_optical_flow_sees_motion_and_not_noise():
    """Faint noise on a plain wall, without motion, flows less than a tenth of one pixel's shift of a real pattern."""
    grain = np.random.default_rng(1).normal(128, 3, (2, 80, 128))
    wide = texture(129)
    moved = metrics.optical_flow(picture(wide[:, 1:]), picture(wide[:, :128]))
    assert metrics.optical_flow(picture(grain[0]), picture(grain[1])) < moved / 10


def test_flicker_counts_what_is_undone():
    """100, 110, 100 flickers by 10, 100, 110, 104 by 6; a fade, a step and a passing edge do not flicker."""
    assert metrics.flicker(*flat(100, 110, 100)) == 10
    assert metrics.flicker(*flat(110, 100, 110)) == 10
    assert metrics.flicker(*flat(100, 110, 104)) == 6
    assert (
        metrics.flicker(*flat(0, 10, 250)) == metrics.flicker(*flat(9, 9, 80)) == metrics.flicker(*flat(80, 9, 9)) == 0
    )
    edge = flat(0, 0, 0)
    for i in range(3):
        edge[i, :, : 2 + 3 * i] = 255
    assert metrics.flicker(*edge) == 0


def test_flicker_is_the_variation_in_time_that_is_undone():
    """On noise it equals half of |b-a| + |c-b| - |c-a|, computed in Python's own integers."""
    a, b, c = noise(3)
    values = zip(*(image.ravel().tolist() for image in (a, b, c)), strict=True)
    expected = fmean((abs(y - x) + abs(z - y) - abs(z - x)) / 2 for x, y, z in values)
    assert metrics.flicker(a, b, c) == pytest.approx(expected)


def test_a_frozen_clip():
    """Frame 0 repeated: SSIM 1, and nothing else at all. That is why its row stands beside every table."""
    frames = np.broadcast_to(noise(1), (4, 11, 9, 3))
    for values in metrics.measure_pairs(frames):
        assert values.pop("ssim") == values.pop("ssim_first") == pytest.approx(1)
        assert set(values.values()) == {0.0}


def test_pairs_hold_every_measure():
    """One dict a frame from 1 on, whose means are clip_consistency's; flicker begins with the third frame."""
    frames = noise(4)
    pairs = list(metrics.measure_pairs(frames))
    assert ["flicker" in values for values in pairs] == [False, True, True]
    for against, ending in (("previous", ""), ("first", "_first")):
        whole = clip_consistency(frames, against)
        assert fmean(values[f"ssim{ending}"] for values in pairs) == whole.ssim
        assert fmean(values[f"mse{ending}"] for values in pairs) == whole.mse
    assert pairs[1]["motion_energy"] == metrics.motion_energy(frames[1], frames[2])
    assert pairs[1]["flicker"] == metrics.flicker(*frames[:3])


def test_tiny_frames_have_every_measure():
    """Frames of the smallest size there may be, 7 x 7, are measured like any."""
    assert np.isfinite([*next(metrics.measure_pairs(noise(2, 7, 7))).values()]).all()


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (noise(1), "got 1 of"),
        (noise(3, 6, 20), "got 3 of 20 x 6"),
        (noise(3).astype(float), "float64"),
        (noise(3)[..., 0], r"\(3, 11, 9\)"),
        (noise(3).repeat(2, axis=-1), r"\(3, 11, 9, 6\)"),
    ],
)
def test_frames_that_cannot_be_compared(frames, words):
    """Too few, too small, of another type or shape: a ValueError that names what it got."""
    with pytest.raises(ValueError, match=words):
        clip_consistency(frames)
    with pytest.raises(ValueError, match=words):
        next(metrics.measure_pairs(frames))
