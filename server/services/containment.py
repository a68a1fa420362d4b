"""Stop somebody now, and give it back later: a person is locked, a trunk is cut. Emergency calls go on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from server.failure import Failure
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.directory import person_by_login
from server.services.edge import push, refuse_devices
from server.services.people import readers_changed
from server.services.rooms import close_rooms
from storage import devices, person_locks
from storage.devices import Credential
from storage.tx import Tx


@dataclass(frozen=True, slots=True)
class LockView:
    """Fields: see `server.commands.containment.LOCK_FIELDS`."""

    id: str
    login: str
    locked_at: datetime | None
    accounts: int
    devices: int
    rooms: int


async def lock(services: Services, actor: Actor, *, login: str) -> LockView:
    """Nothing in this person's name any more, until `unlock`: phones signed off but for emergency calls, running calls
    ended (never an emergency call), listening rooms closed, nothing opened or administered. Raises Failure."""
    _reason(actor)
    async with services.db.transaction() as tx:
        person = await person_by_login(tx, login)
        held = await person_locks.lock(tx, person.id, services.clock())
        credentials = await _credentials(tx, held.accounts)
        await note(services, tx, actor, "lock", "person", person_id=person.id, count=len(held.accounts))
    rooms = close_rooms(services, person.id)
    await readers_changed(services)
    await refuse_devices(services, [one.auth_user for one in credentials])
    return LockView(person.id, person.login, held.at, len(held.accounts), len(credentials), rooms)


async def unlock(services: Services, actor: Actor, *, login: str) -> LockView:
    """Give back what the lock took, and no more; phones sign on by themselves. Raises Failure."""
    _reason(actor)
    async with services.db.transaction() as tx:
        person = await person_by_login(tx, login)
        if await person_locks.get(tx, person.id) is None:
            raise Failure(f"{login} is not locked", "Type: beffroi person list", "conflict")
        held = await person_locks.unlock(tx, person.id)
        credentials = await _credentials(tx, held.accounts)
        await note(services, tx, actor, "restore", "person", person_id=person.id, count=len(held.accounts))
    await readers_changed(services)
    for credential in credentials:
        await push(services, credential)
    return LockView(person.id, person.login, None, len(held.accounts), len(credentials), 0)


async def _credentials(tx: Tx, account_ids: tuple[str, ...]) -> list[Credential]:
    return [one for account_id in account_ids for one in await devices.credentials(tx, account_id)]


def _reason(actor: Actor) -> None:
    if not actor.says_why:
        raise Failure("locking and unlocking need a reason", "Say why with --reason", "invalid")
