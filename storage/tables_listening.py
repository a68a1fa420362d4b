"""Tables of listening: notes on recordings, requests of those who may not listen alone, and who opened what.

Each row belongs to a recording and goes with it.
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, String, Table

from storage.table_metadata import metadata
from storage.types import Instant

# `words` is sealed under the recording's own key (`recording.note_seal`): without it nobody reads the note.
recording_notes = Table(
    "recording_notes",
    metadata,
    Column("id", String, primary_key=True),
    Column("recording_id", String, ForeignKey("recordings.id"), nullable=False, index=True),
    Column("author_id", String, nullable=False, index=True),
    Column("at_ms", BigInteger, nullable=False),  # of the recording
    Column("words", LargeBinary, nullable=False),
    Column("written_at", Instant, nullable=False),
    Column("kept_until", Instant, nullable=False, index=True),
)

listening_requests = Table(
    "listening_requests",
    metadata,
    Column("id", String, primary_key=True),
    Column("recording_id", String, ForeignKey("recordings.id"), nullable=False, index=True),
    Column("person_id", String, nullable=False),
    Column("why_sealed", LargeBinary, nullable=False),  # reason and case, as JSON
    Column("state", String, nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("until", Instant, nullable=False),  # when it is decided, used or too late: then it goes
    Column("decided_by", String),
    Column("decided_at", Instant),
    Index(None, "state"),
)

# Which entries of the access log say that a recording was opened: found without reading the log.
recording_openings = Table(
    "recording_openings",
    metadata,
    Column("recording_id", String, ForeignKey("recordings.id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
)
