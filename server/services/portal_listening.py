"""Listening in the browser: a reader unlocks once, then opens recordings one by one, each with reason and case.

Passphrase and code pass through the daemon's memory on their way to the room (`recording.reader_room`); they come over
TLS and there is no other way from a browser. What is opened stays in the room: the daemon passes on the span that is
asked for. An entry of the access log is committed before anything is given out, and how much was heard is written down
at the end.
"""

from __future__ import annotations

import contextlib
import secrets
from collections import Counter
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from recording import vault
from recording.reader_room_client import (
    BLOCK_BYTES,
    OPEN_S,
    Form,
    ReaderRoomClient,
    RecordingJob,
    RoomGone,
    RoomRefused,
)
from recording.reader_room_client import Unlock as RoomUnlock
from server.failure import Failure
from server.operation_rules import RULES
from server.reader_rooms import Listened, ReaderRoom
from server.rights import Identity, allow
from server.services import identities, listening, listening_requests, permitted
from server.services import recordings as recording_service
from server.services.actor import Actor
from server.services.audit import note
from server.services.belonging import theirs
from server.services.context import Services
from server.services.failures import told
from server.services.held_keys import HeldKeys
from storage import keys, people, readers, recording_notes
from storage.errors import NotFound
from storage.ids import new_id
from storage.readers import TotpOutcome
from storage.recording_notes import SealedNote
from storage.recordings import Recording
from storage.tx import Tx

T = TypeVar("T")

MAX_NOTE_CHARS = 2000
NOTES_KEPT = timedelta(days=365)  # analysis documents: a year at most (CNIL, NS-57)
_UNLOCKED = {TotpOutcome.WRONG: "wrong", TotpOutcome.REPLAYED: "replayed", TotpOutcome.LOCKED: "locked"}
_BY_RIGHT = "recordings.show"  # the operation whose rule and reach count here


@dataclass(frozen=True, slots=True)
class RoomView:
    """The room of a session is open until then, for recordings of these purposes."""

    until: datetime
    purposes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpenedView:
    """A recording that is open in the room. `state`: whole or cut."""

    rec_id: str
    state: str
    size_bytes: int
    duration_ms: int
    until: datetime
    webm_bytes: int = 0


@dataclass(frozen=True, slots=True)
class NoteView:
    """`words` None: it does not open with this recording's key."""

    id: str
    at_ms: int
    author: str
    written_at: datetime
    kept_until: datetime
    words: str | None


# --- the room ---------------------------------------------------------------------------------------------------------


async def purposes(services: Services, identity: Identity) -> tuple[str, ...]:
    """What this person may listen to, if they have a key. Sorted."""
    with told():
        async with services.db.read() as tx:
            return tuple(sorted(await readers.purposes(tx, identity.person_id)))


async def room(services: Services, identity: Identity) -> RoomView | None:
    """Of this session, if it is unlocked."""
    found = services.reader_rooms.of(identity.session_id, services.clock())
    return None if found is None else RoomView(found.until, await purposes(services, identity))


async def unlock(
    services: Services, identity: Identity, *, workstation: str, passphrase: str, code: str, by: str = _BY_RIGHT
) -> RoomView:
    """Start the session's room; `by`: the operation whose right is asked for. Raises Failure: the same for a wrong
    passphrase and a wrong code; locked; full."""
    session_id = identity.session_id
    if session_id is None or identity.token_id is not None:
        raise Failure("only somebody who has signed in unlocks", "Sign in to the portal", "denied")
    given = {"rec_id": new_id()} if by == _BY_RIGHT else {}
    actor, _ = await permitted.entered(services, identity, by, given, workstation=workstation)
    with told():
        async with services.reader_rooms.turn:
            await services.reader_rooms.end_those_over(services.clock())
            if services.reader_rooms.is_full and services.reader_rooms.of(session_id, services.clock()) is None:
                raise Failure("too many people listen now", "Try again in a few minutes", "full")
            job = await _to_unlock(services, actor, passphrase, code)
            client = await _start(services, actor, job)
            until = services.clock() + timedelta(seconds=OPEN_S)

            async def on_closed(listened: Listened) -> None:
                await _closed(services, identity.person_id, listened)

            opened = ReaderRoom(session_id, identity.person_id, until, client, on_closed)
            await services.reader_rooms.add(opened)
    return RoomView(until, await purposes(services, identity))


async def lock(services: Services, identity: Identity) -> None:
    """The room ends now. No error where there is none."""
    if identity.session_id is not None:
        await services.reader_rooms.end(identity.session_id)


async def _to_unlock(services: Services, actor: Actor, passphrase: str, code: str) -> RoomUnlock:
    """Raises Failure, and writes that down."""
    refused: Failure | None = None
    async with services.db.transaction() as tx:
        person = await people.get(tx, actor.who)
        try:
            key, totp = await readers.get_key(tx, person.id), await readers.totp_state(tx, person.id)
        except NotFound:
            refused = Failure("you have no reader's key", "Make one: beffroi reader enrol", "conflict")
        else:
            if person.disabled_at is not None:
                refused = Failure("you are disabled", "Ask whoever administers people", "denied")
            elif totp.locked_until is not None and services.clock() < totp.locked_until:
                refused = Failure("too many wrong codes", "Wait a while, then try again", "locked")
        if refused is not None:
            outcome = "locked" if refused.code == "locked" else "denied"
            await note(services, tx, actor, "unlock", "reader", outcome=outcome, person_id=person.id)
    if refused is not None:
        raise refused
    return RoomUnlock(person.id, key.sealed_secret, passphrase, code, max(0, totp.last_step))


async def _start(services: Services, actor: Actor, job: RoomUnlock) -> ReaderRoomClient:
    """The code is spent, and that is written down, before anybody can use the room. Raises Failure."""
    try:
        client = await ReaderRoomClient.start(job)
    except RoomGone:
        await _unlocked(services, actor, "failed")
        raise Failure("the listening room ended", "Try again", "unavailable") from None
    except RoomRefused as refused:
        wrong = refused.why in ("credentials", "replay", "bundle")
        async with services.db.transaction() as tx:
            verdict = await readers.try_totp(tx, actor.who, refused.totp_step, services.clock())
            outcome = "replayed" if refused.why == "replay" else _UNLOCKED.get(verdict, "wrong") if wrong else "failed"
            await note(services, tx, actor, "unlock", "reader", outcome=outcome, person_id=actor.who)
        raise _refused() from None
    try:
        async with services.db.transaction() as tx:
            verdict = await readers.try_totp(tx, actor.who, client.totp_step, services.clock())
            outcome = _UNLOCKED.get(verdict, "done")
            await note(services, tx, actor, "unlock", "reader", outcome=outcome, person_id=actor.who)
        if verdict is not TotpOutcome.ACCEPTED:
            raise _refused()
    except BaseException:
        await client.close()
        raise
    return client


def _refused() -> Failure:
    remedy = "Try again; after five wrong ones it is locked for a while"
    return Failure("passphrase or code is wrong", remedy, "invalid")


async def _unlocked(services: Services, actor: Actor, outcome: str) -> None:
    async with services.db.transaction() as tx:
        await note(services, tx, actor, "unlock", "reader", outcome=outcome, person_id=actor.who)


# --- recordings in it -------------------------------------------------------------------------------------------------


async def listen(
    services: Services, identity: Identity, *, workstation: str, rec_id: str, reason: str, case: str
) -> OpenedView:
    """Open one in the session's room. Raises Failure; who was refused is written down too."""
    actor, _ = await _entered(services, identity, rec_id, workstation, reason, case)
    if not actor.says_why or not (actor.case or "").strip():
        raise Failure("listening needs a reason and a case", "Give both, in a few words", "invalid")
    with told():
        unlocked = _room(services, identity)
        async with unlocked.turn:
            recording, job = await _permit(services, actor, rec_id)
            await unlocked.close_recording(recording.id)
            services.open_rooms[recording.id] += 1  # from here on nothing destroys it under the listener's ear
            try:
                listened = await _open(services, actor, unlocked, recording, job)
            except BaseException:
                services.open_rooms -= Counter({recording.id: 1})
                raise
            unlocked.opened[recording.id] = listened
            if unlocked.ended:  # meanwhile: nobody else closes what was opened in it
                await unlocked.close_recording(recording.id)
                raise Failure("the listening room ended", "Unlock it once more", "conflict")
        await _secure_held(services, unlocked, recording.purpose or "")
    return _opened_view(unlocked, listened)


async def opened(services: Services, identity: Identity, *, rec_id: str) -> OpenedView | None:
    """Whether it is open in this session's room."""
    unlocked = services.reader_rooms.of(identity.session_id, services.clock())
    if unlocked is None or rec_id not in unlocked.opened:
        return None
    return _opened_view(unlocked, unlocked.opened[rec_id])


async def close(services: Services, identity: Identity, *, rec_id: str) -> None:
    """No error where it is not open."""
    unlocked = services.reader_rooms.of(identity.session_id, services.clock())
    if unlocked is not None and rec_id in unlocked.opened:
        try:
            await unlocked.client.close_recording(rec_id)
        except RoomGone:
            await services.reader_rooms.end(unlocked.session_id)
        await unlocked.close_recording(rec_id)


async def size(services: Services, identity: Identity, *, rec_id: str, form: Form = "ogg") -> int:
    """Of the stream of one that is open, in bytes; 0 where it has no such form. Asked anew each time: the right may
    have been taken away, the recording destroyed. Raises Failure."""
    _, listened = await _still(services, identity, rec_id)
    return listened.size_bytes if form == "ogg" else listened.webm_bytes


async def read(
    services: Services, identity: Identity, *, rec_id: str, start: int, end: int, form: Form = "ogg"
) -> bytes:
    """The first of these bytes of the stream, as many as fit into a block. Raises Failure."""
    unlocked = _room(services, identity)
    listened = _listened(unlocked, rec_id)
    asked = unlocked.client.read(rec_id, start, min(end - start, BLOCK_BYTES), form)
    block = await _from_room(services, unlocked, asked)
    spans = listened.spans if form == "ogg" else listened.webm_spans
    spans.append((start, start + len(block)))
    if len(spans) > _MANY_SPANS:
        spans[:] = merged(spans)
    return block


async def waveform(services: Services, identity: Identity, *, rec_id: str) -> Mapping[str, Any]:
    """As `recording.waveform`: what is known so far, and whether it is complete. Raises Failure."""
    unlocked, _ = await _still(services, identity, rec_id)
    return await _from_room(services, unlocked, unlocked.client.waveform(rec_id))


async def notes(services: Services, identity: Identity, *, rec_id: str) -> list[NoteView]:
    """In the order of the recording, which has to be open. Raises Failure."""
    unlocked, _ = await _still(services, identity, rec_id)
    with told():
        async with services.db.read() as tx:
            sealed = await recording_notes.of_recording(tx, rec_id)
            names = await people.logins(tx) if sealed else {}
    found = []
    for one in sealed:
        try:
            words: str | None = await unlocked.client.open_note(rec_id, one.id, one.words)
        except RoomRefused:
            words = None
        except RoomGone:
            raise await _gone(services, unlocked) from None
        author = names.get(one.author_id, "")
        found.append(NoteView(one.id, one.at_ms, author, one.written_at, one.kept_until, words))
    return found


async def add_note(services: Services, identity: Identity, *, rec_id: str, at_ms: int, words: str) -> str:
    """Its id. The server keeps what it cannot read. Raises Failure, Conflict."""
    said = words.strip()
    if not said or len(said) > MAX_NOTE_CHARS:
        raise Failure(f"a note has 1 to {MAX_NOTE_CHARS} characters", "Write it shorter", "invalid")
    unlocked, listened = await _still(services, identity, rec_id)
    if not 0 <= at_ms <= max(listened.duration_ms, 0):
        raise Failure("the recording has no such moment", "Give one between its beginning and its end", "invalid")
    note_id, now = secrets.token_hex(16), services.clock()
    sealed = await _from_room(services, unlocked, unlocked.client.seal_note(rec_id, note_id, said))
    with told():
        async with services.db.transaction() as tx:
            kept = SealedNote(note_id, rec_id, identity.person_id, at_ms, sealed, now, now + NOTES_KEPT)
            await recording_notes.add(tx, kept)
            await note(services, tx, listened.actor, "add", "note", person_id=identity.person_id, rec_id=rec_id,
                       purpose=listened.purpose)  # fmt: skip
    return note_id


# --- within -----------------------------------------------------------------------------------------------------------

_MANY_SPANS = 64


def merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Union of half-open spans: a browser asks for the same bytes several times."""
    union: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if union and start <= union[-1][1]:
            union[-1] = union[-1][0], max(end, union[-1][1])
        elif start < end:
            union.append((start, end))
    return union


async def _entered(
    services: Services, identity: Identity, rec_id: str, workstation: str, reason: str = "", case: str = ""
) -> tuple[Actor, Mapping[str, object]]:
    return await permitted.entered(
        services, identity, _BY_RIGHT, {"rec_id": rec_id}, workstation=workstation, reason=reason, case=case
    )


async def _permit(services: Services, actor: Actor, rec_id: str) -> tuple[Recording, RecordingJob]:
    async with services.db.transaction() as tx:
        recording = await recording_service.found(tx, rec_id, await theirs(tx, actor))
        person = await people.get(tx, actor.who)
        refused = await listening.refusal(services, tx, person, recording)
        if refused is not None and refused.code == "locked":  # a code was given already: there is none to guess here
            refused = None
        refused = refused or await listening_requests.refusal(services, tx, recording, person.id)
        if refused is None:
            job = await _job(services, tx, recording, person.id)
        else:
            await note(services, tx, actor, "open", "recording", outcome="denied", person_id=person.id,
                       rec_id=recording.id, purpose=recording.purpose)  # fmt: skip
    if refused is not None:
        raise refused
    return recording, job


async def _job(services: Services, tx: Tx, recording: Recording, person_id: str) -> RecordingJob:
    way = await keys.opening(tx, recording.id, person_id)
    return RecordingJob(
        rec_id=recording.id,
        purpose=recording.purpose or "",
        kek_id=way.kek_id,
        kek_wrap=way.kek_wrap,
        dek_wrap=way.dek_wrap,
        path=str(vault.sealed_path(services.paths.vault, recording.id).absolute()),
        sha256=recording.sha256 or "",
        state="cut" if recording.state == "cut" else "whole",
        duration_ms=recording.duration_ms or 0,
    )


async def _open(
    services: Services, actor: Actor, unlocked: ReaderRoom, recording: Recording, job: RecordingJob
) -> Listened:
    try:
        state, sizes = await unlocked.client.open(job)
    except RoomGone:
        raise await _gone(services, unlocked) from None
    except RoomRefused as refused:
        async with services.db.transaction() as tx:
            await note(services, tx, actor, "open", "recording", outcome="failed", person_id=actor.who,
                       rec_id=recording.id, purpose=recording.purpose)  # fmt: skip
        if refused.why == "integrity":
            raise Failure("the file is missing, or not what was sealed", "Tell whoever administers the server",
                          "damaged") from None  # fmt: skip
        raise Failure("your key does not open it", "Another reader of that purpose, or escrow, opens it",
                      "denied") from None  # fmt: skip
    try:
        await _write_down(services, actor, recording)
    except BaseException:
        with contextlib.suppress(RoomGone):
            await unlocked.client.close_recording(recording.id)
        raise
    duration_ms, webm_bytes = recording.duration_ms or 0, sizes.get("webm", 0)
    return Listened(recording.id, recording.purpose or "", state, sizes["ogg"], duration_ms, actor, webm_bytes)


async def _write_down(services: Services, actor: Actor, recording: Recording) -> None:
    """That it was opened, by an agreement where it takes one; or that it was refused, and Failure."""
    refused: Failure | None = None
    async with services.db.transaction() as tx:
        second: dict[str, str] = {}
        try:
            second = await listening_requests.use(services, tx, recording.id, actor.who)
        except Failure as failure:
            refused = failure
        await note(services, tx, actor, "open", "recording", outcome="denied" if refused else "done",
                   person_id=actor.who, rec_id=recording.id, purpose=recording.purpose, **second)  # fmt: skip
    if refused is not None:
        raise refused


async def _secure_held(services: Services, unlocked: ReaderRoom, purpose: str) -> None:
    """Held recordings of that purpose, in passing: their keys are wrapped once more."""
    held = HeldKeys(services, unlocked.person_id, None, (purpose,))
    try:
        while items := await held.batch():
            await held.keep(await unlocked.client.rewrap(items))
    except (RoomRefused, RoomGone):
        return


async def _closed(services: Services, person_id: str, listened: Listened) -> None:
    services.open_rooms -= Counter({listened.rec_id: 1})
    heard = sum(end - start for spans in (listened.spans, listened.webm_spans) for start, end in merged(spans))
    async with services.db.transaction() as tx:
        await note(services, tx, listened.actor, "listen", "recording", person_id=person_id, rec_id=listened.rec_id,
                   purpose=listened.purpose, complete=True, size_bytes=heard)  # fmt: skip


def _room(services: Services, identity: Identity) -> ReaderRoom:
    unlocked = services.reader_rooms.of(identity.session_id, services.clock())
    if unlocked is None or unlocked.person_id != identity.person_id:
        raise Failure("the listening room is locked", "Unlock it first", "conflict")
    return unlocked


def _listened(unlocked: ReaderRoom, rec_id: str) -> Listened:
    if rec_id not in unlocked.opened:
        raise Failure(f"no recording {rec_id[:32]}", "Open it first", "not_found")
    return unlocked.opened[rec_id]


async def _still(services: Services, identity: Identity, rec_id: str) -> tuple[ReaderRoom, Listened]:
    """Open, there, and permitted, now. Raises Failure."""
    unlocked = _room(services, identity)
    listened = _listened(unlocked, rec_id)
    with told():
        async with services.db.read() as tx:
            may = await _may_still(services, tx, identity, listened)
    if not may:
        await close(services, identity, rec_id=rec_id)
        raise Failure(f"no recording {rec_id[:32]}", "Look at the list of recordings", "not_found")
    return unlocked, listened


async def _may_still(services: Services, tx: Tx, identity: Identity, listened: Listened) -> bool:
    """There, of a purpose that this person may listen to, and within their reach as it is granted now."""
    now = await identities.read(tx, await people.get(tx, identity.person_id), asked=identity.grants)
    try:
        within = allow(now, RULES[_BY_RIGHT], {}, services.clock()).within
        own = await theirs(tx, Actor(identity.person_id, identity.source, within=within))
        there = (await recording_service.found(tx, listened.rec_id, own)).state in ("whole", "cut")
    except Failure:
        return False
    return there and await readers.has_right(tx, identity.person_id, listened.purpose)


async def _from_room(services: Services, unlocked: ReaderRoom, asked: Awaitable[T]) -> T:
    try:
        return await asked
    except RoomGone:
        raise await _gone(services, unlocked) from None
    except RoomRefused:
        raise Failure("the recording cannot be read", "Open it once more", "conflict") from None


async def _gone(services: Services, unlocked: ReaderRoom) -> Failure:
    await services.reader_rooms.end(unlocked.session_id)
    return Failure("the listening room is locked", "Unlock it first", "conflict")


def _opened_view(unlocked: ReaderRoom, listened: Listened) -> OpenedView:
    size_bytes, webm_bytes = listened.size_bytes, listened.webm_bytes
    return OpenedView(listened.rec_id, listened.state, size_bytes, listened.duration_ms, unlocked.until, webm_bytes)
