"""The tables. A change here needs a step in `migrations/versions`, and HEAD moves to it.

Nothing that a person said is ever changed or deleted: what is taken back keeps its row, with the time in `superseded`.
Times are seconds since the epoch. Partial unique indexes let the database itself refuse a second standing answer.
"""

from sqlalchemy import CheckConstraint, Float, ForeignKey, Index, Integer, String, Text, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

HEAD = "0003"  # the newest step in migrations/versions
NAME = 80  # characters in a rater's name

_STANDS = text("superseded IS NULL")
_FIRST_TIME = text("repeat_of IS NULL")


class Base(DeclarativeBase):
    """All tables."""


class ClipRow(Base):
    """One clip. Its files are `clips/ID.mp4` (what was made) and `clips/ID.png` (the first frame it was made from)."""

    __tablename__ = "clips"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    created: Mapped[float] = mapped_column(Float, index=True)
    seconds: Mapped[float] = mapped_column(Float)  # to make it
    recipe: Mapped[str] = mapped_column(Text)  # JSON
    hash: Mapped[str | None] = mapped_column(String(64))  # SHA-256 of the MP4; None in clips of schema 0001
    frames: Mapped[int | None] = mapped_column(Integer)  # None until the clip is first put into a pair
    fps: Mapped[float | None] = mapped_column(Float)
    motion: Mapped[float | None] = mapped_column(Float)  # None until somebody asks; unit: whoever measures says
    model: Mapped[str] = mapped_column(String(200), server_default="")  # as named to people after a vote


class RaterRow(Base):
    """Whoever answers, a person or a judge."""

    __tablename__ = "raters"

    name: Mapped[str] = mapped_column(String(NAME), primary_key=True)
    created: Mapped[float] = mapped_column(Float)


class PairRow(Base):
    """Two clips to be compared, `first` being the smaller id: which of them is shown left is each showing's own lot."""

    __tablename__ = "pairs"
    __table_args__ = (UniqueConstraint("first", "second", name="one_pair_of_two_clips"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    created: Mapped[float] = mapped_column(Float)
    first: Mapped[str] = mapped_column(ForeignKey("clips.id"))
    second: Mapped[str] = mapped_column(ForeignKey("clips.id"), index=True)
    source: Mapped[str] = mapped_column(String(16))
    prompt: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(String(64), index=True)
    frames: Mapped[int] = mapped_column(Integer)  # of the shorter clip
    fps: Mapped[int] = mapped_column(Integer)


class ShowingRow(Base):
    """One pair before one rater. A rater sees a pair once, and perhaps once more with the sides swapped."""

    __tablename__ = "showings"
    __table_args__ = (
        Index("one_showing", "rater", "pair", unique=True, sqlite_where=_FIRST_TIME, postgresql_where=_FIRST_TIME),
        UniqueConstraint("repeat_of", name="one_repeat"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    created: Mapped[float] = mapped_column(Float)
    rater: Mapped[str] = mapped_column(ForeignKey("raters.name"), index=True)
    pair: Mapped[str] = mapped_column(ForeignKey("pairs.id"), index=True)
    left: Mapped[str] = mapped_column(ForeignKey("clips.id"))
    right: Mapped[str] = mapped_column(ForeignKey("clips.id"))
    repeat_of: Mapped[str | None] = mapped_column(ForeignKey("showings.id"))


class VoteRow(Base):
    """One answer to a showing; the one that is not superseded stands."""

    __tablename__ = "votes"
    __table_args__ = (
        Index("one_standing_vote", "showing", unique=True, sqlite_where=_STANDS, postgresql_where=_STANDS),
        Index("votes_by_rater", "rater", "created"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    created: Mapped[float] = mapped_column(Float)
    superseded: Mapped[float | None] = mapped_column(Float)
    showing: Mapped[str] = mapped_column(ForeignKey("showings.id"))
    rater: Mapped[str] = mapped_column(ForeignKey("raters.name"))
    choice: Mapped[str] = mapped_column(String(8))
    seconds: Mapped[float] = mapped_column(Float)
    marks: Mapped[list["MarkRow"]] = relationship(order_by="MarkRow.start")
    scores: Mapped[list["ScoreRow"]] = relationship(order_by="(ScoreRow.side, ScoreRow.aspect)")


class MarkRow(Base):
    """The better side of some frames, as shown."""

    __tablename__ = "marks"
    __table_args__ = (CheckConstraint('"start" >= 0 AND "end" > "start"', name="frames_in_order"),)

    vote: Mapped[str] = mapped_column(ForeignKey("votes.id"), primary_key=True)
    start: Mapped[int] = mapped_column(Integer, primary_key=True)
    end: Mapped[int] = mapped_column(Integer)
    side: Mapped[str] = mapped_column(String(8))


class ScoreRow(Base):
    """One aspect of one side, 1 to 5."""

    __tablename__ = "scores"
    __table_args__ = (CheckConstraint("score BETWEEN 1 AND 5", name="one_to_five"),)

    vote: Mapped[str] = mapped_column(ForeignKey("votes.id"), primary_key=True)
    side: Mapped[str] = mapped_column(String(8), primary_key=True)
    aspect: Mapped[str] = mapped_column(String(16), primary_key=True)
    score: Mapped[int] = mapped_column(Integer)


class RatingRow(Base):
    """One clip rated alone, 1 to 5: the paper's way. The one that is not superseded stands."""

    __tablename__ = "ratings"
    __table_args__ = (
        Index("one_standing_rating", "clip", "rater", unique=True, sqlite_where=_STANDS, postgresql_where=_STANDS),
        CheckConstraint("score BETWEEN 1 AND 5", name="rating_one_to_five"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    created: Mapped[float] = mapped_column(Float)
    superseded: Mapped[float | None] = mapped_column(Float)
    clip: Mapped[str] = mapped_column(ForeignKey("clips.id"))
    rater: Mapped[str] = mapped_column(ForeignKey("raters.name"))
    score: Mapped[int] = mapped_column(Integer)


class PictureChoiceRow(Base):
    """One picture chosen from a few that were offered together. The one that is not superseded stands.

    Pictures are named by the SHA-256 of their pixels; their files are `pictures/HASH.png`.
    """

    __tablename__ = "picture_choices"
    __table_args__ = (
        Index("one_standing_choice", "offer", "rater", unique=True, sqlite_where=_STANDS, postgresql_where=_STANDS),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    created: Mapped[float] = mapped_column(Float)
    superseded: Mapped[float | None] = mapped_column(Float)
    offer: Mapped[str] = mapped_column(String(32))  # which pictures were seen together
    rater: Mapped[str] = mapped_column(ForeignKey("raters.name"))
    recipe: Mapped[str] = mapped_column(Text)  # JSON, of the chosen picture
    chosen: Mapped[str] = mapped_column(String(64))
    others: Mapped[str] = mapped_column(Text)  # JSON, a list
