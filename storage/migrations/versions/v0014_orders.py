"""Events from which a recording's period runs; destructions that somebody has ordered."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("recordings", sa.Column("kept_for", sa.String(), nullable=True))
    op.add_column("recordings", sa.Column("event_at", sa.BigInteger(), nullable=True))
    op.add_column("destructions", sa.Column("trigger", sa.String(), nullable=True))
    op.add_column("destructions", sa.Column("ordered_by", sa.String(), nullable=True))
    op.add_column("destructions", sa.Column("request_ref", sa.String(), nullable=True))
    op.add_column("destructions", sa.Column("kept", sa.Text(), nullable=True))
