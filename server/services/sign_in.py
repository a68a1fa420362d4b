"""Signing in to the portal: a password, then a second factor; never one without the other (promise 0.2).

What was begun, sessions and links live in the database: a restart in between does not matter. Of each token it knows
the SHA-256 alone. Each sign-in makes a new token, so none can be planted before. Each refusal is written down.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from server import passwords
from server.failure import Failure
from server.rights import Identity
from server.services import identities, second_factors
from server.services.actor import SYSTEM, Actor
from server.services.audit import note
from server.services.browsers import described
from server.services.context import Services
from server.services.directory import person_by_login
from server.services.doorkeeper import Key, Verdict, code_keys, password_keys, throttled
from server.services.failures import told
from server.services.identities import digest, new_token
from storage import people, sessions, sign_in_challenges, sign_in_factors
from storage.errors import NotFound
from storage.ids import ACCOUNT_NAME
from storage.people import Person
from storage.sessions import Session
from storage.sign_in_challenges import Challenge as Begun
from storage.tx import Tx

IDLE = timedelta(hours=12)
LONGEST = timedelta(days=7)
FRESH = timedelta(minutes=10)
CHALLENGE = timedelta(minutes=5)
BROWSER = timedelta(days=180)
SEEN_EVERY = timedelta(minutes=1)
TRIES = 5
_NOBODY = "0" * 32  # is asked about where there is no such login, so that it takes as long

# What tries a factor: transaction and challenge in, the outcome out.
_Try = Callable[[Tx, Begun], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Challenge:
    """The password was right; by what else one may prove who one is. `enrol`: there is nothing yet."""

    token: str = field(repr=False)
    totp: bool = False
    passkeys: bool = False
    recovery: bool = False
    enrol: bool = False


@dataclass(frozen=True, slots=True)
class SignedIn:
    """`browser_token`: by which this browser is known the next time."""

    session_token: str = field(repr=False)
    browser_token: str = field(repr=False)
    identity: Identity


def over() -> Failure:
    """What was begun is over, was used, or never was."""
    return Failure("that took too long", "Begin again", "not_found")


# --- who is it --------------------------------------------------------------------------------------------------------


async def identify(services: Services, *, session_token: str, counts: bool = True) -> Identity | None:
    """Asked with each request. None where the session is over or the person disabled. Raises Failure.

    `counts` False: a page that is only left open asks, and nobody does anything.
    """
    now = services.clock()
    with told():
        async with services.db.read() as tx:
            session = await sessions.by_token(tx, digest(session_token), now)
            if session is None:
                return None
            person = await people.get(tx, session.person_id)
            if person.disabled_at is not None:
                return None
            identity = await identities.read(tx, person, session=session)
        if counts and now - session.last_seen_at >= SEEN_EVERY:
            async with services.db.transaction() as tx:
                await sessions.seen(tx, session.id, now, _end(session, now))
    return identity


async def identity_of(services: Services, *, login: str) -> Identity:
    """Without a session: what that person may do. Raises Failure: not_found."""
    with told():
        async with services.db.read() as tx:
            return await identities.read(tx, await person_by_login(tx, login))


# --- the password -----------------------------------------------------------------------------------------------------


async def start(
    services: Services, *, login: str, password: str, source: str, browser: str = "", agent: str = ""
) -> Challenge:
    """`browser`: the token of a browser that was signed in with before. `agent`: what it says it is.

    Raises Failure: denied, in the same words and after the same time for a login that there is not, a wrong password
    and somebody who is disabled; throttled.
    """
    with told():
        person, browser_id, known = await _asked(services, login, browser)
        keys = password_keys(login, source, browser_id)
        await spend(services, keys, source, person.id if person else None, "session")
        keeper, is_known = services.doorkeeper, browser_id is not None
        right = await keeper.hashing(passwords.proves, password, known, known=is_known)
        challenge = await _begin(services, person, known, browser_id, agent) if right and person else None
        if challenge is None or person is None:
            await _refused(services, source, person.id if person else None, "session", "wrong")
            raise Failure("login or password is not right", "Type both again", "denied")
        keeper.budgets.give_back(keys, services.clock())
        if passwords.is_outdated(known or b""):
            await _hash_anew(services, person, password, known or b"", is_known=is_known)
        return challenge


async def _asked(services: Services, login: str, browser: str) -> tuple[Person | None, str | None, bytes | None]:
    """The person, whether the browser is known as theirs, and what the password is checked against."""
    async with services.db.read() as tx:
        try:
            person = await people.by_login(tx, login if ACCOUNT_NAME.fullmatch(login) else "")
        except NotFound:
            person = None
        person_id = person.id if person else _NOBODY
        browser_id = await sessions.known_browser(tx, person_id, digest(browser), services.clock())
        return person, browser_id, await sign_in_factors.password(tx, person_id)


async def _begin(
    services: Services, person: Person, known: bytes | None, browser_id: str | None, agent: str
) -> Challenge | None:
    """None for somebody who may not sign in, has nothing to prove it by, or has changed the password meanwhile."""
    now, token = services.clock(), new_token()
    async with services.db.transaction() as tx:
        if (await people.get(tx, person.id)).disabled_at is not None:
            return None
        if await sign_in_factors.password(tx, person.id) != known:
            return None
        totp = await sign_in_factors.totp_secret(tx, person.id) is not None
        keys = bool(await sign_in_factors.passkeys(tx, person.id))
        if not totp and not keys:
            return None
        recovery = await sign_in_factors.recovery_left(tx, person.id) > 0
        await sign_in_challenges.add(
            tx, person.id, "sign_in", now, now + CHALLENGE, token_sha256=digest(token), browser_id=browser_id,
            browser=described(agent),
        )  # fmt: skip
    return Challenge(token, totp, keys, recovery)


async def _hash_anew(services: Services, person: Person, password: str, known: bytes, *, is_known: bool) -> None:
    """The parameters have changed since. Where there is no room for it now, or the password has changed meanwhile, it
    is left for another time."""
    try:
        made = await services.doorkeeper.hashing(passwords.verifier, password, known=is_known)
    except Failure:
        return
    async with services.db.transaction() as tx:
        await sign_in_factors.lock(tx, person.id)
        if await sign_in_factors.password(tx, person.id) != known:
            return
        await sign_in_factors.set_password(tx, person.id, made, services.clock())


# --- the second factor ------------------------------------------------------------------------------------------------


async def finish_totp(services: Services, *, challenge: str, code: str, source: str) -> SignedIn:
    """Raises Failure: denied for a wrong code or one that was used, not_found where it is over, throttled."""

    async def tried(tx: Tx, begun: Begun) -> str:
        return await second_factors.try_totp(services, tx, begun.person_id, code)

    return await _finish(services, challenge, source, "totp", tried)


async def finish_recovery(services: Services, *, challenge: str, code: str, source: str) -> SignedIn:
    """As `finish_totp`; the code is gone."""

    async def tried(tx: Tx, begun: Begun) -> str:
        return await second_factors.try_recovery(tx, begun.person_id, code)

    return await _finish(services, challenge, source, "recovery", tried)


async def passkey_request(services: Services, *, challenge: str) -> dict[str, Any]:
    """For navigator.credentials.get. Raises Failure: not_found."""
    with told():
        async with services.db.transaction() as tx:
            begun = await _begun(services, tx, challenge)
            asked, state = await second_factors.passkey_request(services, tx, begun.person_id)
            await sign_in_challenges.hold(tx, begun, passkey=state)
    return asked


async def finish_passkey(services: Services, *, challenge: str, answer: Mapping[str, Any], source: str) -> SignedIn:
    """`answer`: the credential as JSON. Raises Failure as `finish_totp`."""

    async def tried(tx: Tx, begun: Begun) -> str:
        state = begun.held.get("passkey")
        if state is None:
            return "wrong"
        await sign_in_challenges.hold(tx, begun, passkey=None)  # each request is answered once
        return await second_factors.try_passkey(services, tx, begun.person_id, state, answer)

    return await _finish(services, challenge, source, "passkey", tried)


async def _finish(services: Services, token: str, source: str, by: str, tried: _Try) -> SignedIn:
    with told():
        async with services.db.read() as tx:
            begun = await _begun(services, tx, token)
            person = await people.get(tx, begun.person_id)
        keys = code_keys(begun.person_id, source, begun.browser_id) if by != "passkey" else []
        await spend(services, keys, source, person.id, by)
        async with services.db.transaction() as tx:
            begun = await _begun(services, tx, token)
            outcome = await tried(tx, begun)
            if outcome == "done":
                signed_in = await enter(services, tx, person, begun, source)
            else:
                await _count(services, tx, begun, source, by, outcome)
        if outcome != "done":
            raise second_factors.wrong_passkey() if by == "passkey" else second_factors.wrong_code()
        services.doorkeeper.budgets.give_back(keys, services.clock())
        return signed_in


async def _begun(services: Services, tx: Tx, token: str) -> Begun:
    """Raises Failure."""
    begun = await sign_in_challenges.by_token(tx, digest(token), "sign_in", services.clock())
    if begun is None or (await people.get(tx, begun.person_id)).disabled_at is not None:
        raise over()
    return begun


async def _count(services: Services, tx: Tx, begun: Begun, source: str, by: str, outcome: str) -> None:
    """A wrong answer; after a few it has to begin again."""
    begun = await sign_in_challenges.failed(tx, begun)
    if begun.tries >= TRIES:
        await sign_in_challenges.end(tx, begun)
    await note(services, tx, Actor(SYSTEM, source), "sign_in", by, outcome=outcome, person_id=begun.person_id)


async def enter(services: Services, tx: Tx, person: Person, begun: Begun, source: str) -> SignedIn:
    """A new session for whoever has proved who they are twice: the one place where sessions are made."""
    now, token, browser = services.clock(), new_token(), new_token()
    await sign_in_challenges.end(tx, begun)
    session = await sessions.add(
        tx,
        person.id,
        digest(token),
        now,
        source=source[:100],
        browser=begun.browser,
        expires_at=now + IDLE,
        fresh_until=now + FRESH,
    )
    await sessions.forget_browsers(tx, [begun.browser_id] if begun.browser_id else [])
    await sessions.remember_browser(tx, person.id, digest(browser), now + BROWSER)
    await note(services, tx, Actor(person.id, source), "sign_in", "session", session_id=session.id, person_id=person.id)
    return SignedIn(token, browser, await identities.read(tx, person, session=session))


# --- once more --------------------------------------------------------------------------------------------------------


async def step_up_totp(services: Services, identity: Identity, *, code: str, source: str) -> None:
    """Raises Failure: denied, throttled."""

    async def tried(tx: Tx) -> str:
        return await second_factors.try_totp(services, tx, identity.person_id, code)

    await _step_up(services, identity, source, "totp", tried)


async def step_up_passkey_request(services: Services, identity: Identity) -> dict[str, Any]:
    """For navigator.credentials.get. Raises Failure: not_found."""
    now = services.clock()
    with told():
        async with services.db.transaction() as tx:
            session_id = (await session_of(tx, identity, now)).id
            asked, state = await second_factors.passkey_request(services, tx, identity.person_id)
            await sign_in_challenges.add(
                tx, identity.person_id, "step_up", now, now + CHALLENGE, session_id=session_id, held={"passkey": state}
            )
    return asked


async def step_up_passkey(services: Services, identity: Identity, *, answer: Mapping[str, Any], source: str) -> None:
    """Raises Failure: denied, not_found where nothing was asked."""

    async def tried(tx: Tx) -> str:
        session_id = (await session_of(tx, identity, services.clock())).id
        begun = await sign_in_challenges.of_session(tx, session_id, "step_up", services.clock())
        if begun is None:
            raise over()
        await sign_in_challenges.end(tx, begun)
        return await second_factors.try_passkey(services, tx, identity.person_id, begun.held["passkey"], answer)

    await _step_up(services, identity, source, "passkey", tried)


async def _step_up(
    services: Services, identity: Identity, source: str, by: str, tried: Callable[[Tx], Awaitable[str]]
) -> None:
    keys: list[Key] = [("browser", f"session {identity.session_id}")] if by == "totp" else []
    with told():
        await spend(services, keys, source, identity.person_id, by)
        async with services.db.transaction() as tx:
            session_id = (await session_of(tx, identity, services.clock())).id
            outcome = await tried(tx)
            if outcome == "done":
                await sessions.freshen(tx, session_id, services.clock() + FRESH)
            await note(services, tx, Actor(identity.person_id, source), "verify", by, outcome=outcome,
                       session_id=session_id, person_id=identity.person_id)  # fmt: skip
        if outcome != "done":
            raise second_factors.wrong_passkey() if by == "passkey" else second_factors.wrong_code()


async def session_of(tx: Tx, identity: Identity, now: datetime) -> Session:
    """Of somebody who is signed in still. Raises Failure."""
    if identity.session_id is None:
        raise Failure("that is done in the portal alone", "Sign in there", "denied")
    try:
        return await sessions.get(tx, identity.person_id, identity.session_id, now)
    except NotFound:
        raise Failure("you are not signed in any more", "Sign in", "denied") from None


async def sign_out(services: Services, identity: Identity) -> None:
    """The session is over, here and in every other tab, and with it what it has unlocked. Raises Failure."""
    if identity.session_id:
        await services.reader_rooms.end(identity.session_id)
    with told():
        async with services.db.transaction() as tx:
            if identity.session_id and await sessions.end(tx, identity.person_id, identity.session_id):
                await note(services, tx, Actor(identity.person_id, identity.source), "revoke", "session",
                           session_id=identity.session_id, person_id=identity.person_id)  # fmt: skip


# --- what is held up and written down ---------------------------------------------------------------------------------


async def spend(services: Services, keys: list[Key], source: str, person_id: str | None, by: str) -> None:
    """Raises Failure. That a budget is spent is written down once, not with each attempt that comes after. `by`: by
    what somebody tried to prove who they are."""
    verdict = services.doorkeeper.budgets.take(keys, services.clock())
    if verdict is Verdict.FREE:
        return
    if verdict is Verdict.NOW:
        await _refused(services, source, person_id, by, "locked")
    raise throttled()


async def _refused(services: Services, source: str, person_id: str | None, by: str, outcome: str) -> None:
    """Nobody has proved who they are, so the person is whom it is about, and not who did it."""
    async with services.db.transaction() as tx:
        await note(services, tx, Actor(SYSTEM, source), "sign_in", by, outcome=outcome, person_id=person_id)


def _end(session: Session, now: datetime) -> datetime:
    return min(now + IDLE, session.created_at + LONGEST)
