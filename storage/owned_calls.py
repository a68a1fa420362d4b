"""Whose calls these are, for those who may not see all: found by the index of numbers, without opening any record.

A call belongs to an account whose name or extension is among its numbers, be they kept in full or as hashes of their
month, and to whoever owns its line. One that kept neither (class minimal, or aged so far) belongs to nobody.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, false, func, literal, or_, select, union, union_all

from storage import call_records, month_keys, tables
from storage.call_records import CallRecord
from storage.kept_about import Counted, counts
from storage.numbers import digests_of_many
from storage.tx import Tx
from storage.types import Instant

FEW = 5_000  # calls up to which it is quicker to fetch all and sort than to walk back from the newest
_MOST_DIGESTS = 5_000  # in one statement
_PAGE = 500
_LARGEST_PAGE = 4_000
_Rows = Sequence[Sequence[Any]]  # id, at, line_id
_T, _PEERS, _HASHES = tables.call_records, tables.call_peers, tables.call_month_peers


@dataclass(frozen=True, slots=True)
class Owners:
    """`since`: names and extensions, each with the moment from which it was theirs: before, an extension may have been
    somebody else's. `lines`: ids of the lines whose calls are theirs, from when on each."""

    since: Mapping[str, datetime] = field(repr=False)
    lines: Mapping[str, datetime] = field(default_factory=dict)


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
            rows = await self._tx.tuples(select(_T.c.id, _T.c.at, _T.c.line_id).where(some))
            found |= await self._theirs(rows)
        return frozenset(found)

    async def newest(
        self,
        *,
        limit: int,
        line_id: str | None = None,
        before: tuple[datetime, str] | None = None,
        since: datetime | None = None,
    ) -> tuple[CallRecord, ...]:
        """Newest first; of a line; those that come after `before` in that order; none that began before `since`."""
        found: list[str] = []
        mine = await self._mine()
        size = _PAGE if mine is None else min(limit, _PAGE)
        async for page in self._pages(mine, size, line_id, before, since):
            theirs = await self._theirs(page)
            found += (call_id for call_id, *_ in page if call_id in theirs)
            if len(found) >= limit:
                break
        return await call_records.some(self._tx, found[:limit])

    async def counted(self) -> tuple[Counted, ...]:
        """All of them, by metadata class, purpose and legal basis."""
        since: dict[datetime, list[bytes]] = {}
        for digest, at in self._digests.items():
            since.setdefault(at, []).append(digest)
        named = [
            select(index.c.call_id.label("id"), literal(at, Instant).label("since")).where(index.c.digest.in_(some))
            for index in (_PEERS, _HASHES)
            for at, every in since.items()
            for some in (every[start : start + _PAGE] for start in range(0, len(every), _PAGE))
        ]
        named += [
            select(_T.c.id, literal(at, Instant).label("since")).where(_T.c.line_id == line)
            for line, at in self._owners.lines.items()
        ]
        if not named:
            return ()
        some = union_all(*named).subquery()
        ids = select(some.c.id, func.min(some.c.since).label("since")).group_by(some.c.id).subquery()
        by = (_T.c.metadata_class, _T.c.purpose, _T.c.legal_basis)
        wanted = select(*by, *counts(_T, _T.c.at)).join(ids, ids.c.id == _T.c.id).where(_T.c.at >= ids.c.since)
        return tuple(Counted(*row) for row in await self._tx.tuples(wanted.group_by(*by).order_by(*by)))

    async def _theirs(self, rows: _Rows) -> set[str]:
        """Ids of those of these records that are theirs."""
        began = {call_id: at for call_id, at, _ in rows}
        lines = self._owners.lines
        found = {call_id for call_id, at, line_id in rows if line_id in lines and lines[line_id] <= at}
        for index in (_PEERS, _HASHES):
            wanted = select(index.c.call_id, index.c.digest).where(index.c.call_id.in_(began))
            for call_id, digest in await self._tx.tuples(wanted):
                since = self._digests.get(digest)
                if since is not None and since <= began[call_id]:
                    found.add(call_id)
        return found

    async def _mine(self) -> ColumnElement[bool] | None:
        """What may be theirs, the quicker way for as many as they are; None: look at each."""
        if len(self._digests) > _MOST_DIGESTS:
            return None
        each = [select(index.c.call_id).where(index.c.digest.in_(self._digests)) for index in (_PEERS, _HASHES)]
        some = union_all(*each).limit(FEW + 1).subquery()
        row = await self._tx.row(select(func.count().label("n")).select_from(some))
        by_line = _T.c.line_id.in_(self._owners.lines)
        if row is not None and row["n"] > FEW:
            return or_(by_line, *(self._is_named(index) for index in (_PEERS, _HASHES)))
        named = (select(index.c.call_id).where(index.c.digest.in_(self._digests)) for index in (_PEERS, _HASHES))
        return _T.c.id.in_(union(*named, select(_T.c.id).where(by_line)))

    def _is_named(self, index: Table) -> ColumnElement[bool]:
        """Asked of one record after the other. Were `digest` written alone, SQLite would look through all calls of a
        digest for each record."""
        digest = func.coalesce(index.c.digest, index.c.digest)
        return select(index.c.call_id).where(index.c.call_id == _T.c.id, digest.in_(self._digests)).exists()

    async def _pages(
        self,
        mine: ColumnElement[bool] | None,
        size: int,
        line_id: str | None,
        before: tuple[datetime, str] | None,
        since: datetime | None,
    ) -> AsyncIterator[_Rows]:
        """Larger from one to the next: where most of what was found is a predecessor's, few questions reach the end."""
        wanted = (
            select(_T.c.id, _T.c.at, _T.c.line_id).order_by(_T.c.at.desc(), _T.c.id).where(self._late_enough(since))
        )
        if mine is not None:
            wanted = wanted.where(mine)
        if line_id is not None:
            wanted = wanted.where(_T.c.line_id == line_id)
        while True:
            asked = wanted if before is None else wanted.where(call_records.older(before))
            page = await self._tx.tuples(asked.limit(size))
            yield page
            if len(page) < size:
                return
            before, size = (page[-1][1], page[-1][0]), min(4 * size, _LARGEST_PAGE)

    def _late_enough(self, asked: datetime | None) -> ColumnElement[bool]:
        """Not before the first of their names was theirs, nor one of their lines. Only the first of all is found by the
        index: of alternatives SQLite would gather all records, and sort them."""
        since = [min(self._digests.values())] if self._digests else []
        if not (since or self._owners.lines):
            return false()
        line, at = func.coalesce(_T.c.line_id, _T.c.line_id), func.coalesce(_T.c.at, _T.c.at)
        late = [at >= first for first in since]
        late += [and_(line == each, at >= first) for each, first in self._owners.lines.items()]
        first = min((*since, *self._owners.lines.values()))
        return and_(_T.c.at >= (first if asked is None else max(first, asked)), or_(*late))
