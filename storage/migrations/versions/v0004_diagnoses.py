"""How calls went, in technical facts, for some days."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "call_diagnoses",
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("mos_centi", sa.Integer(), nullable=True),
        sa.Column("facts_sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_call_diagnoses")),
    )
    op.create_index(op.f("ix_call_diagnoses_at"), "call_diagnoses", ["at"], unique=False)
    op.create_index(op.f("ix_call_diagnoses_expires_at"), "call_diagnoses", ["expires_at"], unique=False)
