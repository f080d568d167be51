"""Rows of the database as records, and small pieces of SQL that several modules need."""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from sqlalchemy import Select, exists, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from huvidpo_core.preferences.records import Answer, Ballot, Mark, Showing
from huvidpo_core.preferences.schema import Base, MarkRow, PairRow, RaterRow, ScoreRow, ShowingRow, VoteRow

STANDS = VoteRow.superseded.is_(None)


def insert_new(session: Session, table: type[Base], values: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Insert what breaks no unique index; leave out what is there already, even if another process is inserting it."""
    insert = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[session.get_bind().dialect.name]
    if values:
        session.execute(insert(table).on_conflict_do_nothing(), values)


def enter(session: Session, rater: str) -> float:
    """Make the rater known, wait until nobody else acts for the same rater, and return the time then."""
    insert_new(session, RaterRow, {"name": rater, "created": time.time()})
    session.get(RaterRow, rater, with_for_update=True)  # SQLite has one writer anyway
    return time.time()


def showing(row: ShowingRow, pair: PairRow) -> Showing:
    """A showing with what its pair says."""
    return Showing(row.id, row.rater, row.left, row.right, pair.prompt, pair.action, pair.frames, pair.fps)


def unanswered_showings(
    session: Session, rater: str, action: str | None, is_there: Callable[[str], bool], *, urgent: bool = False
) -> list[Showing]:
    """What this rater was given and has not answered, if its clips are still there, in the order it is to be shown.

    What was taken back comes first, the last undo before the one before it; then pairs of two models, then the oldest
    showing. `urgent`: the first two kinds only.
    """
    standing = exists().where(VoteRow.showing == ShowingRow.id, STANDS)
    taken_back = select(func.max(VoteRow.superseded)).where(VoteRow.showing == ShowingRow.id).scalar_subquery()
    query = (
        select(ShowingRow, PairRow)
        .join(PairRow, PairRow.id == ShowingRow.pair)
        .where(ShowingRow.rater == rater, ~standing)
        .order_by(taken_back.desc().nulls_last(), PairRow.source != "models", ShowingRow.created)
    )
    if urgent:
        query = query.where(taken_back.is_not(None) | (PairRow.source == "models"))
    rows = session.execute(of_action(query, action))
    return [showing(*row) for row in rows if is_there(row.ShowingRow.left) and is_there(row.ShowingRow.right)]


def answers(session: Session, rater: str | None = None, action: str | None = None) -> list[Answer]:
    """The standing answers, oldest first; of one rater, for one action, or all."""
    query = (
        select(
            VoteRow.id, ShowingRow.id, PairRow.id, VoteRow.rater, ShowingRow.left, ShowingRow.right, PairRow.prompt,
            PairRow.action, PairRow.source, PairRow.frames, ShowingRow.repeat_of, ShowingRow.created, VoteRow.created,
            VoteRow.choice, VoteRow.seconds,
        )
        .join(ShowingRow, ShowingRow.id == VoteRow.showing)
        .join(PairRow, PairRow.id == ShowingRow.pair)
        .where(STANDS)
        .order_by(VoteRow.created, VoteRow.id)
    )  # fmt: skip
    query = of_action(query if rater is None else query.where(VoteRow.rater == rater), action)
    every = rater is None and action is None  # then a look into the whole table is faster than one vote at a time
    ids = query.with_only_columns(VoteRow.id).order_by(None)
    marks, scores = defaultdict(list), defaultdict(list)
    of_marks = select(MarkRow.vote, MarkRow.start, MarkRow.end, MarkRow.side).order_by(MarkRow.vote, MarkRow.start)
    for vote, *values in session.execute(of_marks if every else of_marks.where(MarkRow.vote.in_(ids))):
        marks[vote].append(Mark(*values))
    of_scores = select(ScoreRow.vote, ScoreRow.side, ScoreRow.aspect, ScoreRow.score)
    for vote, *values in session.execute(of_scores if every else of_scores.where(ScoreRow.vote.in_(ids))):
        scores[vote].append(tuple(values))
    taken_back = set(session.scalars(select(VoteRow.showing).where(~STANDS)))
    found = []
    for vote, shown, *values, choice, seconds in session.execute(query):
        ballot = Ballot(choice, tuple(marks.get(vote, ())), tuple(sorted(scores.get(vote, ()))), seconds)
        found.append(Answer(vote, shown, *values, ballot, blind=shown not in taken_back))
    return found


def of_action(query: Select, action: str | None) -> Select:
    """The query, of one action's pairs only."""
    return query if action is None else query.where(PairRow.action == action)
