"""Where signing in ends: all at once for one person, or by itself for what has expired."""

from datetime import datetime

from sqlalchemy import delete

from storage import tables
from storage.tx import Tx

# What lets somebody in without a password.
_OPEN = (
    tables.sessions,
    tables.known_browsers,
    tables.sign_in_challenges,
    tables.invitations,
    tables.api_tokens,
)


async def end_all(tx: Tx, person_id: str) -> int:
    """Sessions, tokens, links and what was begun; how many sessions and tokens there were."""
    count = 0
    for table in _OPEN:
        gone = await tx.write(delete(table).where(table.c.person_id == person_id))
        count += gone if table in (tables.sessions, tables.api_tokens) else 0
    return count


async def remove_expired(tx: Tx, now: datetime) -> int:
    """They let nobody in any more; how many there were."""
    return sum([await tx.write(delete(table).where(table.c.expires_at <= now)) for table in _OPEN])
