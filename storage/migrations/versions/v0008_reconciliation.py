"""Orphans and looks for them; keys of held recordings; holds on a line; the line of a recording."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("recordings", sa.Column("line_id", sa.String(), nullable=True))
    op.create_index(op.f("ix_recordings_line_id"), "recordings", ["line_id"], unique=False)
    op.add_column("holds", sa.Column("line_id", sa.String(), nullable=True))
    for column in ("since", "until"):
        op.add_column("holds", sa.Column(column, sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_holds_lifted_at"), "holds", ["lifted_at"], unique=False)
    op.create_table(
        "held_keys",
        sa.Column("rec_id", sa.String(), nullable=False),
        sa.Column("hold_id", sa.String(), nullable=False),
        sa.Column("kek_id", sa.String(), nullable=False),
        sa.Column("alg", sa.String(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["kek_id"], ["keks.id"], name=op.f("fk_held_keys_kek_id")),
        sa.ForeignKeyConstraint(["slot"], ["key_slots.slot"], name=op.f("fk_held_keys_slot")),
        sa.PrimaryKeyConstraint("rec_id", "hold_id", name=op.f("pk_held_keys")),
        sa.UniqueConstraint("slot", name=op.f("uq_held_keys_slot")),
    )
    for column in ("hold_id", "kek_id"):
        op.create_index(op.f(f"ix_held_keys_{column}"), "held_keys", [column], unique=False)
    op.create_table(
        "orphans",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("about_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orphans")),
    )
    op.create_index(op.f("ix_orphans_last_seen_at"), "orphans", ["last_seen_at"], unique=False)
    op.create_table(
        "orphan_looks",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("found", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orphan_looks")),
    )
    op.create_index(op.f("ix_orphan_looks_ended_at"), "orphan_looks", ["ended_at"], unique=False)
