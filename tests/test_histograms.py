"""Arithmetic on frames: histogram matching against the published code, contact sheets."""

import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from huvidpo_core.media import contact_sheet, match_histograms, write_mp4
from tests.clips import moving_clip
from tests.reference import reference


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
