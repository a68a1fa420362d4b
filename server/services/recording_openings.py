"""Who has opened a recording, when and why: what the access log says of it, for those who may see the recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from server.services.actor import Actor
from server.services.audit import note
from server.services.belonging import theirs
from server.services.context import Services
from server.services.recordings import found
from storage import access, people, readers, recording_openings
from storage.errors import NotFound
from storage.recordings import Recording
from storage.tx import Tx


@dataclass(frozen=True, slots=True)
class OpeningView:
    """Fields: see `server.commands.listening_requests.OPENING_FIELDS`."""

    at: str
    action: str
    who: str
    approved_by: str | None
    purpose: str
    reason: str | None = field(repr=False)
    reason_hidden: bool
    size_bytes: int | None


async def openings(services: Services, actor: Actor, *, rec_id: str) -> list[OpeningView]:
    """Newest first, as far back as the access log goes. Raises Failure.

    The reasons that were typed may say what somebody was heard to say: they are for those who may listen to it
    themselves, and for audit.
    """
    async with services.db.transaction() as tx:
        recording = await found(tx, rec_id, await theirs(tx, actor))
        reasons = await _reads_reasons(tx, actor, recording)
        entries = await recording_openings.of(tx, [recording.id])
        views = await of_entries(tx, entries.get(recording.id, []), await people.logins(tx), reasons=reasons)
        await note(services, tx, actor, "show", "report", rec_id=recording.id, purpose=recording.purpose,
                   count=len(views))  # fmt: skip
    return views


async def of_entries(
    tx: Tx, entries: Sequence[Mapping[str, Any]], logins: Mapping[str, str], *, reasons: bool
) -> list[OpeningView]:
    """Of entries of the access log. `reasons`: whether they are for whoever asks."""
    views = []
    for entry in entries:
        who, approver = str(entry.get("person_id") or entry["actor_id"]), str(entry.get("reader_id", ""))
        reason_id = entry.get("reason_id")
        views.append(
            OpeningView(
                at=str(entry["at"]),
                action=str(entry["action"]),
                who=logins.get(who, who),
                approved_by=logins.get(approver, approver) or None,
                purpose=str(entry.get("purpose", "")),
                reason=await _reason(tx, reason_id) if reasons else None,
                reason_hidden=reason_id is not None and not reasons,
                size_bytes=entry.get("size_bytes"),
            )
        )
    return views


async def _reads_reasons(tx: Tx, actor: Actor, recording: Recording) -> bool:
    return actor.reads_reasons or await readers.has_right(tx, actor.who, recording.purpose or "")


async def _reason(tx: Tx, reason_id: object) -> str | None:
    if not isinstance(reason_id, str):
        return None
    try:
        return await access.reason(tx, reason_id)
    except NotFound:
        return None
