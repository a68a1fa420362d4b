"""Call records whose fields age; keys of months; keys of the index by which numbers are found."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("call_records", sa.Column("ages_at", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_call_records_ages_at"), "call_records", ["ages_at"], unique=False)
    op.execute("UPDATE call_records SET ages_at = at")  # the first sweep looks at each of them
    op.create_table(
        "call_month_peers",
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["call_records.id"], name=op.f("fk_call_month_peers_call_id")),
        sa.PrimaryKeyConstraint("call_id", "role", name=op.f("pk_call_month_peers")),
    )
    op.create_index(op.f("ix_call_month_peers_digest"), "call_month_peers", ["digest"], unique=False)
    op.create_table(
        "month_keys",
        sa.Column("month", sa.String(), nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("month", name=op.f("pk_month_keys")),
    )
    op.create_table(
        "index_keys",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_index_keys")),
    )
