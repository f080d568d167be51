"""Whether an answer can be one: every mistake a page, a program or a judge can make is a sentence."""

import math
from itertools import pairwise
from typing import Any, get_args

from huvidpo_core.errors import UserError
from huvidpo_core.preferences.records import ASPECTS, Ballot, Choice, Side, Source
from huvidpo_core.preferences.schema import NAME

SCORES = (1, 5)


def check_rater(name: str) -> str:
    """The name without the spaces around it. Raises UserError if it is none."""
    name = name.strip()
    if not name or len(name) > NAME or not name.isprintable():
        raise UserError(f"Please give the rater a name of 1 to {NAME} characters.")
    return name


def check_source(source: str) -> Source:
    """This source of pairs, or a UserError."""
    return _one_of("source of pairs", source, get_args(Source))


def check_score(score: int) -> int:
    """This score, or a UserError."""
    low, high = SCORES
    if not _whole(score) or not low <= score <= high:
        raise UserError(f"The score is {score!r}; it must be a whole number from {low} to {high}.")
    return score


def check_ballot(ballot: Ballot, frames: int) -> Ballot:
    """This ballot, its marks in order, for a pair of so many frames.

    Raises:
        UserError: an unknown choice, side or aspect; a mark beyond the clip or over another one; a score that is none
            or given twice; a time that is none.
    """
    _one_of("choice", ballot.choice, get_args(Choice))
    for mark in ballot.marks:
        _one_of("side of a segment", mark.side, get_args(Side))
        if not _whole(mark.start) or not _whole(mark.end) or not 0 <= mark.start < mark.end <= frames:
            raise UserError(
                f"A marked segment goes from frame {mark.start} to {mark.end}; these clips have frames 0 to {frames}."
            )
    marks = tuple(sorted(ballot.marks, key=lambda mark: mark.start))
    for one, two in pairwise(marks):
        if two.start < one.end:
            raise UserError(f"Two marked segments overlap at frame {two.start}. Clear one of them, then vote again.")
    scored = set()
    for side, aspect, score in ballot.scores:
        _one_of("side of a score", side, ("left", "right"))
        _one_of("aspect", aspect, ASPECTS)
        check_score(score)
        if (side, aspect) in scored:
            raise UserError(f"The {aspect} of the {side} clip is scored twice. Keep one of the scores.")
        scored.add((side, aspect))
    if not _number(ballot.seconds) or not 0 <= ballot.seconds < math.inf:
        raise UserError(f"The time taken is {ballot.seconds!r}; it must be a number of seconds.")
    return Ballot(ballot.choice, marks, tuple(sorted(ballot.scores)), float(ballot.seconds))


def _one_of(what: str, value: str, known: tuple[str, ...]) -> Any:
    if value not in known:
        raise UserError(f"There is no {what} {value!r}. Choose one of: {', '.join(known)}.")
    return value


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
