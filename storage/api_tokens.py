"""Tokens by which programs act for a person: known by their SHA-256 alone, dated, gone when revoked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import RowMapping, delete, insert, select, update

from storage import tables
from storage.ids import new_id
from storage.tx import Tx

_T = tables.api_tokens


@dataclass(frozen=True, slots=True)
class ApiToken:
    """`rights`: right -> own, team or all, at most."""

    id: str
    person_id: str
    name: str = field(repr=False)
    rights: Mapping[str, str]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


async def add(
    tx: Tx,
    person_id: str,
    token_sha256: bytes,
    name: str,
    rights: Mapping[str, str],
    now: datetime,
    expires_at: datetime,
) -> ApiToken:
    """Raises `Conflict` if there is no such person."""
    token_id = new_id()
    await tx.write(
        insert(_T).values(
            id=token_id,
            person_id=person_id,
            token_sha256=token_sha256,
            name_sealed=tx.keys.seal_text("api_tokens", "name", token_id, name),
            rights=dict(rights),
            created_at=now,
            expires_at=expires_at,
        )
    )
    return ApiToken(token_id, person_id, name, dict(rights), now, expires_at, None)


async def by_token(tx: Tx, token_sha256: bytes, now: datetime) -> ApiToken | None:
    row = await tx.row(select(_T).where(_T.c.token_sha256 == token_sha256, _T.c.expires_at > now))
    return None if row is None else _token(tx, row)


async def list_of(tx: Tx, person_id: str, now: datetime) -> tuple[ApiToken, ...]:
    """The oldest first."""
    wanted = select(_T).where(_T.c.person_id == person_id, _T.c.expires_at > now).order_by(_T.c.created_at, _T.c.id)
    return tuple(_token(tx, row) for row in await tx.rows(wanted))


async def used(tx: Tx, token_id: str, now: datetime) -> None:
    await tx.write(update(_T).where(_T.c.id == token_id).values(last_used_at=now))


async def revoke(tx: Tx, person_id: str, token_id: str) -> bool:
    """Whether there was such a token of theirs."""
    return bool(await tx.write(delete(_T).where(_T.c.id == token_id, _T.c.person_id == person_id)))


def _token(tx: Tx, row: RowMapping) -> ApiToken:
    return ApiToken(
        id=row["id"],
        person_id=row["person_id"],
        name=tx.keys.open_text("api_tokens", "name", row["id"], row["name_sealed"]),
        rights=row["rights"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
    )
