"""Plain JSON from outside as a rater's name and a `Ballot`. No gradio.

Only the form is read here; what a ballot may say (`preferences.ballots`) is checked where it is written down.
"""

from collections.abc import Mapping
from typing import Any

from huvidpo_core.errors import UserError
from huvidpo_core.preferences.records import Ballot, Mark

NO_MARKS = (
    'Marks are a list of [first frame, frame after the last, "left", "right" or "tie"], for example [[0, 8, "left"]].'
)
NO_SCORES = 'Scores are given by side and aspect, for example {"left": {"aesthetics": 4}}.'


def read_rater(name: Any) -> str:
    """A rater's name, its spaces tidied. Raises UserError where there is none."""
    name = " ".join(name.split()) if isinstance(name, str) else ""
    if not name:
        raise UserError("Votes carry a name. Say who is rating, then try again.")
    return name


def read_ballot(choice: Any, marks: Any = None, scores: Any = None, seconds: Any = None) -> Ballot:
    """A ballot from its choice, [[start, end, side], ...], {side: {aspect: score}} and seconds. Raises UserError."""
    marks, scores = marks or [], scores or {}
    if not isinstance(marks, list) or not all(isinstance(mark, list) and len(mark) == 3 for mark in marks):
        raise UserError(NO_MARKS)
    if not isinstance(scores, Mapping) or not all(isinstance(given, Mapping) for given in scores.values()):
        raise UserError(NO_SCORES)
    return Ballot(
        choice,
        tuple(Mark(*mark) for mark in marks),
        tuple((side, aspect, score) for side, given in scores.items() for aspect, score in given.items()),
        seconds or 0.0,
    )
