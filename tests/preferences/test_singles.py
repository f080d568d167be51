"""From ratings of single clips to good and bad ones."""

import pytest

from huvidpo_core.preferences.pairs import RatedClip
from huvidpo_core.preferences.records import Rating
from huvidpo_core.preferences.singles import JudgedClip, from_single_ratings

CLIPS = {"a": RatedClip(16, "a red horse", "horse_run"), "b": RatedClip(8, "rain", "rain")}


def ratings(*scores: int, clip: str = "a") -> list[Rating]:
    """One of each rater."""
    return [Rating(f"{clip}{n}", clip, f"rater {n}", score, float(n)) for n, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("scores", "good"),
    [([5], True), ([4], True), ([2], False), ([1], False), ([4, 5, 1], True), ([1, 3, 2], False)],
)
def test_four_and_five_are_good_one_and_two_bad(scores, good):
    """By more than half of the raters."""
    assert from_single_ratings(ratings(*scores), CLIPS) == [JudgedClip("a", good, 16, "a red horse", "horse_run")]


@pytest.mark.parametrize("scores", [[3], [5, 1], [4, 3], [5, 4, 1, 3], [3, 3, 5]])
def test_three_and_a_split_panel_say_nothing(scores):
    """Neither good nor bad has more than half."""
    assert from_single_ratings(ratings(*scores), CLIPS) == []


def test_clips_that_are_not_asked_for_are_left_out():
    """In the order of their first ratings."""
    given = [*ratings(1, clip="b"), *ratings(5, clip="gone"), *ratings(5), *ratings(2, clip="b")]
    assert [(each.clip, each.good) for each in from_single_ratings(given, CLIPS)] == [("b", False), ("a", True)]
