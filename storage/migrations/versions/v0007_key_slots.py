"""The wraps of the recordings' keys get places of one size, so that one can be destroyed where it stands."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_SLOT_BYTES, _LENGTH_BYTES = 1280, 2  # as storage.key_slots has them
_AT_ONCE = 500


def upgrade() -> None:
    op.create_table(
        "key_slots",
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("slot", name=op.f("pk_key_slots")),
    )
    op.create_table(
        "free_key_slots",
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["slot"], ["key_slots.slot"], name=op.f("fk_free_key_slots_slot")),
        sa.PrimaryKeyConstraint("slot", name=op.f("pk_free_key_slots")),
    )
    moving = op.create_table("rec_keys_moving", *_reference())
    assert moving is not None
    _fill(moving)
    op.execute("DELETE FROM rec_keys")  # SQLite zeroes the pages of a table that is emptied
    op.drop_table("rec_keys")
    op.create_table(
        "rec_keys",
        *_reference(),
        sa.ForeignKeyConstraint(["kek_id"], ["keks.id"], name=op.f("fk_rec_keys_kek_id")),
        sa.ForeignKeyConstraint(["slot"], ["key_slots.slot"], name=op.f("fk_rec_keys_slot")),
        sa.PrimaryKeyConstraint("rec_id", name=op.f("pk_rec_keys")),
        sa.UniqueConstraint("slot", name=op.f("uq_rec_keys_slot")),
    )
    op.create_index(op.f("ix_rec_keys_kek_id"), "rec_keys", ["kek_id"], unique=False)
    op.execute("INSERT INTO rec_keys (rec_id, kek_id, alg, slot) SELECT rec_id, kek_id, alg, slot FROM rec_keys_moving")
    op.drop_table("rec_keys_moving")


def _reference() -> tuple[sa.Column[str] | sa.Column[int], ...]:
    return (
        sa.Column("rec_id", sa.String(), nullable=False),
        sa.Column("kek_id", sa.String(), nullable=False),
        sa.Column("alg", sa.String(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
    )


def _fill(moving: sa.Table) -> None:
    connection = op.get_bind()
    old = sa.table("rec_keys", *(sa.column(name) for name in ("rec_id", "kek_id", "alg", "wrap")))
    slots = sa.table("key_slots", sa.column("slot", sa.Integer), sa.column("content", sa.LargeBinary))
    after = ""
    while True:
        wanted = sa.select(old).where(old.c.rec_id > after).order_by(old.c.rec_id).limit(_AT_ONCE)
        rows = connection.execute(wanted).mappings().all()
        if not rows:
            return
        for row in rows:
            packed = len(row["wrap"]).to_bytes(_LENGTH_BYTES, "big") + row["wrap"]
            content = packed.ljust(_SLOT_BYTES, b"\0")
            slot = connection.execute(sa.insert(slots).values(content=content).returning(slots.c.slot)).scalar_one()
            entry = {"rec_id": row["rec_id"], "kek_id": row["kek_id"], "alg": row["alg"], "slot": slot}
            connection.execute(sa.insert(moving).values(entry))
        after = rows[-1]["rec_id"]
