"""Tokens for programs: they act for a person, do no more than is written on them, and never more than the person may
at that moment. Shown once; the database holds their SHA-256."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from server.failure import Failure
from server.operation_rules import RIGHTS
from server.rights import Identity, Reach
from server.services import identities, masking, roles
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.directory import by_beginning, person_by_login
from server.services.failures import told
from server.services.identities import digest, new_token
from storage import api_tokens, people
from storage.api_tokens import ApiToken

PREFIX = "bfr_"
LONGEST_DAYS = 366
MOST = 50  # of one person
USED_EVERY = timedelta(minutes=1)
# A program makes no token and ends no session: whoever has one token would have the next.
NOT_BY_TOKEN = frozenset({"tokens.use", "sessions.use"})
_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class TokenView:
    """Fields: see `server.commands.sign_in.TOKEN_FIELDS`."""

    id: str
    name: str
    rights: Mapping[str, str]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewToken:
    """The text exists nowhere else."""

    token: TokenView
    text: str = field(repr=False)


async def create(
    services: Services,
    actor: Actor,
    *,
    login: str,
    name: str,
    rights: Mapping[str, Literal["own", "team", "all"]],
    days: int = 90,
) -> NewToken:
    """Raises Failure: a right that there is not, or that the person has not so far."""
    wanted = {right: Reach.parse(reach) for right, reach in rights.items()}
    unknown = sorted(wanted.keys() - RIGHTS) or sorted(wanted.keys() & NOT_BY_TOKEN)
    called = "".join(char for char in name if char.isprintable()).strip()[:_LONGEST_NAME]
    if unknown or not wanted:
        what = f"no token has the right {unknown[0][:40]}" if unknown else "a token without rights"
        raise Failure(what, "Give it some of: beffroi role show ROLE", "invalid")
    if not called or not 1 <= days <= LONGEST_DAYS:
        raise Failure(f"a token has a name, and lasts 1 to {LONGEST_DAYS} days", "Correct it", "invalid")
    now, text = services.clock(), PREFIX + new_token()
    async with services.db.transaction() as tx:
        person = await person_by_login(tx, login)
        if person.disabled_at is not None:
            raise Failure(f"{login} is disabled", "Type: beffroi person list", "conflict")
        held = await roles.granted(tx, person)
        if lacking := sorted(right for right, reach in wanted.items() if held.get(right, 0) < reach):
            raise Failure(f"{login} has the right {lacking[0]} not so far", "Ask for less", "invalid")
        if len(await api_tokens.list_of(tx, person.id, now)) >= MOST:
            raise Failure(f"{login} has {MOST} tokens", "Revoke one that nothing uses any more", "conflict")
        said = {right: str(reach) for right, reach in wanted.items()}
        made = await api_tokens.add(tx, person.id, digest(text), called, said, now, now + timedelta(days=days))
        await note(services, tx, actor, "add", "token", token_id=made.id, person_id=person.id)
    return NewToken(_view(made, masked=False), text)


async def list_(services: Services, actor: Actor, *, login: str) -> list[TokenView]:
    """The oldest first; none that is over."""
    async with services.db.transaction() as tx:
        person = await person_by_login(tx, login)
        found = await api_tokens.list_of(tx, person.id, services.clock())
        await note(services, tx, actor, "list", "token", count=len(found), person_id=person.id)
    return [_view(one, masked=actor.masked and actor.who != person.id) for one in found]


async def revoke(services: Services, actor: Actor, *, login: str, token: str) -> TokenView:
    """By its id or the beginning of it; it counts from the next request on. Raises Failure."""
    async with services.db.transaction() as tx:
        person = await person_by_login(tx, login)
        every = await api_tokens.list_of(tx, person.id, services.clock())
        none = Failure(f"no token {token[:40]} of {login}", f"Type: beffroi token list {login}", "not_found")
        found = by_beginning(every, token, none)
        await api_tokens.revoke(tx, person.id, found.id)
        await note(services, tx, actor, "revoke", "token", token_id=found.id, person_id=person.id)
    return _view(found, masked=actor.masked and actor.who != person.id)


async def identify_token(services: Services, *, token: str) -> Identity | None:
    """Asked with each request of a program. None where it is over, or its person disabled. Raises Failure."""
    now = services.clock()
    if not token.startswith(PREFIX):
        return None
    with told():
        async with services.db.read() as tx:
            found = await api_tokens.by_token(tx, digest(token), now)
            if found is None:
                return None
            person = await people.get(tx, found.person_id)
            if person.disabled_at is not None:
                return None
            asked = {right: Reach.parse(word) for right, word in found.rights.items() if right not in NOT_BY_TOKEN}
            identity = await identities.read(tx, person, token_id=found.id, asked=asked)
        if found.last_used_at is None or now - found.last_used_at >= USED_EVERY:
            async with services.db.transaction() as tx:
                await api_tokens.used(tx, found.id, now)
    return identity


def _view(one: ApiToken, *, masked: bool) -> TokenView:
    name = masking.name(one.name) if masked else one.name
    return TokenView(one.id, name, one.rights, one.created_at, one.expires_at, one.last_used_at)
