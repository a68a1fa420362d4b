"""When somebody objected to a recording that a legal hold keeps: no minimum period stands against it any more."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.add_column("recordings", sa.Column("objected_at", sa.BigInteger(), nullable=True))
