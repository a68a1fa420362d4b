"""Who has opened a recording, when and why: what the access log says of it, for those who may see the recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from server.services.actor import Actor
from server.services.audit import note
from server.services.belonging import theirs
from server.services.context import Services
from server.services.recordings import found
from storage import access, people, recording_openings
from storage.errors import NotFound
from storage.tx import Tx


@dataclass(frozen=True, slots=True)
class OpeningView:
    """Fields: see `server.commands.listening_requests.OPENING_FIELDS`."""

    at: str
    action: str
    who: str
    approved_by: str | None
    purpose: str
    reason: str | None
    size_bytes: int | None


async def openings(services: Services, actor: Actor, *, rec_id: str) -> list[OpeningView]:
    """Newest first, as far back as the access log goes. The reasons that were typed are shown: whoever listens knows
    that they will be. Raises Failure."""
    async with services.db.transaction() as tx:
        recording = await found(tx, rec_id, await theirs(tx, actor))
        entries = (await recording_openings.of(tx, [recording.id])).get(recording.id, [])
        names = {person.id: person.login for person in await people.list_all(tx)}
        views = [await _view(tx, entry, names) for entry in entries]
        await note(services, tx, actor, "show", "report", rec_id=recording.id, purpose=recording.purpose,
                   count=len(views))  # fmt: skip
    return views


async def _view(tx: Tx, entry: Mapping[str, Any], names: Mapping[str, str]) -> OpeningView:
    person_id, approver = str(entry.get("person_id", "")), str(entry.get("reader_id", ""))
    return OpeningView(
        at=str(entry["at"]),
        action=str(entry["action"]),
        who=names.get(person_id, person_id),
        approved_by=names.get(approver, approver) or None,
        purpose=str(entry.get("purpose", "")),
        reason=await _reason(tx, entry.get("reason_id")),
        size_bytes=entry.get("size_bytes"),
    )


async def _reason(tx: Tx, reason_id: object) -> str | None:
    if not isinstance(reason_id, str):
        return None
    try:
        return await access.reason(tx, reason_id)
    except NotFound:
        return None
