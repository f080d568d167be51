"""From votes, marks and ratings to masks: every expected mask is written out by hand."""

from itertools import count

import numpy as np
import pytest

from huvidpo_core.preferences.pairs import RatedClip, from_ratings, from_votes, majority, mask_of
from huvidpo_core.preferences.records import Answer, Ballot, Mark, Rating

_number = count()


def answer(choice: str, *marks: Mark, left: str = "a", right: str = "b", rater: str = "ann", repeat_of=None) -> Answer:
    ballot = Ballot(choice, marks)
    name = f"{next(_number)}"
    return Answer(name, name, "pair", rater, left, right, "p", "rain", "seeds", 6, repeat_of, 0.0, 1.0, ballot)


MASKS = {
    "a vote fills all frames but the first": (answer("left"), [0, 1, 1, 1, 1, 1]),
    "right is minus": (answer("right"), [0, -1, -1, -1, -1, -1]),
    "a tie says nothing": (answer("tie"), [0] * 6),
    "nor does both bad": (answer("both_bad"), [0] * 6),
    "marks win over the vote": (answer("left", Mark(2, 4, "right"), Mark(4, 5, "tie")), [0, 1, -1, -1, 0, 1]),
    "marks count beside a tie": (answer("tie", Mark(0, 3, "right")), [0, -1, -1, 0, 0, 0]),
}


@pytest.mark.parametrize("case", MASKS)
def test_a_ballot_becomes_a_mask(case):
    """Frames 0 to 5, +1 for the left clip."""
    given, expected = MASKS[case]
    assert mask_of(given).tolist() == expected


def test_the_winner_comes_first_whatever_the_side():
    """The right clip is better in three of five frames: it is the first of the pair, the mask turned round."""
    (pair,) = from_votes([answer("right", Mark(0, 3, "left"))])
    assert (pair.first, pair.second, pair.mask.tolist()) == ("b", "a", [0, -1, -1, 1, 1, 1])
    assert (pair.prompt, pair.action, pair.weight, pair.decided) == ("p", "rain", 1.0, 1.0)


def test_sides_do_not_matter_once_clips_are_known():
    """Two raters saw the sides the other way round and prefer the same clip."""
    (pair,) = from_votes([answer("left"), answer("right", left="b", right="a", rater="bob")])
    assert (pair.first, pair.mask.tolist(), pair.raters) == ("a", [0, 1, 1, 1, 1, 1], 2)


def test_more_than_half_decide_each_frame():
    """Columns: agreed; two of three; one and two ties; one each; two ties; ties only. By hand."""
    masks = np.array([[1, 1, 1, 1, -1, 0], [1, 1, 0, -1, 0, 0], [1, -1, 0, 0, 0, 0]], np.int8)
    assert majority(masks).tolist() == [1, 1, 0, 0, 0, 0]
    assert majority(masks[:2]).tolist() == [1, 1, 0, 0, 0, 0]  # one of two is not more than half
    assert majority(masks[:1]).tolist() == masks[0].tolist()
    assert (majority(-masks) == -majority(masks)).all()


def test_skipped_pairs_and_repeats_teach_nothing():
    """Even with marks in them; the pair they repeat still counts once."""
    assert from_votes([answer("skip", Mark(0, 3, "left"))]) == []
    (pair,) = from_votes([answer("left"), answer("left", left="b", right="a", repeat_of="0")])
    assert pair.raters == 1 and pair.mask.sum() == 5


def test_rated_clips_make_all_pairs_by_score():
    """Scores 5, 3, 3, 1 of one prompt: six pairs, one of them a tie, each of weight 1/4; another prompt stays apart."""
    scores = {"a": 5, "b": 3, "c": 3, "d": 1, "other": 2}
    clips = {name: RatedClip(4, "q" if name == "other" else "p", "rain") for name in scores}
    clips["d"] = RatedClip(3, "p", "rain")
    ratings = [Rating(name, name, "ann", score, 0.0) for name, score in reversed(scores.items())]
    pairs = from_ratings([*ratings, Rating("x", "gone", "ann", 5, 0.0)], clips)
    found = {(pair.first, pair.second): pair.mask.tolist() for pair in pairs}
    win, short = [0, 1, 1, 1], [0, 1, 1]
    tie = [0, 0, 0, 0]
    expected = {("a", "b"): win, ("a", "c"): win, ("a", "d"): short, ("b", "c"): tie, ("b", "d"): short}
    assert found == expected | {("c", "d"): short}
    assert {pair.weight for pair in pairs} == {0.25}


def test_raters_of_single_clips_are_combined_by_majority():
    """Two of three prefer b; a fourth rated only one of the two and says nothing about the pair."""
    given = {"ann": (1, 2), "bob": (2, 5), "cem": (3, 3)}
    ratings = [Rating(f"{r}{c}", c, r, s, 0.0) for r, pair in given.items() for c, s in zip("ab", pair, strict=True)]
    clips = {name: RatedClip(3, "p", "rain") for name in "ab"}
    (pair,) = from_ratings([*ratings, Rating("x", "a", "dan", 5, 0.0)], clips)
    assert (pair.first, pair.mask.tolist(), pair.raters, pair.weight) == ("b", [0, 1, 1], 3, 0.5)
