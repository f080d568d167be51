"""Votes, marks and ratings as what training needs: two clips and, for each frame, which is better. Pure functions.

A mask is int8 `(f,)`: +1 where the first clip is better, -1 where the second is, 0 where neither; f is the shorter
clip's length. Frame 0 is the picture both were animated from, so its entry is always 0.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from huvidpo_core.preferences.records import Answer, Rating

_SIGN = {"left": 1, "right": -1, "tie": 0, "both_bad": 0}


@dataclass(frozen=True, eq=False)
class TrainingPair:
    """Two clips to learn from: `first` is better in most of the frames that say anything, so it is the winner."""

    first: str
    second: str
    mask: np.ndarray  # int8 (f,)
    prompt: str
    action: str
    raters: int  # who agreed on the mask, or did not
    weight: float = 1.0

    @property
    def decided(self) -> float:
        """Share of the frames after frame 0 in which one side is better, 0..1; a pair with 0 teaches nothing."""
        return float(np.count_nonzero(self.mask) / max(1, len(self.mask) - 1))


def mask_of(answer: Answer) -> np.ndarray:
    """One answer as int8 `(f,)`, +1 where the LEFT clip is better: the whole-clip choice fills what is unmarked."""
    mask = np.full(answer.frames, _SIGN[answer.ballot.choice], np.int8)
    for mark in answer.ballot.marks:
        mask[mark.start : mark.end] = _SIGN[mark.side]
    mask[:1] = 0
    return mask


def majority(masks: Iterable[np.ndarray], raters: Sequence[int] = ()) -> np.ndarray:
    """Several raters' masks `(f,)` as one: per frame what more than half of them say; where no answer has that, 0. A
    mask may be that of several `raters`, as many as said so; by default each is of one.

    A tie is an answer like the others. A split panel says nothing rather than something, which is how DenseDPO (Wu et
    al. 2025) treats a labeller that contradicts itself.
    """
    stack = np.stack(list(masks))
    voices = np.array(raters or [1] * len(stack))
    first, second = (voices @ side > voices.sum() / 2 for side in (stack > 0, stack < 0))
    return first.astype(np.int8) - second.astype(np.int8)


def from_votes(answers: Iterable[Answer]) -> list[TrainingPair]:
    """One training pair for each pair of clips that was judged, in the order of the first answers.

    Skipped pairs count for nothing, whatever was marked in them; nor do repeats, which ask about the rater.
    """
    judged: dict[tuple[str, str], list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.ballot.choice != "skip" and answer.repeat_of is None:
            first, second = sorted((answer.left, answer.right))
            judged[first, second].append(answer)
    pairs = []
    for (first, second), group in judged.items():
        masks = [mask_of(answer) * (1 if answer.left == first else -1) for answer in group]
        pairs.append(winner_first(first, second, majority(masks), group[0].prompt, group[0].action, len(group), 1.0))
    return pairs


@dataclass(frozen=True)
class RatedClip:
    """What pairs of rated clips need to know of a clip. Only clips of one prompt are paired."""

    frames: int
    prompt: str
    action: str


def from_ratings(ratings: Iterable[Rating], clips: Mapping[str, RatedClip]) -> list[TrainingPair]:
    """All C(n, 2) pairs of the n clips with one prompt and action that were rated: HuViDPO's own way (4.4).

    For each rater who rated both, the higher score wins and equal scores are a tie; raters are combined by `majority`.
    A clip is in n - 1 pairs, so each pair weighs 1/n: every clip counts alike however many there are (as PickScore
    weighs its examples, Kirstain et al. 2023). Ratings of clips that are not in `clips` are left out.
    """
    scores: dict[tuple[str, str], dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for rating in ratings:
        if clip := clips.get(rating.clip):
            scores[clip.prompt, clip.action][rating.clip][rating.rater] = rating.score
    pairs = []
    for (prompt, action), group in scores.items():
        for first, second in combinations(sorted(group), 2):
            both = sorted(group[first].keys() & group[second].keys())
            if not both:
                continue
            masks = np.zeros((len(both), min(clips[first].frames, clips[second].frames)), np.int8)
            masks[:, 1:] = np.sign([[group[first][rater] - group[second][rater]] for rater in both])
            pairs.append(winner_first(first, second, majority(masks), prompt, action, len(both), 1 / len(group)))
    return pairs


def winner_first(
    first: str, second: str, mask: np.ndarray, prompt: str, action: str, raters: int, weight: float
) -> TrainingPair:
    """A pair from a mask int8 `(f,)` for these two clips; where `second` wins more frames, the clips change places."""
    if mask.sum(dtype=int) < 0:
        first, second, mask = second, first, -mask
    return TrainingPair(first, second, mask, prompt, action, raters, weight)
