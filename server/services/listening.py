"""Opening a recording: who may, and what is written down. The passphrase and the code never come here.

A room (recording.room) is started with the person's own connection. It asks, checks, and tells only whether it opened
and which time step the code belonged to. Nothing is given out before the entry in the access log is committed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from recording import vault
from recording.format import State
from recording.playable import Format
from recording.room_client import Opened, RoomEnd, RoomJob, run_room
from server.failure import Failure
from server.services import listening_requests
from server.services import recordings as recording_service
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.directory import person_by_login
from server.services.held_keys import HeldKeys
from server.services.rooms import closable
from storage import keys, readers
from storage.errors import NotFound
from storage.people import Person
from storage.readers import TotpOutcome
from storage.recordings import Recording
from storage.tx import Tx

Mode = Literal["open", "export"]
Permitted = Literal["open", "export", "secure"]
_ACTIONS: Mapping[Permitted, str] = {"open": "open", "export": "export", "secure": "wrap"}
_OUTCOMES = {
    TotpOutcome.WRONG: "wrong",
    TotpOutcome.REPLAYED: "replayed",
    TotpOutcome.LOCKED: "locked",
}


@dataclass(frozen=True, slots=True)
class Permit:
    """Somebody may try to open a recording now. Good for one attempt."""

    person_id: str
    rec_id: str
    purpose: str
    mode: Permitted
    job: RoomJob = field(repr=False)
    hold_id: str | None = None  # mode secure: of which recordings the keys are wrapped once more


async def permit(
    services: Services,
    actor: Actor,
    *,
    login: str,
    rec_id: str,
    mode: Mode,
    format: Format = "ogg",  # noqa: A002 - the word that people type
    language: Literal["en", "fr"] = "en",
) -> Permit:
    """Check person, right, lock-out and recording; write down that it was asked. Raises Failure."""
    if not actor.says_why:
        raise Failure("listening needs a reason", "Say why with --reason, in a few words", "denied")
    async with services.db.transaction() as tx:
        person = await person_by_login(tx, login)
        recording = await recording_service.found(tx, rec_id)
        refused = await refusal(services, tx, person, recording)
        if mode == "export" and refused is None:
            refused = listening_requests.no_export(recording)
        refused = refused or await listening_requests.refusal(services, tx, recording, person.id)
        outcome = "done" if refused is None else "locked" if refused.code == "locked" else "denied"
        await note(services, tx, actor, "unlock", "recording", outcome=outcome, person_id=person.id,
                   rec_id=recording.id, purpose=recording.purpose)  # fmt: skip
        if refused is None:
            job = await room_job(services, tx, person, recording, mode, format, language)
    if refused is not None:
        raise refused
    return Permit(person.id, recording.id, job.purpose, mode, job)


async def serve(services: Services, actor: Actor, granted: Permit, terminal_fd: int) -> RoomEnd:
    """Start the room on the person's connection; returns when it has closed, with all of it written down."""

    # What is written down should the daemon be stopped meanwhile: never opened, or nobody knows how much was heard.
    end, spent = RoomEnd("hung-up", None), False

    async def allow(opened: Opened) -> bool:
        nonlocal end, spent
        async with services.db.transaction() as tx:
            verdict = await readers.try_totp(tx, granted.person_id, opened.totp_step, services.clock())
            outcome, second = _OUTCOMES.get(verdict, "done"), dict[str, str]()
            if verdict is TotpOutcome.ACCEPTED and granted.mode != "secure":
                try:
                    second = await listening_requests.use(services, tx, granted.rec_id, granted.person_id)
                except Failure:  # somebody was quicker
                    outcome = "denied"
            await _note(services, tx, actor, granted, _ACTIONS[granted.mode], outcome=outcome, **second)
        spent = True
        end = RoomEnd(None, None) if outcome == "done" else RoomEnd("denied", None)
        return outcome == "done"

    rewraps = HeldKeys(services, granted.person_id, granted.hold_id, None if granted.hold_id else (granted.purpose,))
    services.open_rooms[granted.rec_id] += 1
    try:
        async with closable(services, granted.person_id):
            end = await run_room(granted.job, terminal_fd, allow, rewraps)
    finally:
        services.open_rooms -= Counter({granted.rec_id: 1})
        await _write_end(services, actor, granted, replace(end, totp_step=None) if spent else end)
    return end


async def _write_end(services: Services, actor: Actor, granted: Permit, end: RoomEnd) -> None:
    """Also while the daemon is being stopped: what was heard is written down, if need be twice."""
    try:
        await _end(services, actor, granted, end)
    except asyncio.CancelledError:
        await _end(services, actor, granted, end)
        raise


async def _end(services: Services, actor: Actor, granted: Permit, end: RoomEnd) -> None:
    async with services.db.transaction() as tx:
        if end.refused is None:
            size_bytes = sum(stop - start for start, stop in end.spans)
            action = "listen" if granted.mode == "open" else "stop"
            size = None if granted.hold_id else size_bytes
            await _note(services, tx, actor, granted, action, complete=end.complete, size_bytes=size)
        elif end.refused in ("credentials", "replay", "bundle"):
            verdict = await readers.try_totp(tx, granted.person_id, None, services.clock())
            outcome = "replayed" if end.refused == "replay" else _OUTCOMES.get(verdict, "wrong")
            await _note(services, tx, actor, granted, _ACTIONS[granted.mode], outcome=outcome)
        elif end.refused != "denied":  # that one is written by allow()
            if end.totp_step is not None:
                await readers.try_totp(tx, granted.person_id, end.totp_step, services.clock())
            await _note(services, tx, actor, granted, _ACTIONS[granted.mode], outcome="failed")


async def _note(
    services: Services,
    tx: Tx,
    actor: Actor,
    granted: Permit,
    action: str,
    *,
    outcome: str = "done",
    **more: str | int | bool | None,
) -> None:
    about = {"hold_id": granted.hold_id} if granted.hold_id else {"rec_id": granted.rec_id}
    await note(services, tx, actor, action, "hold" if granted.hold_id else "recording", outcome=outcome,
               person_id=granted.person_id, purpose=granted.purpose, **about, **more)  # fmt: skip


async def refusal(services: Services, tx: Tx, person: Person, recording: Recording) -> Failure | None:
    """Why not, None where it may be tried."""
    if person.disabled_at is not None:
        return Failure(f"{person.login} is disabled", "Another reader of that purpose may open it", "denied")
    if recording.purpose is None:
        return Failure("that recording is destroyed", "Nobody can bring it back", "conflict")
    if recording.state not in ("whole", "cut"):
        return Failure(f"that recording is not finished ({recording.state})", "Try again after the call", "conflict")
    if not await readers.has_right(tx, person.id, recording.purpose):
        return Failure(f"{person.login} has no right to listen to {recording.purpose}",
                       "Somebody responsible may type: beffroi person grant", "denied")  # fmt: skip
    locked_until = (await readers.totp_state(tx, person.id)).locked_until
    if locked_until is not None and services.clock() < locked_until:
        return Failure(f"too many wrong codes: locked until {locked_until:%H:%M:%S} UTC", "Wait", "locked")
    try:
        await keys.opening(tx, recording.id, person.id)
    except NotFound:
        return Failure("that recording's key was never given to this reader",
                       "Another reader of that purpose, or escrow, opens it", "denied")  # fmt: skip
    return None


async def room_job(
    services: Services,
    tx: Tx,
    person: Person,
    recording: Recording,
    mode: Permitted,
    format: Format = "ogg",  # noqa: A002
    language: Literal["en", "fr"] = "en",
) -> RoomJob:
    """What the room is told. Raises NotFound."""
    way = await keys.opening(tx, recording.id, person.id)
    state: State = "cut" if recording.state == "cut" else "whole"
    return RoomJob(
        mode=mode,
        rec_id=recording.id,
        purpose=recording.purpose or "",
        kek_id=way.kek_id,
        reader_id=person.id,
        reader_bundle=(await readers.get_key(tx, person.id)).sealed_secret,
        kek_wrap=way.kek_wrap,
        dek_wrap=way.dek_wrap,
        path=str(vault.sealed_path(services.paths.vault, recording.id).absolute()),
        sha256=recording.sha256 or "",
        state=state,
        rate_hz=recording.rate_hz or 8000,
        format=format,
        last_totp_step=max(0, (await readers.totp_state(tx, person.id)).last_step),
        language=language,
    )


__all__ = ["Mode", "Permit", "permit", "refusal", "room_job", "serve"]
