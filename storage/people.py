"""Persons: who signs in, reads, administers. The display name is personal data and sealed; the login is internal."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping, insert, select, update

from storage import sign_in_ends, tables
from storage.errors import Invalid, NotFound
from storage.ids import ACCOUNT_NAME, LANGUAGE, new_id, require
from storage.tx import Tx

# "circle": may ask who calls whom, which is a right of its own and comes with no other role.
ROLES = frozenset(
    {"admin", "auditor", "circle", "compliance", "dpo", "employee", "legal", "quality", "reader", "security"}
    | {"supervisor"}
)
_T = tables.people


@dataclass(frozen=True, slots=True)
class Person:
    id: str
    login: str  # shape of ids.ACCOUNT_NAME
    display_name: str
    roles: frozenset[str]  # of ROLES
    language: str  # "fr"
    created_at: datetime
    disabled_at: datetime | None


async def add(
    tx: Tx, login: str, display_name: str, now: datetime, *, roles: Iterable[str] = ("employee",), language: str = "fr"
) -> Person:
    """Raises `Duplicate("login")`, `Invalid`."""
    person_id = new_id()
    await tx.write(
        insert(_T).values(
            id=person_id,
            login=require("login", login, ACCOUNT_NAME),
            display_name_sealed=tx.keys.seal_text("people", "display_name", person_id, display_name),
            roles=_roles(roles),
            language=require("language", language, LANGUAGE),
            created_at=now,
        )
    )
    return await get(tx, person_id)


async def get(tx: Tx, person_id: str) -> Person:
    """Disabled ones too. Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.id == person_id))
    if row is None:
        raise NotFound("person", person_id)
    return _person(tx, row)


async def by_login(tx: Tx, login: str) -> Person:
    """Disabled ones too. Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.login == login))
    if row is None:
        raise NotFound("person")
    return _person(tx, row)


async def list_all(tx: Tx) -> tuple[Person, ...]:
    """By login, disabled ones included."""
    return tuple(_person(tx, row) for row in await tx.rows(select(_T).order_by(_T.c.login)))


async def logins(tx: Tx) -> dict[str, str]:
    """Of everybody, by id."""
    rows = await tx.rows(select(_T.c.id, _T.c.login))
    return {row["id"]: row["login"] for row in rows}


async def disable(tx: Tx, person_id: str, now: datetime) -> Person:
    """From now on nothing may be opened or changed in this person's name; who is signed in is so no more. Raises
    `NotFound`."""
    await sign_in_ends.end_all(tx, person_id)
    return await _change(tx, person_id, disabled_at=now)


async def enable(tx: Tx, person_id: str) -> Person:
    """Takes `disable` back. Raises `NotFound`."""
    return await _change(tx, person_id, disabled_at=None)


async def set_roles(tx: Tx, person_id: str, roles: Iterable[str]) -> Person:
    """Raises `NotFound`, `Invalid`."""
    return await _change(tx, person_id, roles=_roles(roles))


async def set_language(tx: Tx, person_id: str, language: str) -> Person:
    """Raises `NotFound`, `Invalid`."""
    return await _change(tx, person_id, language=require("language", language, LANGUAGE))


async def _change(tx: Tx, person_id: str, **values: object) -> Person:
    if not await tx.write(update(_T).where(_T.c.id == person_id).values(**values)):
        raise NotFound("person", person_id)
    return await get(tx, person_id)


def _roles(roles: Iterable[str]) -> list[str]:
    wanted = frozenset(roles)
    if not wanted <= ROLES:
        raise Invalid("roles", f"must be among {', '.join(sorted(ROLES))}")
    return sorted(wanted)


def _person(tx: Tx, row: RowMapping) -> Person:
    return Person(
        id=row["id"],
        login=row["login"],
        display_name=tx.keys.open_text("people", "display_name", row["id"], row["display_name_sealed"]),
        roles=frozenset(row["roles"]),
        language=row["language"],
        created_at=row["created_at"],
        disabled_at=row["disabled_at"],
    )
