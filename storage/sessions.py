"""Sessions of the portal, and the browsers that somebody has signed in with before.

A token is known by its SHA-256 alone. How long things last is the caller's to say; what has expired counts as gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import RowMapping, delete, insert, select, update

from storage import tables
from storage.errors import NotFound
from storage.ids import new_id
from storage.tx import Tx

_T = tables.sessions
_B = tables.known_browsers
_C = tables.sign_in_challenges
MOST_BROWSERS = 20  # of one person; the next takes the place of the one that expires first


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    person_id: str
    source: str = field(repr=False)  # the address that it was begun from
    browser: str  # "Firefox, Linux"
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    fresh_until: datetime | None


async def add(
    tx: Tx,
    person_id: str,
    token_sha256: bytes,
    now: datetime,
    *,
    source: str,
    browser: str,
    expires_at: datetime,
    fresh_until: datetime | None,
) -> Session:
    """Raises `Conflict` if there is no such person."""
    session_id = new_id()
    await tx.write(
        insert(_T).values(
            id=session_id,
            person_id=person_id,
            token_sha256=token_sha256,
            source_sealed=tx.keys.seal_text("sessions", "source", session_id, source),
            browser=browser,
            created_at=now,
            last_seen_at=now,
            expires_at=expires_at,
            fresh_until=fresh_until,
        )
    )
    return Session(session_id, person_id, source, browser, now, now, expires_at, fresh_until)


async def by_token(tx: Tx, token_sha256: bytes, now: datetime) -> Session | None:
    row = await tx.row(select(_T).where(_T.c.token_sha256 == token_sha256, _T.c.expires_at > now))
    return None if row is None else _session(tx, row)


async def get(tx: Tx, person_id: str, session_id: str, now: datetime) -> Session:
    """Raises `NotFound`, also for somebody else's."""
    row = await tx.row(select(_T).where(_T.c.id == session_id, _T.c.person_id == person_id, _T.c.expires_at > now))
    if row is None:
        raise NotFound("session", session_id)
    return _session(tx, row)


async def lives(tx: Tx, person_id: str, session_id: str, now: datetime) -> bool:
    try:
        await get(tx, person_id, session_id, now)
    except NotFound:
        return False
    return True


async def list_of(tx: Tx, person_id: str, now: datetime) -> tuple[Session, ...]:
    """Last seen first."""
    wanted = select(_T).where(_T.c.person_id == person_id, _T.c.expires_at > now)
    return tuple(_session(tx, row) for row in await tx.rows(wanted.order_by(_T.c.last_seen_at.desc(), _T.c.id)))


async def seen(tx: Tx, session_id: str, now: datetime, expires_at: datetime) -> None:
    await tx.write(update(_T).where(_T.c.id == session_id).values(last_seen_at=now, expires_at=expires_at))


async def freshen(tx: Tx, session_id: str, until: datetime) -> None:
    """The person has just proved who they are. Raises `NotFound`."""
    if not await tx.write(update(_T).where(_T.c.id == session_id).values(fresh_until=until)):
        raise NotFound("session", session_id)


async def end(tx: Tx, person_id: str, session_id: str) -> bool:
    """With what it had begun. Whether there was such a session of theirs."""
    await tx.write(delete(_C).where(_C.c.session_id == session_id, _C.c.person_id == person_id))
    return bool(await tx.write(delete(_T).where(_T.c.id == session_id, _T.c.person_id == person_id)))


async def end_others(tx: Tx, person_id: str, but: str | None) -> int:
    """All of a person but this one; how many."""
    every = [row["id"] for row in await tx.rows(select(_T.c.id).where(_T.c.person_id == person_id))]
    return sum([await end(tx, person_id, one) for one in every if one != but])


# --- browsers ---------------------------------------------------------------------------------------------------------


async def remember_browser(tx: Tx, person_id: str, token_sha256: bytes, expires_at: datetime) -> None:
    """Raises `Conflict` if there is no such person."""
    known = select(_B.c.id).where(_B.c.person_id == person_id).order_by(_B.c.expires_at.desc(), _B.c.id)
    too_many = [row["id"] for row in await tx.rows(known)][MOST_BROWSERS - 1 :]
    await forget_browsers(tx, too_many)
    row = {"id": new_id(), "person_id": person_id, "token_sha256": token_sha256, "expires_at": expires_at}
    await tx.write(insert(_B).values(**row))


async def known_browser(tx: Tx, person_id: str, token_sha256: bytes, now: datetime) -> str | None:
    """The id of this person's browser with that token."""
    wanted = select(_B.c.id).where(_B.c.token_sha256 == token_sha256, _B.c.person_id == person_id)
    row = await tx.row(wanted.where(_B.c.expires_at > now))
    return None if row is None else str(row["id"])


async def forget_browsers(tx: Tx, ids: Sequence[str]) -> None:
    if ids:
        await tx.write(delete(_B).where(_B.c.id.in_(ids)))


def _session(tx: Tx, row: RowMapping) -> Session:
    return Session(
        id=row["id"],
        person_id=row["person_id"],
        source=tx.keys.open_text("sessions", "source", row["id"], row["source_sealed"]),
        browser=row["browser"],
        created_at=row["created_at"],
        last_seen_at=row["last_seen_at"],
        expires_at=row["expires_at"],
        fresh_until=row["fresh_until"],
    )
