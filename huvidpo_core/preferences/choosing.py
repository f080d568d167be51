"""Which pair a rater sees next: one from which there is most to learn, or an old one again, to see how steady they are.

A comparison says most where the clips were compared least and where their strengths are closest (the variance of a
Bradley-Terry outcome, p (1 - p), is largest at p = 1/2; Glickman and Jensen 2005, "Adaptive paired comparison design").
Pairs of two models come before all others: somebody made them to know which is better.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session, aliased

from huvidpo_core.preferences.reading import STANDS, of_action
from huvidpo_core.preferences.schema import PairRow, ShowingRow, VoteRow

REPEATS = 0.1  # of the showings are an earlier one again, sides swapped
RECENT = 5  # answers; a pair answered so lately would be recognised, not judged anew
SHORT_LIST = 50  # least compared pairs among which strengths are looked at


@dataclass(frozen=True)
class Candidate:
    """A pair that may be shown; `repeat_of` and `left` are set where it is an earlier showing again."""

    pair: str
    first: str
    second: str
    repeat_of: str | None = None
    left: str | None = None  # the clip to stand left; None: by lot


def unanswered(session: Session, rater: str, action: str | None) -> list[Candidate]:
    """All pairs that this rater has not answered and is not being shown; skipping is an answer, too."""
    seen = select(ShowingRow.pair).where(ShowingRow.rater == rater)
    query = select(PairRow.id, PairRow.first, PairRow.second).where(PairRow.id.not_in(seen))
    return [Candidate(*row) for row in session.execute(of_action(query, action))]


def round_waits(session: Session, rater: str, action: str | None, is_there: Callable[[str], bool]) -> bool:
    """Whether there is a pair of two models that this rater has not been given yet."""
    seen = select(ShowingRow.pair).where(ShowingRow.rater == rater)
    query = select(PairRow.first, PairRow.second).where(PairRow.source == "models", PairRow.id.not_in(seen))
    return any(is_there(first) and is_there(second) for first, second in session.execute(of_action(query, action)))


def repeatable(session: Session, rater: str, action: str | None) -> list[Candidate]:
    """What this rater answered once, not skipped and not only just now: each with its sides swapped."""
    again = aliased(ShowingRow)
    recent = select(VoteRow.showing).where(VoteRow.rater == rater).order_by(VoteRow.created.desc()).limit(RECENT)
    query = (
        select(PairRow.id, PairRow.first, PairRow.second, ShowingRow.id, ShowingRow.right)
        .join(ShowingRow, ShowingRow.pair == PairRow.id)
        .join(VoteRow, VoteRow.showing == ShowingRow.id)
        .outerjoin(again, again.repeat_of == ShowingRow.id)
        .where(ShowingRow.rater == rater, ShowingRow.repeat_of.is_(None), again.id.is_(None))
        .where(STANDS, VoteRow.choice != "skip", ShowingRow.id.not_in(recent))
    )
    return [Candidate(*row) for row in session.execute(of_action(query, action))]


def choose(
    session: Session, rater: str, action: str | None, is_there: Callable[[str], bool], lot: random.Random
) -> Candidate | None:
    """The next pair for this rater among the clips that are there, or None when all are answered."""

    def whole(pair: Candidate) -> bool:
        return is_there(pair.first) and is_there(pair.second)

    shown, rounds = _times_shown(session), set(session.scalars(select(PairRow.id).where(PairRow.source == "models")))
    fresh = [
        ((pair.pair not in rounds, shown[pair.first] + shown[pair.second]), lot.random(), pair)
        for pair in unanswered(session, rater, action)
    ]
    least = list(islice((entry for entry in sorted(fresh, key=itemgetter(0, 1)) if whole(entry[2])), SHORT_LIST))
    if not least:
        return None
    (ordinary, _), *_ = least[0]
    if ordinary and lot.random() < REPEATS and (old := list(filter(whole, repeatable(session, rater, action)))):
        return lot.choice(old)
    strength = _strengths(session, {clip for _, _, pair in least for clip in (pair.first, pair.second)})
    return min(least, key=lambda entry: (entry[0], abs(strength[entry[2].first] - strength[entry[2].second])))[2]


def _times_shown(session: Session) -> Counter[str]:
    """How often each clip was shown; not how often judged, so that raters at the same time get different pairs."""
    times = select(ShowingRow.pair, func.count().label("times")).group_by(ShowingRow.pair).subquery()
    shown: Counter[str] = Counter()
    for first, second, count in session.execute(
        select(PairRow.first, PairRow.second, times.c.times).join(times, times.c.pair == PairRow.id)
    ):
        shown[first] += count
        shown[second] += count
    return shown


def _strengths(session: Session, clips: set[str]) -> dict[str, float]:
    """The share of points that each of these clips has won, drawn to the middle while its votes are few; 0..1."""
    pairs = select(PairRow.id).where(or_(PairRow.first.in_(clips), PairRow.second.in_(clips)))
    query = (
        select(ShowingRow.left, ShowingRow.right, VoteRow.choice)
        .join(VoteRow, VoteRow.showing == ShowingRow.id)
        .where(STANDS, VoteRow.choice != "skip", ShowingRow.repeat_of.is_(None), ShowingRow.pair.in_(pairs))
    )
    points, judged = Counter(), Counter()
    for left, right, choice in session.execute(query):
        won = {"left": 1.0, "right": 0.0}.get(choice, 0.5)
        points.update({left: won, right: 1 - won})
        judged.update((left, right))
    return {clip: (points[clip] + 1) / (judged[clip] + 2) for clip in clips}
