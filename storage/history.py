"""What there was, for simulations: facts of past calls without who, and how much is kept until when."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Select, and_, func, or_, select, type_coerce

from storage import tables
from storage.field_crypto import FieldKeys
from storage.tx import Tx

_C, _R = tables.call_records, tables.recordings
_DAY_US = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# How a conversation ends, where its duration has aged away.
_TALKED = frozenset({"callee-hung-up", "caller-hung-up", "time-limit", "ceiling"})
_decode = json.JSONDecoder().decode


class PastCall(NamedTuple):
    """As much as its class and its age have left. `at_us`: microseconds since 1970. `line`: id, or None for a call by
    none. `peer`: a country, a prefix, "internal", "unknown"; "" where `numbers` says more. `numbers`: as it was sealed,
    for `numbers_in`; the same two parties give the same text."""

    at_us: int
    line: str | None
    direction: str
    talked: bool
    recorded: bool
    peer: str
    numbers: bytes

    def __repr__(self) -> str:
        return f"PastCall({self.at_us}, {self.direction})"  # never a number: it may end in a log


Rows = Sequence[Sequence[Any]]  # as stored: id, line_id, at, fields_sealed, numbers_sealed, recording_id
_began_us = type_coerce(_C.c.at, BigInteger)  # of a million moments a datetime each would take a second


async def calls(tx: Tx, since: datetime, until: datetime, *, after: tuple[int, str] | None, limit: int) -> Rows:
    """Records of calls that began then, oldest first, from the one behind `after`; for `opened`, and `last_of`."""
    wanted = select(_C.c.id, _C.c.line_id, _began_us, _C.c.fields_sealed, _C.c.numbers_sealed, _C.c.recording_id)
    wanted = wanted.where(_C.c.at < until)
    if after is None:
        wanted = wanted.where(_C.c.at >= since)
    else:
        at_us, row_id = after
        behind = or_(_began_us > at_us, and_(_began_us == at_us, _C.c.id > row_id))
        wanted = wanted.where(
            _began_us >= at_us, behind
        )  # the first says nothing new: it is where the index is entered
    return await tx.tuples(wanted.order_by(_C.c.at, _C.c.id).limit(limit))


async def how_many(tx: Tx, since: datetime, until: datetime) -> int:
    """Records of calls that began then."""
    row = await tx.row(select(func.count().label("n")).select_from(_C).where(_C.c.at >= since, _C.c.at < until))
    return int(row["n"]) if row is not None else 0


async def nth_at(tx: Tx, since: datetime, until: datetime, number: int) -> datetime:
    """When the `number`-th of these began, from 0; `until` where there are fewer."""
    inside = select(_C.c.at).where(_C.c.at >= since, _C.c.at < until)
    row = await tx.row(inside.order_by(_C.c.at).limit(1).offset(number))
    return until if row is None else row["at"]


def last_of(rows: Rows) -> tuple[int, str]:
    """What the next piece begins behind."""
    return rows[-1][2], rows[-1][0]


def opened(keys: FieldKeys, rows: Rows) -> Iterator[PastCall]:
    """Blocks for some microseconds a row: go through it in a thread. Raises `SealBroken`."""
    open_fields, open_numbers = keys.opener("call_records", "fields"), keys.opener("call_records", "numbers")
    for row_id, line_id, at_us, fields_sealed, numbers_sealed, recording_id in rows:
        fields = _decode(open_fields(row_id, fields_sealed).decode())
        line = line_id or fields.get("line_pseudonym")
        if "duration_s" in fields:
            talked = fields["duration_s"] > 0
        else:
            talked = fields["duration"] != "none" if "duration" in fields else fields.get("cause") in _TALKED
        yield PastCall(
            at_us,
            None if line == "direct" else line,
            fields.get("direction", "internal"),
            talked,
            recording_id is not None,
            fields.get("peer", ""),
            open_numbers(row_id, numbers_sealed),
        )


def numbers_in(said: bytes) -> dict[str, str]:
    """Role to number or account name, of `PastCall.numbers`."""
    found: dict[str, str] = _decode(said.decode())
    return found


def moment(at_us: int) -> datetime:
    """Of `PastCall.at_us`."""
    return _EPOCH + timedelta(microseconds=at_us)


def microseconds(at: datetime) -> int:
    """As `PastCall.at_us`."""
    return (at - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class KeptThings:
    """`label`: purpose of recordings, class of call records. `began`, `expires_at`: the end of their days, UTC."""

    kind: str
    label: str
    began: datetime
    expires_at: datetime
    count: int


async def kept(tx: Tx) -> list[KeptThings]:
    """Recordings and call records, counted by the days on which they began and go."""
    ended = func.coalesce(_R.c.ended_at, _R.c.started_at)
    alive = _R.c.state.not_in(("destroyed", "recording"))
    recordings = _by_day(_R.c.purpose, ended, _R.c.expires_at).where(alive)
    records = _by_day(_C.c.metadata_class, _C.c.at, _C.c.expires_at)
    found = []
    for kind, wanted in (("recording", recordings), ("call_record", records)):
        for label, began, expires, count in await tx.tuples(wanted):
            found.append(KeptThings(kind, label, _end_of(began), _end_of(expires), count))
    return found


def _by_day(
    label: ColumnElement[str], began: ColumnElement[datetime], expires: ColumnElement[datetime]
) -> Select[tuple[str, int, int, int]]:
    days = [
        (type_coerce(column, BigInteger).op("/")(_DAY_US)).label(name)
        for column, name in ((began, "b"), (expires, "e"))
    ]
    return select(label.label("l"), *days, func.count()).group_by("l", "b", "e")


def _end_of(day: int) -> datetime:
    return _EPOCH + timedelta(days=int(day) + 1, microseconds=-1)
