"""Automatic raters. Each votes like a person, under a name of its own, through the same record. No model is known here.

Frames are uint8 `(f, h, w, 3)`; a segment is `(start, end)` in frames, the end not included.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.preferences.records import Ballot, Choice, Mark, Showing, Side
from huvidpo_core.preferences.votes import Votes
from huvidpo_core.progress import Progress, Stopwatch

Segment = tuple[int, int]

SEGMENT = 1.0  # seconds; DenseDPO's
VLM = "VLM "  # begins the name of a vision-language model


class Rater(Protocol):
    """Whoever can say which of two clips is better, second by second."""

    @property
    def name(self) -> str:
        """Under which the votes are kept."""
        ...

    def preference(
        self, left: np.ndarray, right: np.ndarray, prompt: str, segments: Sequence[Segment], action: str = ""
    ) -> list[Side]:
        """The better side of every segment of two clips of one length that are to show `prompt`. Raises UserError."""
        ...


def is_automatic(rater: str) -> bool:
    """Whether votes under this name are a model's."""
    return rater == ProfileRater.name or rater.startswith(VLM)


class Eyes(Protocol):
    """A model that names what it sees (`evaluation.judge.Judge`)."""

    def likelihoods(self, frames: np.ndarray) -> Mapping[str, Mapping[str, float]]:
        """Attribute -> label -> log-probability, for a clip."""
        ...

    def motion_likelihoods(self, frames: np.ndarray) -> Mapping[str, float]:
        """Action -> log-probability, from the differences of two or more frames alone."""
        ...


class Scorer(Protocol):
    """A model with one space for pictures and texts (`evaluation.semantic.ClipScorer`)."""

    def image(self, frames: np.ndarray) -> np.ndarray:
        """Unit vectors (n, d) of pictures."""
        ...

    def text(self, texts: list[str]) -> np.ndarray:
        """Unit vectors (n, d) of texts."""
        ...


def segments_of(frames: int, fps: float, seconds: float = SEGMENT) -> list[Segment]:
    """`frames` cut into pieces of about `seconds`, none shorter than half of that unless the clip is."""
    length = max(1, round(seconds * fps))
    count = max(1, round(frames / length))
    return [(i * length, frames if i == count - 1 else (i + 1) * length) for i in range(count)]


def judge_pairs(
    votes: Votes,
    rater: Rater,
    frames_of: Callable[[str], np.ndarray],
    stop: threading.Event,
    action: str | None = None,
) -> Iterator[Progress | int]:
    """Vote on every pair this rater has not answered; the last item is how many votes that were.

    Args:
        frames_of: clip id -> frames.
        stop: set from another thread, it ends the work at the next pair.
        action: of one action only.

    Raises:
        UserError: the rater or a clip fails. Stopped: `stop` was set. The votes until then stay.
    """
    total = votes.open_pairs(rater.name, action)
    watch = Stopwatch(f"{rater.name} judges", total)
    done = 0
    while showing := votes.show(rater.name, action):
        if stop.is_set():
            raise Stopped
        votes.vote(showing.id, rater.name, _ballot(rater, showing, frames_of))
        done += 1
        yield watch.at(min(done, total))  # one in ten comes back, which nobody has counted
    yield done


def _ballot(rater: Rater, showing: Showing, frames_of: Callable[[str], np.ndarray]) -> Ballot:
    began = time.monotonic()
    left, right = (frames_of(clip)[: showing.frames] for clip in (showing.left, showing.right))
    segments = segments_of(showing.frames, showing.fps)
    sides = rater.preference(left, right, showing.prompt, segments, showing.action)
    marks = tuple(Mark(*segment, side) for segment, side in zip(segments, sides, strict=True))
    return Ballot(overall(marks), marks, seconds=time.monotonic() - began)


def overall(marks: Sequence[Mark]) -> Choice:
    """The whole clip's answer: the side that is better in more frames; DenseDPO found this better than asking."""
    lead = sum((mark.end - mark.start) * {"left": 1, "right": -1, "tie": 0}[mark.side] for mark in marks)
    return "left" if lead > 0 else "right" if lead < 0 else "tie"


class ProfileRater:
    """Prefers the clip in which the profile's models recognise more surely what the prompt asks for.

    The score of a segment is the log-probability of the action from motion alone, plus the mean one of the attributes
    whose labels the prompt names, plus CLIPScore; each as far as the profile can tell. Log-probabilities end at
    `FLOOR`, so that no single glance decides alone. A difference below `margin` is a tie.
    """

    name = "profile's judge"
    FLOOR = -4.0
    CLIP = 0.1  # of a nat a point of CLIPScore (0 to 100)

    def __init__(self, scorer: Scorer | None, eyes: Eyes | None, margin: float = 0.5) -> None:
        """Raises UserError where there is neither model."""
        if scorer is None and eyes is None:
            raise UserError(
                "This profile has nothing on this machine to judge clips with. Give its `judge` in assets/profiles, or "
                "use --rater vlm."
            )
        self._scorer, self._eyes, self._margin = scorer, eyes, margin

    def preference(
        self, left: np.ndarray, right: np.ndarray, prompt: str, segments: Sequence[Segment], action: str = ""
    ) -> list[Side]:
        """The side whose score is higher by the margin, or a tie, for every segment."""
        text = self._scorer.text([prompt])[0] if self._scorer else None
        sides: list[Side] = []
        for segment in segments:
            lead = self._score(left, segment, prompt, text, action) - self._score(right, segment, prompt, text, action)
            sides.append("tie" if abs(lead) < self._margin else "left" if lead > 0 else "right")
        return sides

    def _score(self, frames: np.ndarray, segment: Segment, prompt: str, text: np.ndarray | None, action: str) -> float:
        start, end = segment
        seen, score = frames[start:end], 0.0
        if self._eyes:
            named = [
                labels[label]
                for labels in self._eyes.likelihoods(seen).values()
                for label in labels
                if label == action or _says(prompt, label)
            ]
            moving = frames[max(0, min(start, end - 2)) : end]  # motion needs two frames
            named_motion = self._eyes.motion_likelihoods(moving).get(action, 0.0) if len(moving) > 1 else 0.0
            score += max(named_motion, self.FLOOR) + float(np.mean(np.maximum(named, self.FLOOR)) if named else 0)
        if self._scorer and text is not None:
            score += self.CLIP * 100 * float(np.maximum(self._scorer.image(seen) @ text, 0).mean())
        return score


def _says(prompt: str, label: str) -> bool:
    """Whether a label ("pixel_art") stands in the prompt as words of its own."""
    words = "".join(sign if sign.isalnum() else " " for sign in prompt.lower()).split()
    return f" {label.replace('_', ' ')} " in f" {' '.join(words)} "
