"""What passes between the rating page, the engine and the store: one showing of a pair, and the answer to it."""

from dataclasses import dataclass
from typing import Literal

Choice = Literal["left", "right", "tie", "both_bad", "skip"]
"""The answer for whole clips, by side as shown. "skip" is remembered as seen but counts for nothing."""

Side = Literal["left", "right", "tie"]
"""Which side is better in a segment, as shown."""

Source = Literal["settings", "seeds", "structural", "rated", "models", "brought"]
"""Where a pair comes from: two seeds on one first frame; one clip noised and denoised twice; clips that were rated one
by one; two models; clips that a person brought."""

ASPECTS = ("aesthetics", "consistency", "alignment")
"""What the paper's raters scored from 1 to 5."""

DECIDED_NEEDED = 20
"""Votes for one side before a strength, a share or a correlation is told: of fewer, luck alone makes any figure."""

SHARED_NEEDED = 10
"""Pairs that two raters have judged before their agreement is told."""


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


@dataclass(frozen=True)
class Answer:
    """A standing vote as it is read back: what was shown to whom, and the whole ballot. Sides are as shown."""

    id: str
    showing: str
    pair: str
    rater: str
    left: str
    right: str
    prompt: str
    action: str
    source: Source
    frames: int
    repeat_of: str | None  # the showing this one repeats with swapped sides, to see how steady the rater is
    shown: float  # seconds since the epoch
    answered: float
    ballot: Ballot
    blind: bool = True  # False: an earlier answer to this showing was undone, and by then the models had been named


@dataclass(frozen=True)
class Rating:
    """A standing rating of one clip, 1 to 5."""

    id: str
    clip: str
    rater: str
    score: int
    rated: float  # seconds since the epoch


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Standing:
    """How one model (or clip) did against the others; repeats and skipped pairs are left out."""

    name: str
    strength: Estimate | None  # Bradley-Terry, natural log-odds, mean 0 over all that stand here; None: too few votes
    win_rate: float  # 0..1, a tie counting half; against other models only
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True)
class MotionAudit:
    """Whether the livelier or the stiller clip of a pair tends to win."""

    correlation: Estimate  # of the vote with the difference in log motion, -1..1; below 0: still clips win
    still_wins: float  # 0..1, share of the decided votes that went to the stiller clip
    votes: int  # the decided ones, of pairs whose motion is known and differs
    warning: str  # a sentence for people where still clips win, else empty


@dataclass(frozen=True)
class VotesReport:
    """What the votes say: the panel's numbers. None where there are too few votes to say anything."""

    votes: int  # standing answers without skipped pairs; repeats count here
    per_action: dict[str, int]
    per_rater: dict[str, int]
    models: tuple[Standing, ...]  # the strongest first
    left_share: Estimate | None  # 0..1, how often left would win between equals; 0.5 is no bias
    repeats: int  # pairs that were answered a second time, sides swapped
    repeats_same: int  # of these, with the same answer
    alpha: float | None  # Krippendorff's, nominal: 1 full agreement between raters, 0 as by chance
    shared_pairs: int  # pairs that two raters or more have answered: what alpha is made from
    motion: MotionAudit | None
    decided: int = 0  # votes for one side, repeats left out: what the side's share and the audit are made from
    segment_alpha: float | None = None  # as alpha, of the frames that two raters or more have marked
    segment_pairs: int = 0  # pairs with such frames
