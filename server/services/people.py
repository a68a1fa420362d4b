"""Persons, their roles, and the right to listen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from config import packs
from server.failure import Failure
from server.services import masking
from server.services.actor import Actor, ledger_id
from server.services.audit import note
from server.services.context import Services
from server.services.directory import person_by_login
from server.services.forgetting import forget
from server.services.rooms import close_rooms
from server.services.separation import not_themselves
from storage import people, person_locks, readers, sign_in_factors
from storage.errors import NotFound
from storage.people import Person
from storage.tx import Tx


@dataclass(frozen=True, slots=True)
class PersonView:
    """Fields: see `server.commands.people.FIELDS`."""

    id: str
    login: str
    name: str
    roles: tuple[str, ...]
    language: str
    reader_key: bool
    listens_to: tuple[str, ...]
    created_at: datetime
    disabled_at: datetime | None
    locked_at: datetime | None


async def add(
    services: Services,
    actor: Actor,
    *,
    login: str,
    name: str,
    roles: Sequence[str] = ("employee",),
    language: str = "fr",
) -> PersonView:
    """Raises Duplicate("login"), Invalid."""
    async with services.db.transaction() as tx:
        person = await people.add(tx, login, name, services.clock(), roles=roles, language=language)
        await note(services, tx, actor, "add", "person", person_id=person.id)
        return await _view(tx, person, masked=False)


async def list_(services: Services, actor: Actor, *, login: str | None = None) -> list[PersonView]:
    """By login; all, or one. Names are masked unless the actor gives a reason. Raises Failure."""
    async with services.db.transaction() as tx:
        wanted = await people.list_all(tx) if login is None else (await person_by_login(tx, login),)
        found = [await _view(tx, person, masked=actor.masked) for person in wanted]
        about = found[0].id if login is not None else None
        await note(services, tx, actor, "list", "person", count=len(found), person_id=about)
    return found


async def disable(services: Services, actor: Actor, *, login: str) -> PersonView:
    """Nothing may be opened or changed in this person's name from now on. Raises NotFound."""
    async with services.db.transaction() as tx:
        person = await person_by_login(tx, login)
        person = await people.disable(tx, person.id, services.clock())
        await person_locks.keep_disabled(tx, person.id)
        await sign_in_factors.drop_all(tx, person.id)
        await note(services, tx, actor, "disable", "person", person_id=person.id)
        view = await _view(tx, person, masked=actor.masked)
    close_rooms(services, person.id)
    await forget(services)
    await readers_changed(services)
    return view


async def set_roles(services: Services, actor: Actor, *, login: str, roles: Sequence[str]) -> PersonView:
    """In place of those held before; nobody changes their own. Raises NotFound, Invalid, Failure."""
    await not_themselves(services, actor, login, "role")
    async with services.db.transaction() as tx:
        person = await person_by_login(tx, login)
        person = await people.set_roles(tx, person.id, roles)
        await note(services, tx, actor, "change", "role", person_id=person.id)
        view = await _view(tx, person, masked=actor.masked)
    await readers_changed(services)
    return view


async def grant(services: Services, actor: Actor, *, login: str, purpose: str) -> PersonView:
    """The right to listen to recordings of a purpose made from now on; nobody gives it to themselves. Raises NotFound,
    Failure."""
    pack = packs.load().get(purpose)
    if pack is None or pack.kind != "recording" or pack.never_records:
        known = sorted(p.id for p in packs.load().values() if p.kind == "recording" and not p.never_records)
        raise Failure(f"purpose {purpose} records nothing", f"Choose one of {', '.join(known)}", "invalid")
    await not_themselves(services, actor, login, "right")
    async with services.db.transaction() as tx:
        person = await person_by_login(tx, login)
        if "reader" not in person.roles:
            roles = ",".join(sorted(person.roles | {"reader"}))
            raise Failure(f"{login} is no reader", f"Type: beffroi person role {login} {roles}", "conflict")
        await readers.grant(tx, person.id, purpose, ledger_id(actor.who, services.keys.ledger), services.clock())
        await note(services, tx, actor, "grant", "right", person_id=person.id, purpose=purpose)
        view = await _view(tx, person, masked=actor.masked)
    await readers_changed(services)
    return view


async def revoke(services: Services, actor: Actor, *, login: str, purpose: str) -> PersonView:
    """Takes the right, and this person's wraps of that purpose's keys, at once. Raises NotFound."""
    async with services.db.transaction() as tx:
        person = await person_by_login(tx, login)
        await readers.revoke(tx, person.id, purpose)
        await note(services, tx, actor, "revoke", "right", person_id=person.id, purpose=purpose)
        view = await _view(tx, person, masked=actor.masked)
    await forget(services)
    await readers_changed(services)
    return view


async def readers_changed(services: Services) -> None:
    """Tell the daemon, if it runs, that keys have to be made for another set of readers."""
    if services.live is not None:
        await services.live.readers_changed()


async def _view(tx: Tx, person: Person, *, masked: bool) -> PersonView:
    try:
        await readers.get_key(tx, person.id)
        has_key = True
    except NotFound:
        has_key = False
    rights = await readers.rights(tx, person.id)
    lock = await person_locks.get(tx, person.id)
    return PersonView(
        id=person.id,
        login=person.login,
        name=masking.name(person.display_name) if masked else person.display_name,
        roles=tuple(sorted(person.roles)),
        language=person.language,
        reader_key=has_key,
        listens_to=tuple(right.purpose for right in rights),
        created_at=person.created_at,
        disabled_at=person.disabled_at,
        locked_at=lock.at if lock is not None else None,
    )
