"""Automatic raters: what they are asked, how it becomes votes, and the profile's judge on answers made by hand."""

import threading
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.preferences.judges import ProfileRater, judge_pairs, overall, segments_of
from huvidpo_core.preferences.records import Mark, Side
from huvidpo_core.preferences.store import Store
from huvidpo_core.progress import Progress
from tests.preferences.made import FRAMES, add_pair


class BrightestWins:
    """A rater with a taste that is easily checked."""

    name = "sun"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def preference(
        self, left: np.ndarray, right: np.ndarray, prompt: str, segments: Sequence[tuple[int, int]], action: str = ""
    ) -> list[Side]:
        self.asked.append((prompt, action))
        leads = [int(left[start:end].mean()) - int(right[start:end].mean()) for start, end in segments]
        return ["left" if lead > 0 else "right" if lead < 0 else "tie" for lead in leads]


def shades(clip_id: str) -> np.ndarray:
    """Clips named ...a are bright in their first half, ...b in their second and a little longer."""
    frames = np.zeros((FRAMES + 4 if clip_id.endswith("b") else FRAMES, 4, 4, 3), np.uint8)
    frames[slice(0, 8) if clip_id.endswith("a") else slice(8, None)] = 200
    return frames


@pytest.mark.parametrize(
    ("frames", "fps", "expected"),
    [
        (16, 8, [(0, 8), (8, 16)]),
        (10, 8, [(0, 10)]),  # a rest of a quarter of a second joins the segment before it
        (12, 8, [(0, 8), (8, 12)]),
        (20, 8, [(0, 8), (8, 20)]),  # two and a half, to even
        (24, 8, [(0, 8), (8, 16), (16, 24)]),
        (2, 8, [(0, 2)]),
        (3, 1, [(0, 1), (1, 2), (2, 3)]),
    ],
)
def test_segments_are_about_a_second(frames, fps, expected):
    """By hand; together they are the whole clip."""
    assert segments_of(frames, fps) == expected


def test_the_whole_clip_goes_to_the_side_that_is_better_for_longer():
    """Counted in frames; ties count for nobody; even is a tie."""
    assert overall([Mark(0, 8, "left"), Mark(8, 12, "right"), Mark(12, 16, "tie")]) == "left"
    assert overall([Mark(0, 8, "tie"), Mark(8, 12, "right")]) == "right"
    assert overall([Mark(0, 8, "left"), Mark(8, 16, "right")]) == overall([]) == "tie"


def test_every_open_pair_gets_an_ordinary_vote(store: Store):
    """Under the rater's name, one mark a second, whichever side the lot gave; a second round has nothing to do."""
    for i in range(6):
        add_pair(store, f"p{i}")
    add_pair(store, "other", action="smile")
    rater = BrightestWins()
    *progress, count = judge_pairs(store.votes, rater, shades, threading.Event(), "rain")
    answers = store.votes.history(rater="sun")
    assert count == len(answers) >= 6 and rater.asked == [("a red horse", "rain")] * count
    assert all(isinstance(item, Progress) for item in progress)
    for answer in answers:
        bright_first = "left" if answer.left.endswith("a") else "right"
        bright_last = "right" if bright_first == "left" else "left"
        assert answer.ballot.marks == (Mark(0, 8, bright_first), Mark(8, 16, bright_last))
        assert answer.ballot.choice == "tie"
    assert list(judge_pairs(store.votes, rater, shades, threading.Event(), "rain")) == [0]
    assert store.votes.open_pairs("sun") == 1 and store.votes.open_pairs("ann", "rain") == 6


def test_what_was_voted_before_a_stop_or_a_failure_stays(store: Store):
    """Stop ends at the next pair, an error at once; the votes until then are on record, the pair is still open."""
    for i in range(4):
        add_pair(store, f"p{i}")
    stop = threading.Event()
    with pytest.raises(Stopped):
        for _ in judge_pairs(store.votes, BrightestWins(), shades, stop):
            stop.set()
    assert len(store.votes.history()) == 1 and store.votes.open_pairs("sun") == 3

    class Tired(BrightestWins):
        def preference(self, *_: object) -> list[Side]:
            raise UserError("The judge is tired.")

    with pytest.raises(UserError, match="tired"):
        list(judge_pairs(store.votes, Tired(), shades, threading.Event()))
    assert len(store.votes.history()) == 1 and store.votes.open_pairs("sun") == 3


class Colours:
    """Sees "red" as surely as a clip is red, and rain as surely as it moves; its space has red as its first axis."""

    def likelihoods(self, frames: np.ndarray) -> Mapping[str, Mapping[str, float]]:
        red = np.log(max(frames[..., 0].mean() / 255, 1e-9))
        return {"color": {"red": red, "sky_blue": -9.0}, "action": {"rain": -1.0}}

    def motion_likelihoods(self, frames: np.ndarray) -> Mapping[str, float]:
        assert len(frames) >= 2
        return {"rain": 0.0 if np.ptp(frames, axis=0).any() else -2.0}

    def image(self, frames: np.ndarray) -> np.ndarray:
        red = frames[..., 0].mean(axis=(1, 2)) / 255
        return np.stack([red, np.sqrt(1 - red**2)], axis=1)

    def text(self, texts: list[str]) -> np.ndarray:
        return np.float32([[1, 0]] * len(texts))


def clip(red: int, moving: bool = True) -> np.ndarray:
    """16 frames of one red; when moving, one pixel of green goes on and off."""
    frames = np.zeros((16, 8, 8, 3), np.uint8)
    frames[..., 0] = red
    if moving:
        frames[::2, 0, 0, 1] = 255
    return frames


def test_the_profiles_judge_by_hand():
    """The prompt's colour counts as it is recognised, the action by motion; below the margin it is a tie."""
    judge = ProfileRater(None, Colours())
    segments = [(0, 8), (8, 16)]
    assert judge.preference(clip(200), clip(50), "a red car", segments, "rain") == ["left"] * 2  # (ln 4) / 2 = 0.69
    assert judge.preference(clip(50), clip(200), "a red car", segments, "rain") == ["right"] * 2
    assert judge.preference(clip(200), clip(100), "a red car", segments, "rain") == ["tie"] * 2  # (ln 2) / 2 = 0.35
    assert judge.preference(clip(200), clip(50), "a reddish car", segments, "rain") == ["tie"] * 2
    half = np.concatenate([clip(200)[:8], clip(200, moving=False)[8:]])
    assert judge.preference(clip(200, moving=False), half, "a car", segments, "rain") == ["right", "tie"]
    assert judge.preference(clip(0), clip(255), "red", [(15, 16)], "rain") == ["right"]  # one frame has its neighbour's
    assert judge.preference(clip(255), clip(0), "on sky blue", segments, "smile") == ["tie"] * 2  # both unsure of it


def test_clip_score_decides_where_there_is_nothing_else():
    """Cosines 0.8 and 0.7 are 10 points, 1 nat apart; 0.8 and 0.76 are a tie."""
    judge = ProfileRater(Colours(), None)
    assert judge.preference(clip(204), clip(178), "a red car", [(0, 16)]) == ["left"]
    assert judge.preference(clip(204), clip(194), "a red car", [(0, 16)]) == ["tie"]
    with pytest.raises(UserError, match="--rater vlm"):
        ProfileRater(None, None)
