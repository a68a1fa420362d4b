"""`hold secure`: a reader unlocks so that the keys of held recordings are wrapped to a key of the hold."""

from __future__ import annotations

from server.failure import Failure
from server.services import holds as hold_service
from server.services import listening
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.directory import person_by_login
from server.services.held_keys import flagged
from server.services.listening import Permit
from storage import recordings


async def permit(services: Services, actor: Actor, *, login: str, hold: str) -> Permit:
    """Check person, rights and hold; write down that it was asked. Nothing is opened but keys. Raises Failure."""
    if not actor.says_why:
        raise Failure("unlocking needs a reason", "Say why with --reason, in a few words", "denied")
    refused: Failure | None = None
    granted: Permit | None = None
    async with services.db.transaction() as tx:
        person = await person_by_login(tx, login)
        found = await hold_service.found(tx, hold)
        if found.lifted_at is not None:
            raise Failure("that hold was lifted", "Type: beffroi hold list", "conflict")
        waiting = await flagged(tx, found.id)
        for rec_id in waiting:
            recording = await recordings.get(tx, rec_id)
            refused = await listening.refusal(services, tx, person, recording)
            if refused is None:
                job = await listening.room_job(services, tx, person, recording, "secure")
                granted = Permit(person.id, rec_id, job.purpose, "secure", job, found.id)
                break
            if refused.code == "locked":
                break
        outcome = "done" if granted is not None else "failed" if refused is None else "denied"
        await note(services, tx, actor, "unlock", "hold", outcome=outcome, person_id=person.id, hold_id=found.id)
    if granted is None:
        raise refused or Failure("nothing of that hold waits to be secured", "Type: beffroi hold show", "conflict")
    return granted


__all__ = ["permit"]
