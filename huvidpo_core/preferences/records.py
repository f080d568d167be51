"""What passes between the rating page, the engine and the store: one showing of a pair, and the answer to it."""

from dataclasses import dataclass
from typing import Literal

Choice = Literal["left", "right", "tie", "both_bad", "skip"]
"""The answer for whole clips, by side as shown. "skip" is remembered as seen but counts for nothing."""

Side = Literal["left", "right", "tie"]
"""Which side is better in a segment, as shown."""

ASPECTS = ("aesthetics", "consistency", "alignment")
"""What the paper's raters scored from 1 to 5."""


@dataclass(frozen=True)
class Mark:
    """Which side is better in frames `start` (included) to `end` (not included) of a pair's common length."""

    start: int
    end: int
    side: Side


@dataclass(frozen=True)
class Ballot:
    """What a person answers to one showing. `scores`: (side, aspect) -> 1..5, for the aspects that were scored."""

    choice: Choice
    marks: tuple[Mark, ...] = ()
    scores: tuple[tuple[Literal["left", "right"], str, int], ...] = ()
    seconds: float = 0.0  # from shown to answered


@dataclass(frozen=True)
class Showing:
    """One pair as shown to one rater: which clip stands left was drawn by lot and is remembered by the store.

    `id` cannot be guessed and says nothing about the pair. `left` and `right` are clip ids, for the server only.
    """

    id: str
    rater: str
    left: str
    right: str
    prompt: str
    action: str
    frames: int  # of the shorter clip
    fps: int


@dataclass(frozen=True)
class Revealed:
    """What a person learns after the vote: which model made which side."""

    showing: Showing
    choice: Choice
    left_model: str
    right_model: str
