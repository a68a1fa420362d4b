"""Limits: what an account, a trunk, or anybody (the default) may call, for how long and for how much.

None in a field means: nothing said here, ask the next (account, then default, then the configuration). Zero means: no
limit, as in the configuration.
"""

import re
from dataclasses import dataclass, fields

from sqlalchemy import bindparam, delete, select, text

from storage import tables
from storage.errors import Invalid
from storage.ids import COUNTRY, require
from storage.tx import Tx
from storage.types import Json

DEFAULT = "default"
OWNER = re.compile(r"default|(account|trunk):[0-9a-f]{32}")
_T = tables.limits
_COUNTS = ("minutes_per_day", "minutes_per_month", "cents_per_day", "cents_per_month", "max_calls")
_MOST = 100_000_000
_NAMES = ("international", "premium", "countries", *_COUNTS)
_SAVE = text(
    f"INSERT INTO limits (owner, {', '.join(_NAMES)}) VALUES (:owner, {', '.join(f':{n}' for n in _NAMES)}) "  # noqa: S608
    f"ON CONFLICT (owner) DO UPDATE SET {', '.join(f'{n} = excluded.{n}' for n in _NAMES)}"
).bindparams(bindparam("countries", type_=Json))


@dataclass(frozen=True, slots=True)
class Limits:
    owner: str  # shape of OWNER
    international: bool | None = None
    premium: bool | None = None
    countries: tuple[str, ...] = ()  # beside the company's own, where international calls are not allowed at large
    minutes_per_day: int | None = None
    minutes_per_month: int | None = None
    cents_per_day: int | None = None
    cents_per_month: int | None = None
    max_calls: int | None = None


def of_account(account_id: str) -> str:
    """The owner of an account's limits and sums."""
    return f"account:{account_id}"


def of_trunk(trunk_id: str) -> str:
    """The owner of a trunk's limits and sums."""
    return f"trunk:{trunk_id}"


async def get(tx: Tx, owner: str) -> Limits:
    """All None where nothing was ever set."""
    row = await tx.row(select(_T).where(_T.c.owner == owner))
    if row is None:
        return Limits(owner)
    values = {one.name: row[one.name] for one in fields(Limits) if one.name != "countries"}
    return Limits(countries=tuple(row["countries"]), **values)


async def save(tx: Tx, limits: Limits) -> Limits:
    """Raises `Invalid`."""
    require("owner", limits.owner, OWNER)
    for country in limits.countries:
        require("countries", country, COUNTRY)
    for name in _COUNTS:
        value = getattr(limits, name)
        if value is not None and not 0 <= value <= _MOST:
            raise Invalid(name, f"must be 0 to {_MOST}")
    values = {name: getattr(limits, name) for name in _NAMES} | {"countries": sorted(set(limits.countries))}
    await tx.write(_SAVE.bindparams(owner=limits.owner, **values))
    return limits


async def remove(tx: Tx, owner: str) -> None:
    await tx.write(delete(_T).where(_T.c.owner == owner))
