"""The measuring commands: their intervals, their masks, and that a number which misses its bar is said to."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from huvidpo_core.miniature.world import Scene, render
from tests.benchmarks.quality import change, standing_still
from tests.benchmarks.quality_tables import COLUMNS, FIGURES, bars, overall
from tests.benchmarks.rows import kept_rows, ratio, share
from tests.benchmarks.taste import nearest, smudges


def test_wilsons_interval_by_hand():
    """192 of 192: the lower end is n / (n + z^2) = 98.04 %. Half of 4: 0.5 +- z sqrt(1/16 + z^2/64) / (1 + z^2/4)."""
    assert share([1.0] * 192) == pytest.approx((100, 100 * 192 / (192 + 1.96**2), 100))
    half = 1.96 * np.sqrt(1 / 16 + 1.96**2 / 64) / (1 + 1.96**2 / 4)
    assert share([1, 0, 1, 0]) == pytest.approx((50, 50 - 100 * half, 50 + 100 * half))


def test_a_ratio_is_of_sums_and_pairs_stay_together():
    """(2 + 6) / (1 + 3) is 2, and where every pair has that ratio so does every resample."""
    assert ratio([2, 6], [1, 3]) == pytest.approx((2, 2, 2))


def test_what_was_measured_is_kept(tmp_path):
    """A run that is continued measures only what is missing."""
    measured = []

    def measure(index: int) -> dict:
        measured.append(index)
        return {"twice": 2 * index}

    kept_rows(tmp_path / "work", range(2), measure)
    assert [row["twice"] for row in kept_rows(tmp_path / "work", range(4), measure)] == [0, 2, 4, 6]
    assert measured == [0, 1, 2, 3]


def test_what_stands_still_is_far_from_what_moves():
    """One pixel changes in one frame: the 17 x 17 around it are out, all else is in, where nothing changes at all."""
    clip = np.full((3, 40, 50, 3), 7, np.uint8)
    clip[1, 20, 25, 0] = 8
    still = standing_still(clip)
    expected = np.ones((40, 50), bool)
    expected[12:29, 17:34] = False
    assert np.array_equal(still, expected)
    assert change(clip) == pytest.approx(1 / (40 * 50 * 3)) and change(clip[:, still]) == 0 == change(clip[:1])


def test_the_nearest_render_tells_where_the_subject_is():
    """A render in pale colours, off the middle and mirrored, is told by its layout; smudges on it are seen."""
    scene = Scene("helicopter", "cartoon", "red", "beach", shift=-0.075, flip=True, mirror=True)
    picture = render(scene, frames=1)[0]
    pale = np.asarray(ImageEnhance.Color(Image.fromarray(picture)).enhance(0.5))
    like = nearest(pale, replace(scene, shift=0.0, flip=False, mirror=False))
    assert (like.shift, like.flip, like.mirror) == (-0.075, True, True)
    noise = np.random.default_rng(0).normal(0, 6, picture.shape)
    smudged = np.clip(picture + noise, 0, 255).astype(np.uint8)
    assert smudges(picture, like) < 0.5 < 2 < smudges(smudged, like)


def test_every_bar_is_judged_and_every_figure_has_its_controls():
    """Rows that reach all bars but one: that one alone is missed. A constant answer's share is what chance gets."""
    good = {"action": "rain", "style": "cartoon", "color": "red", "place": "beach"}
    for column in COLUMNS:
        good |= {f"{column} {figure}": 1.0 for figure in FIGURES} | {f"{column} kept": 30.0, f"{column} vae": 30.0}
    rows = [good, good | {"color": "blue"}, good | {"color": "blue"}]
    assert [line for line in bars(rows) if not line.startswith("- met")] == []
    missed = [line for line in bars([row | {"made energy": 2.0} for row in rows]) if line.startswith("- MISSED")]
    assert len(missed) == 1 and "rain 2.00" in missed[0]
    colour = next(line for line in overall(rows) if "colour recognised" in line)
    assert colour.endswith("| 67 |") and colour.count("100 (44 to 100)") == 4
