"""Pairs, showings, votes with their marks and scores, and ratings; what a vote must know of a clip."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_STANDS = sa.text("superseded IS NULL")
_FIRST_TIME = sa.text("repeat_of IS NULL")


def upgrade() -> None:
    """Add columns to the clips, and the tables of the rating."""
    op.add_column("clips", sa.Column("hash", sa.String(64)))
    op.add_column("clips", sa.Column("frames", sa.Integer))
    op.add_column("clips", sa.Column("fps", sa.Float))
    op.add_column("clips", sa.Column("motion", sa.Float))
    op.add_column("clips", sa.Column("model", sa.String(200), nullable=False, server_default=""))
    _name_models()
    op.create_table("raters", sa.Column("name", sa.String(80), primary_key=True), _time("created"))
    op.create_table(
        "pairs",
        sa.Column("id", sa.String(32), primary_key=True),
        _time("created"),
        _refers("first", "clips.id"),
        _refers("second", "clips.id", index=True),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("action", sa.String(64), nullable=False, index=True),
        sa.Column("frames", sa.Integer, nullable=False),
        sa.Column("fps", sa.Integer, nullable=False),
        sa.UniqueConstraint("first", "second", name="one_pair_of_two_clips"),
    )
    op.create_table(
        "showings",
        sa.Column("id", sa.String(32), primary_key=True),
        _time("created"),
        _refers("rater", "raters.name", index=True),
        _refers("pair", "pairs.id", index=True),
        _refers("left", "clips.id"),
        _refers("right", "clips.id"),
        _refers("repeat_of", "showings.id", nullable=True),
        sa.UniqueConstraint("repeat_of", name="one_repeat"),
    )
    _one("one_showing", "showings", ["rater", "pair"], _FIRST_TIME)
    op.create_table(
        "votes",
        sa.Column("id", sa.String(32), primary_key=True),
        _time("created"),
        _time("superseded", nullable=True),
        _refers("showing", "showings.id"),
        _refers("rater", "raters.name"),
        sa.Column("choice", sa.String(8), nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
    )
    _one("one_standing_vote", "votes", ["showing"], _STANDS)
    op.create_index("votes_by_rater", "votes", ["rater", "created"])
    op.create_table(
        "marks",
        _refers("vote", "votes.id", primary_key=True),
        sa.Column("start", sa.Integer, primary_key=True),
        sa.Column("end", sa.Integer, nullable=False),
        sa.Column("side", sa.String(8), nullable=False),
        sa.CheckConstraint('"start" >= 0 AND "end" > "start"', name="frames_in_order"),
    )
    op.create_table(
        "scores",
        _refers("vote", "votes.id", primary_key=True),
        sa.Column("side", sa.String(8), primary_key=True),
        sa.Column("aspect", sa.String(16), primary_key=True),
        sa.Column("score", sa.Integer, nullable=False),
        sa.CheckConstraint("score BETWEEN 1 AND 5", name="one_to_five"),
    )
    op.create_table(
        "ratings",
        sa.Column("id", sa.String(32), primary_key=True),
        _time("created"),
        _time("superseded", nullable=True),
        _refers("clip", "clips.id"),
        _refers("rater", "raters.name"),
        sa.Column("score", sa.Integer, nullable=False),
        sa.CheckConstraint("score BETWEEN 1 AND 5", name="rating_one_to_five"),
    )
    _one("one_standing_rating", "ratings", ["clip", "rater"], _STANDS)


def _name_models() -> None:
    """A clip of the first version was made by the pack in its recipe."""
    clips = sa.table("clips", sa.column("id"), sa.column("recipe"), sa.column("model"))
    for clip, recipe in op.get_bind().execute(sa.select(clips.c.id, clips.c.recipe)).all():
        recipe = json.loads(recipe)
        model = (recipe.get("pack") if recipe.get("strength", 1) else None) or "base model"
        op.execute(clips.update().where(clips.c.id == clip).values(model=model))


def _time(name: str, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.Float, nullable=nullable)


def _refers(name: str, target: str, *, nullable: bool = False, index: bool = False, primary_key: bool = False):
    key = sa.ForeignKey(target)
    return sa.Column(name, sa.String(80 if target == "raters.name" else 32), key, nullable=nullable, index=index,
                     primary_key=primary_key)  # fmt: skip


def _one(name: str, table: str, columns: list[str], where: sa.TextClause) -> None:
    op.create_index(name, table, columns, unique=True, sqlite_where=where, postgresql_where=where)
