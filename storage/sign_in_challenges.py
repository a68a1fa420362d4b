"""What was begun and waits for its second half, and the links of a first sign-in. Both live in the database, so a
restart in between does not matter."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, delete, insert, select, update

from storage import tables
from storage.ids import new_id, require_in
from storage.tx import Tx
from storage.types import canonical_json

# sign_in: the password was right; enrol: a first sign-in; of a session: a new authenticator program, a new passkey, or
# a passkey that is asked for once more.
KINDS = frozenset({"sign_in", "enrol", "totp_offer", "passkey_offer", "step_up"})
_T = tables.sign_in_challenges
_I = tables.invitations


@dataclass(frozen=True, slots=True)
class Challenge:
    """`held`: what only we may know of it."""

    id: str
    person_id: str
    kind: str
    session_id: str | None
    invitation_id: str | None
    browser_id: str | None
    browser: str
    held: Mapping[str, Any] = field(repr=False)
    tries: int  # wrong answers so far
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Invitation:
    id: str
    person_id: str
    created_at: datetime
    expires_at: datetime


async def add(
    tx: Tx,
    person_id: str,
    kind: str,
    now: datetime,
    expires_at: datetime,
    *,
    token_sha256: bytes | None = None,
    session_id: str | None = None,
    invitation_id: str | None = None,
    browser_id: str | None = None,
    browser: str = "",
    held: Mapping[str, Any] | None = None,
) -> Challenge:
    """One of a session takes the place of an older one of its kind. Raises `Invalid`, `Conflict`."""
    if session_id is not None:
        await tx.write(delete(_T).where(_T.c.session_id == session_id, _T.c.kind == kind))
    challenge_id = new_id()
    made = Challenge(
        challenge_id, person_id, require_in("kind", kind, KINDS), session_id, invitation_id, browser_id, browser,
        held or {}, 0, expires_at,
    )  # fmt: skip
    await tx.write(
        insert(_T).values(
            id=challenge_id,
            person_id=person_id,
            kind=kind,
            token_sha256=token_sha256,
            session_id=session_id,
            invitation_id=invitation_id,
            browser_id=browser_id,
            browser=browser,
            held_sealed=_sealed(tx, made),
            tries=0,
            created_at=now,
            expires_at=expires_at,
        )
    )
    return made


async def by_token(tx: Tx, token_sha256: bytes, kind: str, now: datetime) -> Challenge | None:
    """In a write transaction nobody else has it until that ends."""
    return await _one(tx, select(_T).where(_T.c.token_sha256 == token_sha256, _T.c.kind == kind, _T.c.expires_at > now))


async def of_session(tx: Tx, session_id: str, kind: str, now: datetime) -> Challenge | None:
    """As `by_token`."""
    return await _one(tx, select(_T).where(_T.c.session_id == session_id, _T.c.kind == kind, _T.c.expires_at > now))


async def hold(tx: Tx, challenge: Challenge, **values: Any) -> Challenge:
    """Keep more of it."""
    changed = replace(challenge, held={**challenge.held, **values})
    await tx.write(update(_T).where(_T.c.id == challenge.id).values(held_sealed=_sealed(tx, changed)))
    return changed


async def failed(tx: Tx, challenge: Challenge) -> Challenge:
    """One wrong answer more."""
    await tx.write(update(_T).where(_T.c.id == challenge.id).values(tries=_T.c.tries + 1))
    return replace(challenge, tries=challenge.tries + 1)


async def end(tx: Tx, challenge: Challenge) -> None:
    """It is over, whatever came of it."""
    await tx.write(delete(_T).where(_T.c.id == challenge.id))


async def end_begun(tx: Tx, person_id: str) -> None:
    """Sign-ins that were begun with a password that counts no more."""
    await tx.write(delete(_T).where(_T.c.person_id == person_id, _T.c.kind == "sign_in"))


# --- invitations ------------------------------------------------------------------------------------------------------


async def invite(tx: Tx, person_id: str, token_sha256: bytes, now: datetime, expires_at: datetime) -> Invitation:
    """In place of an older one of this person. Raises `Conflict` if there is no such person."""
    await uninvite(tx, person_id)
    made = Invitation(new_id(), person_id, now, expires_at)
    await tx.write(
        insert(_I).values(
            id=made.id, person_id=person_id, token_sha256=token_sha256, created_at=now, expires_at=expires_at
        )
    )
    return made


async def invitation(tx: Tx, token_sha256: bytes, now: datetime) -> Invitation | None:
    row = await tx.row(_locked(tx, select(_I).where(_I.c.token_sha256 == token_sha256, _I.c.expires_at > now)))
    return None if row is None else _invitation(row)


async def invitation_by_id(tx: Tx, invitation_id: str, now: datetime) -> Invitation | None:
    row = await tx.row(_locked(tx, select(_I).where(_I.c.id == invitation_id, _I.c.expires_at > now)))
    return None if row is None else _invitation(row)


async def uninvite(tx: Tx, person_id: str) -> int:
    """Every link of a person, with what was begun by it; how many links."""
    await tx.write(delete(_T).where(_T.c.person_id == person_id, _T.c.kind == "enrol"))
    return await tx.write(delete(_I).where(_I.c.person_id == person_id))


async def _one(tx: Tx, wanted: Select[Any]) -> Challenge | None:
    row = await tx.row(_locked(tx, wanted))
    if row is None:
        return None
    held = tx.keys.open("sign_in_challenges", "held", row["id"], row["held_sealed"])
    return Challenge(
        id=row["id"],
        person_id=row["person_id"],
        kind=row["kind"],
        session_id=row["session_id"],
        invitation_id=row["invitation_id"],
        browser_id=row["browser_id"],
        browser=row["browser"],
        held=json.loads(held),
        tries=row["tries"],
        expires_at=row["expires_at"],
    )


def _locked(tx: Tx, wanted: Select[Any]) -> Select[Any]:
    return wanted.with_for_update() if tx.writable else wanted


def _sealed(tx: Tx, challenge: Challenge) -> bytes:
    return tx.keys.seal("sign_in_challenges", "held", challenge.id, canonical_json(dict(challenge.held)))


def _invitation(row: RowMapping) -> Invitation:
    return Invitation(row["id"], row["person_id"], row["created_at"], row["expires_at"])
