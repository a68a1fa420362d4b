"""Who is not to be contacted: a keyed index, a reason, a time; no number, so nobody can read the list.

Its key is its own (`storage.contact_keys`): an objection outlives whatever is erased elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, and_, delete, insert, or_, select

from storage import contact_keys, tables
from storage.errors import Invalid, NotFound
from storage.ids import new_id, require, require_in
from storage.numbers import E164
from storage.tx import Tx

RECORDING = "recording"  # may be called, but is never recorded; "*" does not mean it: that is about being contacted
CHANNELS = frozenset({"*", "voice", "sms", RECORDING})
REASONS = frozenset({"objection", "refusal", "withdrawal", "import", "order"})
SOURCES = frozenset({"cli", "import", "call", "sms", "link", "letter", "email"})
_T = tables.contact_suppressions
_AT_ONCE = 200  # of a long list; SQLite takes some hundred values in one statement


@dataclass(frozen=True, slots=True)
class Suppression:
    id: str
    channel: str  # of CHANNELS
    reason: str  # of REASONS
    source: str  # of SOURCES: by which way it came
    since: datetime
    until: datetime | None
    purpose: str
    legal_basis: str
    kept_until: datetime  # somebody looks at it then; it is not dropped by itself


async def get(tx: Tx, suppression_id: str) -> Suppression:
    """Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.id == suppression_id))
    if row is None:
        raise NotFound("suppression", suppression_id)
    return _read([row])[0]


async def listed(tx: Tx, numbers: Sequence[str], channel: str, reason: str) -> frozenset[str]:
    """Those of the numbers that stand on the list for this reason already."""
    found = set()
    for at in range(0, len(numbers), _AT_ONCE):
        owners = await contact_keys.indexes_of_many(tx, numbers[at : at + _AT_ONCE])
        same = _T.c.digest.in_(owners), _T.c.channel == channel, _T.c.reason == reason
        found |= {owners[row["digest"]] for row in await tx.rows(select(_T.c.digest).where(*same))}
    return frozenset(found)


async def add(tx: Tx, number: str, now: datetime, **said: Any) -> Suppression:
    """Fields: those of `Suppression` but its id. Raises `Invalid`."""
    require("number", number, E164)
    made = Suppression(id=new_id(), **said)
    require_in("channel", made.channel, CHANNELS)
    require_in("reason", made.reason, REASONS)
    require_in("source", made.source, SOURCES)
    if made.until is not None and made.until <= made.since:
        raise Invalid("until", "lies before its beginning")
    await tx.write(
        insert(_T).values(
            digest=await contact_keys.index(tx, number, now), **{name: getattr(made, name) for name in made.__slots__}
        )
    )
    return made


async def of_number(tx: Tx, number: str, channel: str | None = None) -> tuple[Suppression, ...]:
    """The oldest first. `channel`: those that hold for it; `RECORDING` alone for itself."""
    which: list[Any] = [_T.c.digest.in_(await contact_keys.indexes(tx, number))]
    if channel is not None:
        which.append(_T.c.channel.in_((channel,) if channel == RECORDING else (channel, "*")))
    return _read(await tx.rows(select(_T).where(*which).order_by(_T.c.since, _T.c.id)))


async def list_all(
    tx: Tx, *, limit: int = 1000, before: tuple[datetime, str] | None = None, channels: Sequence[str] = ()
) -> tuple[Suppression, ...]:
    """The newest first; those that come after `before` (its moment and id) in that order. `channels`: these alone."""
    wanted = select(_T).order_by(_T.c.since.desc(), _T.c.id).limit(limit)
    if before is not None:
        at, one = before
        wanted = wanted.where(or_(_T.c.since < at, and_(_T.c.since == at, _T.c.id > one)))
    if channels:
        wanted = wanted.where(_T.c.channel.in_(channels))
    return _read(await tx.rows(wanted))


async def remove(tx: Tx, suppression_id: str) -> None:
    """Raises `NotFound`."""
    if not await tx.write(delete(_T).where(_T.c.id == suppression_id)):
        raise NotFound("suppression", suppression_id)


def _read(rows: Sequence[RowMapping]) -> tuple[Suppression, ...]:
    return tuple(Suppression(**{name: row[name] for name in Suppression.__slots__}) for row in rows)
