"""The first sign-in, by a link that works once: a password, then a second factor, then a session; none before both.

The link stays good until the second factor is there, so whoever is interrupted opens it again. Whoever has signed in
before and gets a link begins anew with it: password, factors and sessions from before are gone when it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from server import passwords
from server.failure import Failure
from server.services import passkey_protocol as protocol
from server.services import second_factors
from server.services.actor import Actor
from server.services.audit import note
from server.services.browsers import described
from server.services.context import Services
from server.services.directory import person_by_login
from server.services.doorkeeper import network
from server.services.failures import told
from server.services.forgetting import forget
from server.services.identities import digest, new_token
from server.services.second_factors import TotpOffer
from server.services.sign_in import TRIES, Challenge, SignedIn, enter, over, spend
from storage import people, sign_in_challenges, sign_in_ends, sign_in_factors
from storage.people import Person
from storage.sign_in_challenges import Challenge as Begun
from storage.sign_in_challenges import Invitation
from storage.tx import Tx

VALID = timedelta(hours=24)
ENROL = timedelta(minutes=15)  # to install an authenticator program, too
PATH = "/invitation/"
_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class NewInvitation:
    """Fields: see `server.commands.people.INVITED`. Whoever has the link is that person."""

    login: str
    link: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class InvitationView:
    login: str
    name: str = field(repr=False)
    language: str


async def create(services: Services, actor: Actor, *, login: str) -> NewInvitation:
    """In place of an older link of that person. Raises Failure."""
    now, token = services.clock(), new_token()
    async with services.db.transaction() as tx:
        person = await person_by_login(tx, login)
        if person.disabled_at is not None:
            raise Failure(f"{login} is disabled", "Invite somebody else, or unlock them", "conflict")
        made = await sign_in_challenges.invite(tx, person.id, digest(token), now, now + VALID)
        anew = await sign_in_factors.password(tx, person.id) is not None
        await note(services, tx, actor, "restore" if anew else "add", "invitation", person_id=person.id)
    return NewInvitation(login, services.settings.web.origin + PATH + token, made.expires_at)


async def look(services: Services, *, token: str) -> InvitationView:
    """Raises Failure: not_found."""
    with told():
        async with services.db.read() as tx:
            _, person = await _invited(services, tx, token)
    return InvitationView(person.login, person.display_name, person.language)


async def accept(
    services: Services, *, token: str, password: str, source: str, agent: str = "", language: str = ""
) -> Challenge:
    """The password is chosen; it counts once the second factor is there. Raises Failure: not_found, invalid.

    `language`: that in which somebody who comes for the first time has read so far. It stays theirs.
    """
    now, opened = services.clock(), new_token()
    with told():
        async with services.db.read() as tx:
            _, person = await _invited(services, tx, token)
        if why := passwords.weakness(password, person.login):
            raise Failure(why, "Take several words that nobody else would put together", "invalid")
        await spend(services, [("source", network(source))], source, person.id, "session")
        made = await services.doorkeeper.hashing(passwords.verifier, password, known=False)
        async with services.db.transaction() as tx:
            invitation, person = await _invited(services, tx, token)
            await sign_in_challenges.add(
                tx, person.id, "enrol", now, now + ENROL, token_sha256=digest(opened), invitation_id=invitation.id,
                browser=described(agent), held={"verifier": made.decode(), "language": language},
            )  # fmt: skip
    return Challenge(opened, enrol=True)


async def enrol_totp_offer(services: Services, *, challenge: str) -> TotpOffer:
    """The same secret for as long as the challenge lives, however often the page is loaded. Raises Failure."""
    with told():
        async with services.db.transaction() as tx:
            begun, person = await _begun(services, tx, challenge)
            secret = begun.held.get("totp")
            if secret is None:
                secret = second_factors.new_totp()
                await sign_in_challenges.hold(tx, begun, totp=secret)
    return second_factors.offer(services, person, challenge, secret)


async def enrol_totp(services: Services, *, challenge: str, code: str, source: str) -> tuple[SignedIn, list[str]]:
    """Signed in, with new recovery codes. Raises Failure: denied for a wrong code, not_found where it is over."""
    with told():
        async with services.db.transaction() as tx:
            begun, person = await _begun(services, tx, challenge)
            secret = begun.held.get("totp")
            step = None if secret is None else second_factors.step_of(services, secret, code)
            if step is None or secret is None:
                await _wrong(services, tx, begun, source, "totp")
            else:
                codes = await _new_password(services, tx, begun, source)
                await sign_in_factors.set_totp(tx, person.id, secret, services.clock(), last_step=step)
                signed_in = await enter(services, tx, person, begun, source)
        if step is None:
            raise second_factors.wrong_code()
        await forget(services)
    return signed_in, codes


async def enrol_passkey_request(services: Services, *, challenge: str) -> dict[str, Any]:
    """For navigator.credentials.create. Raises Failure."""
    with told():
        async with services.db.transaction() as tx:
            begun, person = await _begun(services, tx, challenge)
            asked, state = protocol.creation(services.settings, person, ())
            await sign_in_challenges.hold(tx, begun, passkey=state)
    return asked


async def enrol_passkey(
    services: Services, *, challenge: str, name: str, answer: Mapping[str, Any], source: str
) -> tuple[SignedIn, list[str]]:
    """As `enrol_totp`. `answer`: the credential as JSON."""
    with told():
        async with services.db.transaction() as tx:
            begun, person = await _begun(services, tx, challenge)
            state = begun.held.get("passkey")
            made = None if state is None else protocol.created(services.settings, state, answer)
            if made is None:
                await _wrong(services, tx, begun, source, "passkey")
            else:
                codes = await _new_password(services, tx, begun, source)
                await sign_in_factors.add_passkey(tx, person.id, named(name), *made, services.clock())
                signed_in = await enter(services, tx, person, begun, source)
        if made is None:
            raise second_factors.wrong_passkey()
        await forget(services)
    return signed_in, codes


def named(name: str) -> str:
    """What somebody calls their passkey."""
    plain = "".join(char for char in name if char.isprintable()).strip()
    return plain[:_LONGEST_NAME] or "passkey"


async def _invited(services: Services, tx: Tx, token: str) -> tuple[Invitation, Person]:
    """Raises Failure."""
    found = await sign_in_challenges.invitation(tx, digest(token), services.clock())
    person = None if found is None else await people.get(tx, found.person_id)
    if found is None or person is None or person.disabled_at is not None:
        raise Failure("this link is used up, or too old", "Ask whoever sent it for another", "not_found")
    return found, person


async def _begun(services: Services, tx: Tx, token: str) -> tuple[Begun, Person]:
    """Where the link by which it was begun is good still. Raises Failure."""
    now = services.clock()
    begun = await sign_in_challenges.by_token(tx, digest(token), "enrol", now)
    if begun is None or begun.invitation_id is None:
        raise over()
    person = await people.get(tx, begun.person_id)
    link = await sign_in_challenges.invitation_by_id(tx, begun.invitation_id, now)
    if link is None or person.disabled_at is not None:
        raise over()
    return begun, person


async def _wrong(services: Services, tx: Tx, begun: Begun, source: str, by: str) -> None:
    begun = await sign_in_challenges.failed(tx, begun)
    if begun.tries >= TRIES:
        await sign_in_challenges.end(tx, begun)
    await note(services, tx, Actor(begun.person_id, source), "add", by, outcome="wrong", person_id=begun.person_id)


async def _new_password(services: Services, tx: Tx, begun: Begun, source: str) -> list[str]:
    """All that was before is gone, the link too; the recovery codes."""
    first = await sign_in_factors.password(tx, begun.person_id) is None
    if first and (language := begun.held.get("language")):
        await people.set_language(tx, begun.person_id, language)
    await sign_in_ends.end_all(tx, begun.person_id)
    await sign_in_factors.drop_all(tx, begun.person_id)
    await sign_in_factors.set_password(tx, begun.person_id, begun.held["verifier"].encode(), services.clock())
    codes = await second_factors.new_recovery(tx, begun.person_id)
    await note(services, tx, Actor(begun.person_id, source), "add", "password", person_id=begun.person_id)
    return codes
