"""What the company has changed of the shipped roles."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_table(
        "role_rights",
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("granted", sa.String(), nullable=False),
        sa.Column("reach", sa.String(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("role", "granted", name=op.f("pk_role_rights")),
    )
