"""Who a person is to a request: their rights as they are now, and whose things are theirs."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping

from server.rights import Identity, Reach, narrowed
from server.services import roles
from storage import accounts
from storage.people import Person
from storage.sessions import Session
from storage.tx import Tx

TOKEN_BYTES = 32
_LONGEST_TOKEN = 200


def new_token() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def digest(token: str) -> bytes:
    """What the database knows of a token."""
    return hashlib.sha256(token[:_LONGEST_TOKEN].encode("utf-8", "surrogatepass")).digest()


async def read(
    tx: Tx,
    person: Person,
    *,
    session: Session | None = None,
    token_id: str | None = None,
    asked: Mapping[str, Reach] | None = None,
) -> Identity:
    """`asked`: what a token may do at most. Roles count from this moment on."""
    granted = await roles.granted(tx, person)
    own, team = await accounts.around(tx, person.id)
    return Identity(
        person_id=person.id,
        login=person.login,
        language=person.language,
        grants=granted if asked is None else narrowed(granted, asked),
        own=own,
        team=team,
        session_id=session.id if session else None,
        token_id=token_id,
        fresh_until=session.fresh_until if session else None,
        name=person.display_name,
    )
