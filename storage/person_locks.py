"""Persons who are locked: what the lock has taken, so that unlocking gives back this and nothing else."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select, update

from storage import accounts, people, tables
from storage.errors import Conflict, NotFound
from storage.tx import Tx

_T = tables.person_locks


@dataclass(frozen=True, slots=True)
class Lock:
    """`person`: whether the lock has disabled the person (else they were before); `accounts`: ids of those that it
    has disabled."""

    person_id: str
    at: datetime
    person: bool
    accounts: tuple[str, ...]


async def get(tx: Tx, person_id: str) -> Lock | None:
    row = await tx.row(select(_T).where(_T.c.person_id == person_id))
    return None if row is None else Lock(row["person_id"], row["at"], row["person"], tuple(row["accounts"]))


async def lock(tx: Tx, person_id: str, now: datetime) -> Lock:
    """Disable the person and each account of theirs; once more for what was given to them since. Raises `NotFound`."""
    person = await people.get(tx, person_id)
    held = await get(tx, person_id)
    mine = [one.id for one in await accounts.list_all(tx) if one.person_id == person_id and one.disabled_at is None]
    for account_id in mine:
        await accounts.disable(tx, account_id, now)
    if person.disabled_at is None:
        await people.disable(tx, person_id, now)
    if held is None:
        values = {"person_id": person_id, "at": now, "person": person.disabled_at is None, "accounts": mine}
        await tx.write(insert(_T).values(**values))
    elif mine or person.disabled_at is None:
        more = {"person": held.person or person.disabled_at is None, "accounts": [*held.accounts, *mine]}
        await tx.write(update(_T).where(_T.c.person_id == person_id).values(**more))
    found = await get(tx, person_id)
    assert found is not None
    return found


async def unlock(tx: Tx, person_id: str) -> Lock:
    """Give back what the lock took. Raises `NotFound`, `Conflict` where there is no lock."""
    held = await get(tx, person_id)
    if held is None:
        raise Conflict("that person is not locked")
    for account_id in held.accounts:
        try:
            await accounts.enable(tx, account_id)
        except NotFound:
            continue  # removed meanwhile
    if held.person:
        await people.enable(tx, person_id)
    await forget(tx, person_id)
    return held


async def keep_disabled(tx: Tx, person_id: str) -> None:
    """Somebody has disabled the person for good: unlocking gives the accounts back, and not the person."""
    await tx.write(update(_T).where(_T.c.person_id == person_id).values(person=False))


async def forget(tx: Tx, person_id: str) -> None:
    """Nothing is given back any more: the person leaves."""
    await tx.write(delete(_T).where(_T.c.person_id == person_id))
