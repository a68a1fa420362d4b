"""Notes on recordings: who wrote one, when, and at which moment of the recording. What it says is sealed elsewhere.

Nobody changes a note, and nobody takes one away but the deletion gate: with its recording, or after a year.
"""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, insert, select

from storage import recordings, tables
from storage.errors import Conflict
from storage.tx import Tx

MOST = 200  # of one recording
_T = tables.recording_notes


@dataclass(frozen=True, slots=True)
class SealedNote:
    id: str
    recording_id: str
    author_id: str
    at_ms: int
    words: bytes = field(repr=False)
    written_at: datetime
    kept_until: datetime


async def add(tx: Tx, note: SealedNote) -> None:
    """Raises `NotFound`, `Conflict` for a recording that is not finished or is destroyed, and where there are too
    many."""
    present = await recordings.lock(tx, note.recording_id)
    if present.state not in ("whole", "cut"):
        raise Conflict(f"recording {note.recording_id} is {present.state}")
    if (await count(tx, note.recording_id)) >= MOST:
        raise Conflict(f"a recording has {MOST} notes at most")
    row = {name: getattr(note, name) for name in SealedNote.__slots__}
    await tx.write(insert(_T).values(**row))


async def of_recording(tx: Tx, rec_id: str) -> tuple[SealedNote, ...]:
    """In the order of the recording."""
    wanted = select(_T).where(_T.c.recording_id == rec_id).order_by(_T.c.at_ms, _T.c.written_at, _T.c.id)
    return tuple(SealedNote(**row) for row in await tx.rows(wanted))


async def count(tx: Tx, rec_id: str) -> int:
    row = await tx.row(select(func.count().label("n")).where(_T.c.recording_id == rec_id))
    return int(row["n"]) if row is not None else 0
