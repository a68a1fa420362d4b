"""A person's reader key: made and sealed where the passphrase is typed; only public and sealed bytes come here."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from recording.keys import KeysError, algorithm
from recording.reader_bundle import reader_id_of
from retention.gate import DestructionIncomplete
from server.failure import Failure
from server.services import erasure
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.directory import person_by_login
from server.services.people import readers_changed
from storage import readers
from storage.errors import NotFound, Unavailable
from storage.readers import ReaderKey
from storage.tx import Tx


@dataclass(frozen=True, slots=True)
class ReaderPlace:
    """What a key is made for, before it is made."""

    person_id: str
    has_key: bool


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The key is in the key store."""

    person_id: str
    login: str
    listens_to: tuple[str, ...]


async def prepare(services: Services, actor: Actor, *, login: str) -> ReaderPlace:
    """Whose key it will be. Changes nothing and shows no personal data. Raises Failure."""
    async with services.db.read() as tx:
        person = await person_by_login(tx, login)
        if person.disabled_at is not None:
            raise Failure(f"{login} is disabled", "Add another person", "conflict")
        if "reader" not in person.roles:
            roles = ",".join(sorted(person.roles | {"reader"}))
            raise Failure(f"{login} is no reader", f"Type: beffroi person role {login} {roles}", "conflict")
        return ReaderPlace(person.id, await _has_key(tx, person.id))


async def enrol(
    services: Services, actor: Actor, *, login: str, public: str, bundle: str, replace: bool = False
) -> Enrolled:
    """`public` and `bundle` (recording.reader_bundle) in base64. Raises Failure.

    `replace`: the old key and all that was wrapped to it go: what only this person could open stays closed, except
    to the other readers and to escrow. Rights stay.
    """
    key, sealed = _decoded(public), _decoded(bundle)
    async with services.erasing:
        await erasure.resume(services)
        enrolled = await _enrol(services, actor, login, key, sealed, replace=replace)
    await readers_changed(services)
    return enrolled


async def _enrol(services: Services, actor: Actor, login: str, key: bytes, sealed: bytes, *, replace: bool) -> Enrolled:
    async with services.db.transaction() as tx:
        person = await person_by_login(tx, login)
        try:
            named, alg = reader_id_of(sealed), algorithm(key)
        except KeysError:
            raise Failure("this is no reader key", "Type: beffroi reader enrol", "invalid") from None
        if named != person.id or "reader" not in person.roles or person.disabled_at is not None:
            raise Failure(f"the key is not made for {login}", f"Type: beffroi reader enrol {login}", "invalid")
        rights = [right.purpose for right in await readers.rights(tx, person.id)]
        fresh = ReaderKey(person.id, alg, key, sealed, services.clock())
        has_key = await _has_key(tx, person.id)
        if has_key and not replace:
            raise Failure(
                f"{login} has a key already",
                "With --replace a new one takes its place, and this person opens nothing made until now",
                "conflict",
            )
        await note(services, tx, actor, "add", "reader", person_id=person.id)
        if has_key:
            await erasure.order(services, tx, actor, erasure.READER, person.id)
        else:
            await _set(tx, fresh)
    if has_key:
        await _replaced(services, actor, fresh, login)
    return Enrolled(person.id, login, tuple(rights))


async def _replaced(services: Services, actor: Actor, fresh: ReaderKey, login: str) -> None:
    """The old key goes through the deletion gate; the new one is there when its receipt is. Raises Failure."""
    try:
        await erasure.carry_out(services, actor, erasure.READER, fresh.person_id, lambda tx: _set(tx, fresh))
    except (DestructionIncomplete, Unavailable) as error:
        raise Failure(f"the old key is not gone for good, and there is no new one: {error}",
                      f"Type again: beffroi reader enrol {login} --replace", "unavailable") from error  # fmt: skip


async def _set(tx: Tx, key: ReaderKey) -> None:
    await readers.set_key(tx, key)
    # The TOTP secret is inside of the bundle; here only which codes were used and how many were wrong.
    await readers.set_totp(tx, key.person_id, b"")


async def _has_key(tx: Tx, person_id: str) -> bool:
    try:
        await readers.get_key(tx, person_id)
    except NotFound:
        return False
    return True


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Failure("this is no reader key", "Type: beffroi reader enrol", "invalid") from None
