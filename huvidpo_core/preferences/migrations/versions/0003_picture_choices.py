"""First frames chosen from a few that were offered together."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_STANDS = sa.text("superseded IS NULL")


def upgrade() -> None:
    """Add the table of choices."""
    op.create_table(
        "picture_choices",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("superseded", sa.Float),
        sa.Column("offer", sa.String(32), nullable=False),
        sa.Column("rater", sa.String(80), sa.ForeignKey("raters.name"), nullable=False),
        sa.Column("recipe", sa.Text, nullable=False),
        sa.Column("chosen", sa.String(64), nullable=False),
        sa.Column("others", sa.Text, nullable=False),
    )
    op.create_index(
        "one_standing_choice", "picture_choices", ["offer", "rater"], unique=True, sqlite_where=_STANDS,
        postgresql_where=_STANDS,
    )  # fmt: skip
