"""Since when an account belongs to whom it belongs; the newest recordings of each state are found by an index."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.add_column("accounts", sa.Column("given_at", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_recordings_state_started_at"), "recordings", ["state", "started_at"], unique=False)
