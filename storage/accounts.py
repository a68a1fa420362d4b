"""Accounts: what a call comes from and goes to. An account has any number of devices."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping, bindparam, delete, func, insert, or_, select, update

from storage import call_settings, dialplan, emergency_calls, inboxes, limits, mail_logins, numbers_owned, tables, usage
from storage.errors import NotFound
from storage.ids import ACCOUNT_NAME, COUNTRY, DIALLED, LANGUAGE, new_id, require, require_in
from storage.tx import Tx

METADATA_CLASSES = frozenset({"none", "minimal", "standard"})
_IN_ONE = 500  # names in one statement
_T = tables.accounts
_OWN, _LINES = tables.accounts.alias(), tables.lines
_MINE, _OTHERS = tables.line_members.alias(), tables.line_members.alias()
_BESIDE = (
    select(_OTHERS.c.account_id)
    .join(_LINES, _LINES.c.id == _OTHERS.c.line_id)
    .join(_MINE, _MINE.c.line_id == _OTHERS.c.line_id)
    .join(_OWN, _OWN.c.id == _MINE.c.account_id)
    .where(_LINES.c.disabled_at.is_(None), _OWN.c.person_id == bindparam("person_id"))
)
_AROUND = select(_T.c.name, _T.c.person_id, _T.c.id.in_(_BESIDE).label("beside")).where(
    or_(_T.c.person_id == bindparam("person_id"), _T.c.id.in_(_BESIDE))
)
_NAMING = (
    *(tables.devices, tables.line_members, tables.dialled, tables.call_settings),
    *(tables.owned_numbers, tables.emergency_calls, tables.mail_logins, tables.inboxes, tables.sms_waiting),
)


@dataclass(frozen=True, slots=True)
class Account:
    id: str
    name: str  # SIP user part, shape of ids.ACCOUNT_NAME
    extension: str  # digits, * and #
    person_id: str | None
    display_name: str
    country: str  # "FR"
    language: str  # "fr"
    metadata_class: str | None  # stricter or laxer than the line's; None: the line's
    created_at: datetime
    disabled_at: datetime | None
    given_at: datetime | None = None  # since when it is whose it is now; None: since it was made

    @property
    def theirs_since(self) -> datetime:
        """From when it belongs to whom it belongs now. What it did before is somebody else's."""
        return self.given_at or self.created_at


async def add(
    tx: Tx,
    name: str,
    extension: str,
    display_name: str,
    now: datetime,
    *,
    person_id: str | None = None,
    country: str = "FR",
    language: str = "fr",
    metadata_class: str | None = None,
) -> Account:
    """Raises `Duplicate` ("name", "extension", or "dialled" when a line or another account has it), `Invalid`."""
    account_id = new_id()
    await tx.write(
        insert(_T).values(
            id=account_id,
            name=require("name", name, ACCOUNT_NAME),
            extension=require("extension", extension, DIALLED),
            person_id=person_id,
            display_name_sealed=tx.keys.seal_text("accounts", "display_name", account_id, display_name),
            country=require("country", country, COUNTRY),
            language=require("language", language, LANGUAGE),
            metadata_class=metadata_class and require_in("metadata_class", metadata_class, METADATA_CLASSES),
            created_at=now,
        )
    )
    for dialled in dict.fromkeys((name, extension)):
        await dialplan.claim(tx, dialled, account_id=account_id)
    return await get(tx, account_id)


async def get(tx: Tx, account_id: str) -> Account:
    """Disabled ones too. Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.id == account_id))
    if row is None:
        raise NotFound("account", account_id)
    return _account(tx, row)


async def by_dialled(tx: Tx, dialled: str) -> Account | None:
    """The enabled account with that name or extension; None if there is none (a line perhaps: `lines.by_number`)."""
    plan = tables.dialled
    found = select(_T).join(plan, plan.c.account_id == _T.c.id)
    row = await tx.row(found.where(plan.c.dialled == dialled, _T.c.disabled_at.is_(None)))
    return None if row is None else _account(tx, row)


async def list_all(tx: Tx) -> tuple[Account, ...]:
    """By name, disabled ones included."""
    return tuple(_account(tx, row) for row in await tx.rows(select(_T).order_by(_T.c.name)))


async def names(tx: Tx) -> dict[str, str]:
    """Id to name of all, disabled ones included."""
    return {row["id"]: row["name"] for row in await tx.rows(select(_T.c.id, _T.c.name))}


async def named(tx: Tx, names: Collection[str]) -> tuple[Account, ...]:
    """Those of these names that there are, disabled ones included."""
    wanted = sorted(names)
    found: list[Account] = []
    for start in range(0, len(wanted), _IN_ONE):
        some = _T.c.name.in_(wanted[start : start + _IN_ONE])
        found += [_account(tx, row) for row in await tx.rows(select(_T).where(some).order_by(_T.c.name))]
    return tuple(found)


async def around(tx: Tx, person_id: str) -> tuple[frozenset[str], frozenset[str]]:
    """Names of a person's accounts, disabled ones included; and of those that share a line with one of them, their own
    among these. Asked with each request of the portal: one statement."""
    rows = await tx.rows(_AROUND.params(person_id=person_id))
    own = frozenset(row["name"] for row in rows if row["person_id"] == person_id)
    return own, frozenset(row["name"] for row in rows if row["beside"])


async def disable(tx: Tx, account_id: str, now: datetime) -> Account:
    """Calls nobody but emergency services and is not called any more; keeps name and extension. Raises `NotFound`."""
    if not await tx.write(update(_T).where(_T.c.id == account_id).values(disabled_at=now)):
        raise NotFound("account", account_id)
    return await get(tx, account_id)


async def enable(tx: Tx, account_id: str) -> Account:
    """Takes `disable` back. Raises `NotFound`."""
    if not await tx.write(update(_T).where(_T.c.id == account_id).values(disabled_at=None)):
        raise NotFound("account", account_id)
    return await get(tx, account_id)


async def give(tx: Tx, account_id: str, person_id: str | None, display_name: str, now: datetime) -> Account:
    """From now on it belongs to somebody else (None: to nobody), who is shown by that name. Raises `NotFound`."""
    sealed = tx.keys.seal_text("accounts", "display_name", account_id, display_name)
    values = {"person_id": person_id, "display_name_sealed": sealed, "given_at": now}
    if not await tx.write(update(_T).where(_T.c.id == account_id).values(**values)):
        raise NotFound("account", account_id)
    return await get(tx, account_id)


async def remove(tx: Tx, account_id: str) -> None:
    """The account with its devices, its place in lines, what was chosen for it, what it has used, and copies of texts
    that waited for its phones.

    Outside numbers stay the company's, and that there was an emergency call stays as well. An inbox stays for as long
    as texts are kept in it, but is nobody's. Raises `NotFound`.
    """
    await call_settings.remove(tx, account_id)
    await limits.remove(tx, limits.of_account(account_id))
    await usage.remove(tx, limits.of_account(account_id))
    await numbers_owned.release(tx, account_id)
    await emergency_calls.release(tx, account_id)
    await mail_logins.remove_of(tx, account_id)
    await inboxes.release(tx, account_id)
    await tx.write(delete(tables.sms_waiting).where(tables.sms_waiting.c.account_id == account_id))
    await tx.write(delete(tables.devices).where(tables.devices.c.account_id == account_id))
    await tx.write(delete(tables.line_members).where(tables.line_members.c.account_id == account_id))
    await tx.write(delete(tables.dialled).where(tables.dialled.c.account_id == account_id))
    if not await tx.write(delete(_T).where(_T.c.id == account_id)):
        raise NotFound("account", account_id)


async def remains(tx: Tx, account_id: str) -> int:
    """How many rows of the directory still name it: none once it is removed."""
    places = [(_T, _T.c.id == account_id), *((table, table.c.account_id == account_id) for table in _NAMING)]
    places += [(table, table.c.owner == limits.of_account(account_id)) for table in (tables.limits, tables.usage)]
    found = 0
    for table, naming in places:
        row = await tx.row(select(func.count().label("rows")).select_from(table).where(naming))
        found += row["rows"] if row is not None else 0
    return found


def _account(tx: Tx, row: RowMapping) -> Account:
    return Account(
        id=row["id"],
        name=row["name"],
        extension=row["extension"],
        person_id=row["person_id"],
        display_name=tx.keys.open_text("accounts", "display_name", row["id"], row["display_name_sealed"]),
        country=row["country"],
        language=row["language"],
        metadata_class=row["metadata_class"],
        created_at=row["created_at"],
        disabled_at=row["disabled_at"],
        given_at=row["given_at"],
    )
