"""Pairs, who was shown which, and what they answered. Every answer that was acknowledged is on disk."""

import random
import secrets
import time
import uuid
from collections.abc import Callable

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from huvidpo_core.errors import UserError
from huvidpo_core.preferences import choosing, reading
from huvidpo_core.preferences.ballots import check_ballot, check_rater, check_score, check_source
from huvidpo_core.preferences.database import Database
from huvidpo_core.preferences.records import Answer, Ballot, Rating, Revealed, Showing, Source
from huvidpo_core.preferences.schema import (
    ClipRow,
    MarkRow,
    PairRow,
    RaterRow,
    RatingRow,
    ScoreRow,
    ShowingRow,
    VoteRow,
)


class Votes:
    """What people and judges think of the clips; reached as `Store.votes`.

    Safe for many threads and processes at once. Every method raises UserError when the database cannot be used, and
    where it says so.
    """

    def __init__(
        self,
        database: Database,
        present: Callable[[], set[str]],
        is_there: Callable[[str], bool],
        length: Callable[[str], tuple[int, float]],
        lot: random.Random | None = None,
    ) -> None:
        """Of the clips: which have their files, whether one has, and its frames and rate. `lot` draws the sides."""
        self._database = database
        self._present, self._is_there, self._length = present, is_there, length
        self._lot = lot or secrets.SystemRandom()  # a rater must not be able to foresee the sides

    # Pairs

    def add_pair(self, first: str, second: str, *, source: Source, prompt: str, action: str) -> str:
        """Let two clips be compared; returns the pair's id, the old one if they are a pair already, in any order.

        Raises:
            UserError: one clip with itself, a clip that is not there or has one frame only, an unknown source.
        """
        check_source(source)
        first, second = sorted((first, second))
        if first == second:
            raise UserError("A clip cannot be compared with itself. Choose two clips.")
        (frames, fps), (other_frames, other_fps) = self._length(first), self._length(second)
        frames, fps = min(frames, other_frames), max(1, round(min(fps, other_fps)))
        if frames < 2:
            raise UserError("One of the two clips is a single frame: nothing moves in it. Choose a longer clip.")
        values = {"id": uuid.uuid4().hex, "created": time.time(), "first": first, "second": second, "source": source,
                  "prompt": prompt, "action": action, "frames": frames, "fps": fps}  # fmt: skip
        with self._database.writing() as session:
            reading.insert_new(session, PairRow, values)
            return session.scalar(select(PairRow.id).where(PairRow.first == first, PairRow.second == second))

    def pairs(self, source: Source, action: str) -> dict[str, tuple[str, str]]:
        """The two clips of each pair of this kind for an action, by the pair's id, oldest first."""
        query = select(PairRow).where(PairRow.source == source, PairRow.action == action).order_by(PairRow.created)
        with self._database.reading() as session:
            return {pair.id: (pair.first, pair.second) for pair in session.scalars(query)}

    def open_pairs(self, rater: str, action: str | None = None) -> int:
        """How many pairs this rater has still to answer, the one that is being shown included."""
        rater, present = check_rater(rater), self._present()
        with self._database.reading() as session:
            fresh = choosing.unanswered(session, rater, action)
            shown = reading.unanswered_showings(session, rater, action, present.__contains__)
        return len(shown) + sum(pair.first in present and pair.second in present for pair in fresh)

    # Showing and voting

    def show(self, rater: str, action: str | None = None, after: str = "") -> Showing | None:
        """The pair this rater is to judge now, or None when there is none left.

        It stays the same, sides and all, until it is answered or a round's pair is there, which goes before others.
        About one in ten comes a second time, sides swapped.
        With `after`, the id of a showing, what comes when that is answered: a page may load it meanwhile.
        """
        rater = check_rater(rater)

        def given(session: Session) -> Showing | None:
            urgent = choosing.round_waits(session, rater, action, self._is_there)
            waiting = reading.unanswered_showings(session, rater, action, self._is_there, urgent=urgent)
            return next((showing for showing in waiting if showing.id != after), None)

        with self._database.reading() as session:  # the slow part, while others may write
            if showing := given(session):
                return showing
            chosen = choosing.choose(session, rater, action, self._is_there, self._lot)
        if chosen is None:
            return None
        left = chosen.left or self._lot.choice((chosen.first, chosen.second))
        with self._database.writing() as session:
            now = reading.enter(session, rater)
            if showing := given(session):  # asked twice at once
                return showing
            reading.insert_new(session, ShowingRow, {
                "id": secrets.token_hex(16), "created": now, "rater": rater, "pair": chosen.pair, "left": left,
                "right": chosen.second if left == chosen.first else chosen.first, "repeat_of": chosen.repeat_of,
            })  # fmt: skip
            showing = given(session)
        return showing or self.show(rater, action, after)  # it was answered in another window meanwhile

    def vote(self, showing_id: str, rater: str, ballot: Ballot) -> Revealed:
        """Write down an answer, durable when this returns, and tell which model made which side.

        Raises:
            UserError: no such showing, somebody else's, or one that is answered; a ballot that is none (`ballots`).
        """
        rater = check_rater(rater)
        with self._database.writing() as session:
            row = session.get(ShowingRow, showing_id) if showing_id.isascii() and showing_id.isalnum() else None
            if row is None:
                raise UserError("This pair is not known here. Ask for the next one and vote on that.")
            if row.rater != rater:
                raise UserError(f"This pair was shown to another rater, not to {rater}. Ask for a pair of your own.")
            now = reading.enter(session, rater)
            if session.scalar(select(VoteRow.id).where(VoteRow.showing == row.id, reading.STANDS)):
                raise UserError("This pair is answered already. Undo the answer to give another one.")
            pair = session.get_one(PairRow, row.pair)
            ballot = check_ballot(ballot, pair.frames)
            vote = VoteRow(id=uuid.uuid4().hex, created=now, showing=row.id, rater=rater, choice=ballot.choice,
                           seconds=ballot.seconds)  # fmt: skip
            vote.marks = [MarkRow(start=mark.start, end=mark.end, side=mark.side) for mark in ballot.marks]
            vote.scores = [ScoreRow(side=side, aspect=what, score=score) for side, what, score in ballot.scores]
            session.add(vote)
            left, right = (session.get_one(ClipRow, clip).model for clip in (row.left, row.right))
        return Revealed(reading.showing(row, pair), ballot.choice, left, right)

    def undo(self, rater: str) -> Showing | None:
        """Take back this rater's last answer, which stays on record as superseded; its showing is open again.

        Returns None where there is nothing to take back.
        """
        rater = check_rater(rater)
        with self._database.writing() as session:
            now = reading.enter(session, rater)
            standing = select(VoteRow).where(VoteRow.rater == rater, reading.STANDS)
            vote = session.scalar(standing.order_by(VoteRow.created.desc()).limit(1))
            if vote is None:
                return None
            vote.superseded = now
            showing = session.get_one(ShowingRow, vote.showing)
            return reading.showing(showing, session.get_one(PairRow, showing.pair))

    def rate_clip(self, clip_id: str, rater: str, score: int) -> None:
        """Rate one clip alone, 1 to 5; a second rating by the same rater supersedes the first.

        Raises:
            UserError: the clip is not there, or the score is none.
        """
        rater, score = check_rater(rater), check_score(score)
        self._length(clip_id)
        with self._database.writing() as session:
            now = reading.enter(session, rater)
            earlier = RatingRow.clip == clip_id, RatingRow.rater == rater, RatingRow.superseded.is_(None)
            session.execute(update(RatingRow).where(*earlier).values(superseded=now))
            session.add(RatingRow(id=uuid.uuid4().hex, created=now, clip=clip_id, rater=rater, score=score))

    # What was said

    def history(self, rater: str | None = None, action: str | None = None) -> list[Answer]:
        """The standing answers, oldest first; of one rater, for one action, or all."""
        rater = rater if rater is None else check_rater(rater)
        with self._database.reading() as session:
            return reading.answers(session, rater, action)

    def counts(self, rater: str | None = None) -> dict[str, int]:
        """How many standing answers there are for each action, skipped pairs left out; of one rater or of all."""
        query = (
            select(PairRow.action, func.count())
            .join(ShowingRow, ShowingRow.pair == PairRow.id)
            .join(VoteRow, VoteRow.showing == ShowingRow.id)
            .where(reading.STANDS, VoteRow.choice != "skip")
            .group_by(PairRow.action)
        )
        if rater is not None:
            query = query.where(VoteRow.rater == check_rater(rater))
        with self._database.reading() as session:
            return dict(session.execute(query).all())

    def raters(self) -> list[str]:
        """Everybody who was ever shown a pair or rated a clip, by name."""
        with self._database.reading() as session:
            return sorted(session.scalars(select(RaterRow.name)))

    def ratings(self) -> list[Rating]:
        """The standing ratings of single clips, oldest first."""
        query = select(RatingRow).where(RatingRow.superseded.is_(None)).order_by(RatingRow.created, RatingRow.id)
        with self._database.reading() as session:
            return [Rating(row.id, row.clip, row.rater, row.score, row.created) for row in session.scalars(query)]
