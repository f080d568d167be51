"""Pairs kept for checking share no clip with those that are trained on."""

from itertools import combinations

import numpy as np
import pytest

from huvidpo_core.training.lessons import Lesson
from huvidpo_core.training.split import split, weighed


def pairs_of(edges) -> list[Lesson]:
    return [Lesson(f"c{a}", f"c{b}", (0, 1), "text") for a, b in edges]


def clips(pairs: list[Lesson]) -> set[str]:
    return {clip for pair in pairs for clip in (pair.first, pair.second)}


@pytest.mark.parametrize("seed", range(60))
def test_no_clip_is_on_both_sides(seed):
    """Over random graphs of few to many pairs and clips: disjoint clips, nothing invented or doubled, something to
    train on, and the same for the same seed."""
    rng = np.random.default_rng(seed)
    nodes = int(rng.integers(2, 40))
    edges = [rng.choice(nodes, 2, replace=False).tolist() for _ in range(int(rng.integers(1, 60)))]
    pairs = pairs_of(edges)
    train, held = split(pairs, float(rng.choice([0.1, 0.2, 0.5])), seed)
    assert train and not clips(train) & clips(held)
    assert all(pair in pairs for pair in train + held) and len(train) + len(held) <= len(pairs)
    assert split(pairs, 0.2, seed) == split(pairs, 0.2, seed)


def test_pairs_of_their_own_clips_are_all_used():
    """Sixty pairs from two seeds each: a fifth is held out, no pair is lost, another seed holds out others."""
    pairs = pairs_of((2 * i, 2 * i + 1) for i in range(60))
    train, held = split(pairs, 0.2, 0)
    assert len(held) == 12 and {*train, *held} == {*pairs} and len(train) == 48
    assert split(pairs, 0.2, 1)[1] != held


def test_groups_that_hang_together_stay_together():
    """Four prompts with five rated clips each, ten pairs a prompt: one whole prompt is held out, though it is more than
    a fifth."""
    pairs = pairs_of((5 * g + a, 5 * g + b) for g in range(4) for a, b in combinations(range(5), 2))
    train, held = split(pairs, 0.2, 0)
    assert len(held) == 10 and len(train) == 30


@pytest.mark.parametrize(("clips_there", "held_clips"), [(8, 3), (16, 5)])
def test_of_all_pairs_of_a_few_clips_some_clips_are_set_aside(clips_there, held_clips):
    """C(n, 2): the pairs within the third that is set aside, and those within the rest; about one in five is held."""
    pairs = pairs_of(combinations(range(clips_there), 2))
    train, held = split(pairs, 0.2, 0)
    assert len(clips(held)) == held_clips and len(held) == held_clips * (held_clips - 1) // 2
    rest = clips_there - held_clips
    assert len(train) == rest * (rest - 1) // 2
    assert 0.1 < len(held) / len(held + train) < 0.3


@pytest.mark.parametrize("edges", [[(0, 1)], [(0, 1), (0, 2), (1, 2)], [(0, i) for i in range(1, 6)]])
def test_too_few_pairs_are_all_trained_on(edges):
    """One, three, or five that all share a clip: nothing can be held out."""
    pairs = pairs_of(edges)
    assert split(pairs, 0.2, 0) == (pairs, [])


def test_nothing_is_held_out_when_nothing_is_asked_for():
    """A share of 0."""
    pairs = pairs_of((2 * i, 2 * i + 1) for i in range(9))
    assert split(pairs, 0.0, 0) == (pairs, [])


def singles(good: int, bad: int) -> list[Lesson]:
    return [Lesson(f"c{i}", "", (0, 1 if i < good else -1), "text") for i in range(good + bad)]


@pytest.mark.parametrize(("good", "bad", "held"), [(20, 10, (4, 2)), (3, 40, (1, 8)), (2, 40, (0, 0)), (3, 3, (1, 1))])
def test_of_single_clips_some_of_each_kind_are_held_out(good, bad, held):
    """A fifth of the good and of the bad ones, one at least; none where one kind is too rare to spare any."""
    clips = singles(good, bad)
    train, aside = split(clips, 0.2, 0)
    assert (sum(clip.good for clip in aside), sum(not clip.good for clip in aside)) == held
    assert {*train} | {*aside} == {*clips} and not {*train} & {*aside}
    assert split(clips, 0.2, 0) == (train, aside)


def test_weights_have_a_mean_of_one_and_good_clips_weigh_as_much_as_bad_ones():
    """Of pairs only the mean counts."""
    weights = [clip.weight for clip in weighed(singles(1, 4))]
    assert weights == pytest.approx([2.5, 0.625, 0.625, 0.625, 0.625])
    pairs = [Lesson("a", "b", (0, 1), "text", 0.25), Lesson("c", "d", (0, 1), "text", 0.75)]
    assert [pair.weight for pair in weighed(pairs)] == [0.5, 1.5]
