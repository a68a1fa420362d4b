"""What the company has changed of the shipped roles: how far a right of theirs reaches, or that it is taken away.

What the words mean is decided elsewhere (`server.services.roles`).
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import delete, insert, select

from storage import tables
from storage.ids import require_in
from storage.people import ROLES
from storage.tx import Tx

NONE = "none"  # the role has it no more
REACHES = frozenset({NONE, "own", "team", "all"})
_T = tables.role_rights


async def changed(tx: Tx) -> dict[str, Mapping[str, str]]:
    """Role -> right -> reach, of those that are not as shipped."""
    found: dict[str, dict[str, str]] = {}
    for row in await tx.rows(select(_T)):
        found.setdefault(row["role"], {})[row["granted"]] = row["reach"]
    return dict(found)


async def put(tx: Tx, role: str, right: str, reach: str, now: datetime) -> None:
    """Raises `Invalid` for a role or a reach that there is not."""
    require_in("role", role, ROLES)
    require_in("reach", reach, REACHES)
    await take(tx, role, right)
    await tx.write(insert(_T).values(role=role, granted=right, reach=reach, changed_at=now))


async def take(tx: Tx, role: str, right: str | None = None) -> bool:
    """As shipped again: a right of it, or the whole role. Whether anything was different."""
    wanted = delete(_T).where(_T.c.role == role)
    return bool(await tx.write(wanted if right is None else wanted.where(_T.c.granted == right)))
