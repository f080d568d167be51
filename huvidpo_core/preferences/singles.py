"""Ratings of single clips as what training without pairs needs: which clips are good, which are bad. Pure functions.

Votes on pairs do not count here: that a clip is better than another does not make it good.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from huvidpo_core.preferences.pairs import RatedClip
from huvidpo_core.preferences.records import Rating

GOOD_FROM, BAD_TO = 4, 2  # of scores 1 to 5; 3 is neither


@dataclass(frozen=True)
class JudgedClip:
    """A clip that is good, or bad."""

    clip: str
    good: bool
    frames: int
    prompt: str
    action: str


def from_single_ratings(ratings: Iterable[Rating], clips: Mapping[str, RatedClip]) -> list[JudgedClip]:
    """The good and the bad ones of the rated clips, in the order of their first ratings.

    A clip counts where more than half of its raters say the same, as in `pairs.majority`; a split panel says nothing.
    Ratings of clips that are not in `clips` are left out.
    """
    scores: dict[str, list[int]] = defaultdict(list)
    for rating in ratings:
        if rating.clip in clips:
            scores[rating.clip].append(rating.score)
    judged = []
    for name, given in scores.items():
        good, bad = (2 * sum(found) > len(given) for found in zip(*map(_verdict, given), strict=True))
        if good or bad:
            clip = clips[name]
            judged.append(JudgedClip(name, good, clip.frames, clip.prompt, clip.action))
    return judged


def _verdict(score: int) -> tuple[bool, bool]:
    """Whether a score says good, and whether it says bad."""
    return score >= GOOD_FROM, score <= BAD_TO
