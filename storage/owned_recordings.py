"""Whose recordings these are, for those who may not see all: who is heard in them decides, and whose line it was."""

import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, RowMapping, and_, or_, select, union

from storage import recordings, tables
from storage.numbers import digests_of_many
from storage.recordings import Recording, Wanted
from storage.tx import Tx

_MOST_DIGESTS = 5_000  # in one statement
_PAGE = 200
_T, _PEERS = tables.recordings, tables.recording_peers


@dataclass(frozen=True, slots=True)
class Heard:
    """`accounts`: ids of whose recordings they are, each with the moment from which it was theirs. `numbers`: under
    which they may be heard, those of lines that ring at them included. `lines`: ids of the lines whose recordings are
    theirs, from when on each."""

    accounts: Mapping[str, datetime]
    numbers: frozenset[str] = field(repr=False)
    lines: Mapping[str, datetime] = field(default_factory=dict)


async def newest(tx: Tx, heard: Heard, which: Wanted, *, limit: int) -> tuple[Recording, ...]:
    """Theirs, newest first."""
    found: list[Recording] = []
    async for page in _pages(tx, await _may_be(tx, heard), which):
        found += (recordings.opened(row) for row in page if _is_theirs(tx, heard, row))
        if len(found) >= limit:
            break
    return tuple(found[:limit])


async def opened(tx: Tx, heard: Heard, which: Wanted) -> list[str]:
    """Ids of theirs that somebody has opened."""
    ids, may_be = select(tables.recording_openings.c.recording_id), await _may_be(tx, heard)
    once = _T.c.id.in_(ids) if may_be is None else and_(_T.c.id.in_(ids), may_be)
    return [row["id"] async for page in _pages(tx, once, which) for row in page if _is_theirs(tx, heard, row)]


async def among(tx: Tx, heard: Heard, rec_ids: Collection[str]) -> frozenset[str]:
    """Those of these recordings that are theirs."""
    rows = await tx.rows(select(_T).where(_T.c.id.in_(rec_ids)))
    return frozenset(row["id"] for row in rows if _is_theirs(tx, heard, row))


def _is_theirs(tx: Tx, heard: Heard, row: RowMapping) -> bool:
    line = heard.lines.get(row["line_id"])
    if line is not None and line <= row["started_at"]:
        return True
    if row["parties_sealed"] is None:
        return False
    opened = json.loads(tx.keys.open("recordings", "parties", row["id"], row["parties_sealed"]))
    since = [heard.accounts[party["account_id"]] for party in opened if party["account_id"] in heard.accounts]
    return any(one <= row["started_at"] for one in since)


async def _may_be(tx: Tx, heard: Heard) -> ColumnElement[bool] | None:
    """Where to look; None: everywhere."""
    digests = await digests_of_many(tx, heard.numbers)
    if len(digests) > _MOST_DIGESTS:
        return None
    named = select(_PEERS.c.recording_id).where(_PEERS.c.digest.in_(digests))
    return _T.c.id.in_(union(named, select(_T.c.id).where(_T.c.line_id.in_(heard.lines))))


async def _pages(tx: Tx, may_be: ColumnElement[bool] | None, which: Wanted) -> AsyncIterator[Sequence[RowMapping]]:
    wanted = select(_T).where(which.where(led_by_state=False)).order_by(_T.c.started_at.desc(), _T.c.id).limit(_PAGE)
    if may_be is not None:
        wanted = wanted.where(may_be)
    page = await tx.rows(wanted)
    while page:
        yield page
        at, rec_id = page[-1]["started_at"], page[-1]["id"]
        older = or_(_T.c.started_at < at, and_(_T.c.started_at == at, _T.c.id > rec_id))
        page = await tx.rows(wanted.where(older))
