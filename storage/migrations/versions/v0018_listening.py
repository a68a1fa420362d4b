"""Notes on recordings, requests to listen that a second person decides, and which entries say who opened what."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.create_table(
        "recording_notes",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("recording_id", sa.String(), nullable=False),
        sa.Column("author_id", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("words", sa.LargeBinary(), nullable=False),
        sa.Column("written_at", sa.BigInteger(), nullable=False),
        sa.Column("kept_until", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["recording_id"], ["recordings.id"], name=op.f("fk_recording_notes_recording_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recording_notes")),
    )
    op.create_index(op.f("ix_recording_notes_recording_id"), "recording_notes", ["recording_id"])
    op.create_index(op.f("ix_recording_notes_kept_until"), "recording_notes", ["kept_until"])
    op.create_table(
        "listening_requests",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("recording_id", sa.String(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("why_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("decided_by", sa.String()),
        sa.Column("decided_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(["recording_id"], ["recordings.id"], name=op.f("fk_listening_requests_recording_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_listening_requests")),
    )
    op.create_index(op.f("ix_listening_requests_recording_id"), "listening_requests", ["recording_id"])
    op.create_index(op.f("ix_listening_requests_state"), "listening_requests", ["state"])
    op.create_table(
        "recording_openings",
        sa.Column("recording_id", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["recording_id"], ["recordings.id"], name=op.f("fk_recording_openings_recording_id")),
        sa.PrimaryKeyConstraint("recording_id", "seq", name=op.f("pk_recording_openings")),
    )
