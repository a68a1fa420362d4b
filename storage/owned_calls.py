"""Whose calls these are, for those who may not see all: found by the index of numbers, without opening any record.

A call belongs to an account whose name or extension is among its numbers, be they kept in full or as hashes of their
month, and to whoever owns its line. One that kept neither (class minimal, or aged so far) belongs to nobody.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from sqlalchemy import ColumnElement, RowMapping, Select, and_, func, or_, select, union

from storage import call_records, month_keys, tables
from storage.call_records import CallRecord
from storage.numbers import digests_of_many
from storage.tx import Tx

FEW = 10_000  # calls up to which it is quicker to fetch all and sort than to walk back from the newest
_MOST_DIGESTS = 5_000  # in one statement
_PAGE = 500
_T, _PEERS, _HASHES = tables.call_records, tables.call_peers, tables.call_month_peers


@dataclass(frozen=True, slots=True)
class Owners:
    """`since`: names and extensions, each with the moment from which it was theirs: before, an extension may have been
    somebody else's. `lines`: ids of the lines whose calls are theirs."""

    since: Mapping[str, datetime] = field(repr=False)
    lines: frozenset[str] = frozenset()


class OwnedCalls:
    """Asked within one transaction."""

    def __init__(self, tx: Tx, owners: Owners, digests: Mapping[bytes, datetime]) -> None:
        self._tx = tx
        self._owners = owners
        self._digests = digests

    @classmethod
    async def of(cls, tx: Tx, owners: Owners) -> "OwnedCalls":
        digests = {digest: owners.since[one] for digest, one in (await digests_of_many(tx, owners.since)).items()}
        for one, since in owners.since.items():
            digests |= dict.fromkeys(await month_keys.digests(tx, one), since)
        return cls(tx, owners, digests)

    async def among(self, call_ids: Sequence[str]) -> frozenset[str]:
        """Those of these calls that are theirs; without a record none is."""
        found: set[str] = set()
        for start in range(0, len(call_ids), _PAGE):
            some = _T.c.id.in_(call_ids[start : start + _PAGE])
            rows = await self._tx.rows(select(_T.c.id, _T.c.at, _T.c.line_id).where(some))
            found |= await self._theirs(rows)
        return frozenset(found)

    async def newest(
        self, *, limit: int, line_id: str | None = None, before: tuple[datetime, str] | None = None
    ) -> tuple[CallRecord, ...]:
        """Newest first; of a line; those that come after `before` in that order."""
        walk = self._pages(None if await self._many() else self._mine(), line_id, before)
        found: list[RowMapping] = []
        async for page in walk:
            theirs = await self._theirs(page)
            found += islice((row for row in page if row["id"] in theirs), limit - len(found))
            if len(found) >= limit:
                break
        return tuple(call_records.opened(self._tx, row) for row in found)

    async def _theirs(self, rows: Sequence[RowMapping]) -> set[str]:
        """Ids of those of these records (id, at, line_id) that are theirs."""
        began = {row["id"]: row["at"] for row in rows}
        found = {row["id"] for row in rows if row["line_id"] in self._owners.lines}
        for index in (_PEERS, _HASHES):
            wanted = select(index.c.call_id, index.c.digest).where(index.c.call_id.in_(began))
            for row in await self._tx.rows(wanted):
                since = self._digests.get(row["digest"])
                if since is not None and since <= began[row["call_id"]]:
                    found.add(row["call_id"])
        return found

    async def _many(self) -> bool:
        if len(self._digests) > _MOST_DIGESTS:
            return True
        some = select(_PEERS.c.call_id).where(_PEERS.c.digest.in_(self._digests)).limit(FEW + 1).subquery()
        row = await self._tx.row(select(func.count().label("n")).select_from(some))
        return row is not None and row["n"] > FEW

    def _mine(self) -> ColumnElement[bool]:
        named = (select(index.c.call_id).where(index.c.digest.in_(self._digests)) for index in (_PEERS, _HASHES))
        by_line = select(_T.c.id).where(_T.c.line_id.in_(self._owners.lines))
        return _T.c.id.in_(union(*named, by_line))

    async def _pages(
        self, mine: ColumnElement[bool] | None, line_id: str | None, before: tuple[datetime, str] | None
    ) -> AsyncIterator[Sequence[RowMapping]]:
        wanted: Select[tuple[object, ...]] = select(_T).order_by(_T.c.at.desc(), _T.c.id).limit(_PAGE)
        if mine is not None:
            wanted = wanted.where(mine)
        if line_id is not None:
            wanted = wanted.where(_T.c.line_id == line_id)
        while True:
            page = await self._tx.rows(wanted if before is None else wanted.where(older(before)))
            yield page
            if len(page) < _PAGE:
                return
            before = page[-1]["at"], page[-1]["id"]


def older(than: tuple[datetime, str]) -> ColumnElement[bool]:
    """What comes later in a list that has the newest first."""
    return or_(_T.c.at < than[0], and_(_T.c.at == than[0], _T.c.id > than[1]))
