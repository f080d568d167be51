"""The published clips against the table measured on them elsewhere (shared/reference/clips/README.md).

That table is over three clips a category, of which the folder holds two, and one helicopter; so each mean is near its
own, in the same order, and leaves a possible value for the clip that is not there.
"""

from statistics import fmean

import pytest

from huvidpo_core.evaluation import clip_consistency
from huvidpo_core.evaluation.clips import find_clips
from huvidpo_core.media import read_video
from tests.reference import reference

# category: consecutive SSIM x100, MSE, MSE in overflowing 8 bits; means of three clips
TABLE = {
    "waterfall": (91.1, 49.1, 23.0),
    "firework": (88.9, 111.1, 26.9),
    "guitar": (94.8, 36.6, 14.0),
    "helicopter": (89.5, 248.1, 20.1),
    "birds_fly": (91.8, 83.3, 10.6),
}


@pytest.fixture(scope="module")
def measured() -> dict[str, list[tuple[float, float, float]]]:
    """Category -> its clips' three values."""
    found: dict[str, list] = {}
    for source in find_clips(reference("clips") / "huvidpo"):
        result = clip_consistency(read_video(source.path).frames)
        found.setdefault(source.group, []).append((100 * result.ssim, result.mse, result.mse_overflowing_8bit))
    return found


def test_the_clips_are_grouped_as_in_the_table(measured):
    """Numbered names fall into the table's five categories."""
    assert {name: len(clips) for name, clips in measured.items()} == {
        "birds_fly": 2, "firework": 2, "guitar": 2, "helicopter": 1, "waterfall": 2
    }  # fmt: skip


@pytest.mark.parametrize(("column", "within"), [(0, 1.4), (2, 4.8)])
def test_means_are_near_the_tables(measured, column, within):
    """SSIM x100 within 1.4, the overflowing MSE within 4.8 of every category's mean over one clip more."""
    for name, row in TABLE.items():
        assert fmean(clip[column] for clip in measured[name]) == pytest.approx(row[column], abs=within), name


@pytest.mark.parametrize("column", [0, 1, 2])
def test_categories_come_in_the_tables_order(measured, column):
    """In each column the five categories are ranked as in the table; the three rankings differ from each other."""
    ours = sorted(TABLE, key=lambda name: fmean(clip[column] for clip in measured[name]))
    assert ours == sorted(TABLE, key=lambda name: TABLE[name][column])


@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_third_clip_is_possible(measured, column):
    """What is missing to three times the table's mean is a possible value of the clips that are not in the folder."""
    for name, row in TABLE.items():
        clips = [clip[column] for clip in measured[name]]
        missing = (3 * row[column] - sum(clips)) / (3 - len(clips))
        assert (80 < missing < 100) if column == 0 else (0 < missing < (400 if column == 1 else 40)), name
