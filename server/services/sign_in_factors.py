"""What a person signs in with, and how they change it themselves: password, authenticator program, passkeys, codes.

All of it asks for a second factor of the last minutes first, and the last one cannot be removed (promise 0.2). A
changed password ends every other session.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from server import passwords
from server.failure import Failure
from server.rights import Identity, NotFresh
from server.services import passkey_protocol as protocol
from server.services import second_factors
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.doorkeeper import Key
from server.services.failures import told
from server.services.forgetting import forget
from server.services.identities import digest, new_token
from server.services.invitations import named
from server.services.second_factors import TotpOffer
from server.services.sign_in import CHALLENGE, TRIES, over, session_of, spend
from storage import people, sessions, sign_in_challenges, sign_in_factors
from storage.tx import Tx

MOST_PASSKEYS = 20


@dataclass(frozen=True, slots=True)
class PasskeyView:
    id: str
    name: str = field(repr=False)
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Factors:
    totp: bool
    passkeys: tuple[PasskeyView, ...]
    recovery_left: int


async def view(services: Services, identity: Identity) -> Factors:
    """What the person has; nothing by which one signs in."""
    with told():
        async with services.db.read() as tx:
            known = await sign_in_factors.passkeys(tx, identity.person_id)
            return Factors(
                totp=await sign_in_factors.totp_secret(tx, identity.person_id) is not None,
                passkeys=tuple(PasskeyView(one.id, one.name, one.created_at, one.last_used_at) for one in known),
                recovery_left=await sign_in_factors.recovery_left(tx, identity.person_id),
            )


async def totp_offer(services: Services, identity: Identity) -> TotpOffer:
    """A new authenticator program; the old one counts until the new one is confirmed. Raises Failure, NotFresh."""
    now, token, secret = services.clock(), new_token(), second_factors.new_totp()
    with told():
        async with services.db.transaction() as tx:
            session_id = await _fresh(services, tx, identity)
            person = await people.get(tx, identity.person_id)
            await sign_in_challenges.add(
                tx, person.id, "totp_offer", now, now + CHALLENGE, token_sha256=digest(token), session_id=session_id,
                held={"totp": secret},
            )  # fmt: skip
    return second_factors.offer(services, person, token, secret)


async def totp_confirm(services: Services, identity: Identity, *, token: str, code: str) -> None:
    """Raises Failure: denied for a wrong code, not_found where the offer is over; NotFresh."""
    with told():
        async with services.db.transaction() as tx:
            session_id = await _fresh(services, tx, identity)
            begun = await sign_in_challenges.by_token(tx, digest(token), "totp_offer", services.clock())
            if begun is None or begun.session_id != session_id:
                raise over()
            step = second_factors.step_of(services, begun.held["totp"], code)
            outcome = "done" if step is not None else "wrong"
            if step is not None:
                await sign_in_factors.set_totp(
                    tx, identity.person_id, begun.held["totp"], services.clock(), last_step=step
                )
                await sign_in_challenges.end(tx, begun)
            elif (await sign_in_challenges.failed(tx, begun)).tries >= TRIES:
                await sign_in_challenges.end(tx, begun)
            await _note(services, tx, identity, "add", "totp", outcome=outcome)
        if step is None:
            raise second_factors.wrong_code()
        await forget(services)


async def passkey_offer(services: Services, identity: Identity) -> dict[str, Any]:
    """For navigator.credentials.create. Raises Failure, NotFresh."""
    now = services.clock()
    with told():
        async with services.db.transaction() as tx:
            session_id = await _fresh(services, tx, identity)
            person = await people.get(tx, identity.person_id)
            known = await sign_in_factors.passkeys(tx, person.id)
            if len(known) >= MOST_PASSKEYS:
                raise Failure(f"you have {MOST_PASSKEYS} passkeys", "Remove one first", "conflict")
            asked, state = protocol.creation(services.settings, person, known)
            await sign_in_challenges.add(
                tx, person.id, "passkey_offer", now, now + CHALLENGE, session_id=session_id, held={"passkey": state}
            )
    return asked


async def passkey_add(services: Services, identity: Identity, *, name: str, answer: Mapping[str, Any]) -> None:
    """`answer`: the credential as JSON. Raises Failure: denied, not_found where nothing was asked; NotFresh."""
    with told():
        async with services.db.transaction() as tx:
            session_id = await _fresh(services, tx, identity)
            begun = await sign_in_challenges.of_session(tx, session_id, "passkey_offer", services.clock())
            if begun is None:
                raise over()
            await sign_in_challenges.end(tx, begun)
            made = protocol.created(services.settings, begun.held["passkey"], answer)
            passkey_id = None
            if made is not None:
                added = await sign_in_factors.add_passkey(tx, identity.person_id, named(name), *made, services.clock())
                passkey_id = added.id
            await _note(services, tx, identity, "add", "passkey", outcome="done" if made else "wrong",
                        passkey_id=passkey_id)  # fmt: skip
        if made is None:
            raise second_factors.wrong_passkey()


async def passkey_rename(services: Services, identity: Identity, *, passkey: str, name: str) -> None:
    """Raises Failure, NotFresh."""
    with told():
        async with services.db.transaction() as tx:
            await _fresh(services, tx, identity)
            if not await sign_in_factors.rename_passkey(tx, identity.person_id, passkey, named(name)):
                raise _no_passkey()
            await _note(services, tx, identity, "change", "passkey", passkey_id=passkey)


async def passkey_remove(services: Services, identity: Identity, *, passkey: str) -> None:
    """Not the last second factor. Raises Failure, NotFresh."""
    with told():
        async with services.db.transaction() as tx:
            await _fresh(services, tx, identity)
            await sign_in_factors.lock(tx, identity.person_id)
            known = {one.id for one in await sign_in_factors.passkeys(tx, identity.person_id)}
            if passkey not in known:
                raise _no_passkey()
            if len(known) == 1 and await sign_in_factors.totp_secret(tx, identity.person_id) is None:
                raise Failure("this is your last second factor", "Add another first", "conflict")
            await sign_in_factors.drop_passkey(tx, identity.person_id, passkey)
            await _note(services, tx, identity, "disable", "passkey", passkey_id=passkey)
        await forget(services)


async def recovery_new(services: Services, identity: Identity) -> list[str]:
    """Shown once; the older ones count no more. Raises Failure, NotFresh."""
    with told():
        async with services.db.transaction() as tx:
            await _fresh(services, tx, identity)
            codes = await second_factors.new_recovery(tx, identity.person_id)
            await _note(services, tx, identity, "add", "recovery")
    return codes


async def change_password(services: Services, identity: Identity, *, old: str, new: str) -> None:
    """Ends every other session. Raises Failure: denied where the old one is wrong, invalid for a weak new one,
    throttled; NotFresh."""
    keeper, now = services.doorkeeper, services.clock()
    keys: list[Key] = [("browser", f"password {identity.session_id}")]
    with told():
        async with services.db.read() as tx:
            await _fresh(services, tx, identity)
            known = await sign_in_factors.password(tx, identity.person_id)
        await spend(services, keys, identity.source, identity.person_id, "session")
        right = await keeper.hashing(passwords.proves, old, known, known=True)
        if not right:
            async with services.db.transaction() as tx:
                await _note(services, tx, identity, "change", "password", outcome="wrong")
            raise Failure("the old password is not right", "Type it again", "denied")
        keeper.budgets.give_back(keys, now)
        if why := passwords.weakness(new, identity.login):
            raise Failure(why, "Take several words that nobody else would put together", "invalid")
        made = await keeper.hashing(passwords.verifier, new, known=True)
        async with services.db.transaction() as tx:
            session_id = await _fresh(services, tx, identity)
            await sign_in_factors.lock(tx, identity.person_id)
            if await sign_in_factors.password(tx, identity.person_id) != known:
                raise Failure("the password was changed meanwhile", "Begin again", "conflict")
            await sign_in_factors.set_password(tx, identity.person_id, made, services.clock())
            await sign_in_challenges.end_begun(tx, identity.person_id)
            ended = await sessions.end_others(tx, identity.person_id, session_id)
            await _note(services, tx, identity, "change", "password", count=ended)
        await forget(services)


async def _fresh(services: Services, tx: Tx, identity: Identity) -> str:
    """The session, where the second factor was given in the last minutes. Raises Failure, NotFresh."""
    session = await session_of(tx, identity, services.clock())
    if session.fresh_until is None or services.clock() >= session.fresh_until:
        raise NotFresh
    return session.id


async def _note(services: Services, tx: Tx, identity: Identity, action: str, subject: str, **details: Any) -> None:
    await note(services, tx, Actor(identity.person_id, identity.source), action, subject,
               person_id=identity.person_id, session_id=identity.session_id, **details)  # fmt: skip


def _no_passkey() -> Failure:
    return Failure("no such passkey", "Look at your account", "not_found")
