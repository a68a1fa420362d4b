"""Where somebody is signed in, and how they end it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from server.failure import Failure
from server.services import masking
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.directory import by_beginning, person_by_login
from storage import sessions
from storage.sessions import Session


@dataclass(frozen=True, slots=True)
class SessionView:
    """Fields: see `server.commands.sign_in.SESSION_FIELDS`."""

    id: str
    created_at: datetime
    last_seen_at: datetime
    source: str = field(repr=False)
    browser: str
    current: bool


async def list_(services: Services, actor: Actor, *, login: str) -> list[SessionView]:
    """Last seen first. Whoever asks about somebody else sees addresses masked unless they say why."""
    async with services.db.transaction() as tx:
        person = await person_by_login(tx, login)
        found = await sessions.list_of(tx, person.id, services.clock())
        await note(services, tx, actor, "list", "session", count=len(found), person_id=person.id)
    return [_view(one, actor) for one in found]


async def revoke(services: Services, actor: Actor, *, login: str, session: str) -> SessionView:
    """By its id or the beginning of it; over at once. Raises Failure."""
    async with services.db.transaction() as tx:
        person = await person_by_login(tx, login)
        every = await sessions.list_of(tx, person.id, services.clock())
        none = Failure(f"no session {session[:40]} of {login}", f"Type: beffroi session list {login}", "not_found")
        found = by_beginning(every, session, none)
        await sessions.end(tx, person.id, found.id)
        await note(services, tx, actor, "revoke", "session", session_id=found.id, person_id=person.id)
    await services.reader_rooms.end(found.id)
    return _view(found, actor)


def _view(one: Session, actor: Actor) -> SessionView:
    masked = actor.masked and actor.who != one.person_id
    source = masking.address(one.source) if masked else one.source
    return SessionView(one.id, one.created_at, one.last_seen_at, source, one.browser, one.id == actor.session)
