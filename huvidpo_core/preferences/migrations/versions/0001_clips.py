"""The clips. Databases of the first version have this table and no version mark: they are taken over as they are."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the table unless it is there."""
    op.create_table(
        "clips",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("recipe", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_clips_created", "clips", ["created"], if_not_exists=True)
