"""Numbers go over to the newest key of the index: place by place, some rows at a time, from what is sealed beside them.

Nothing is remembered in between: what is left is what still lies under an older key. A row that goes meanwhile is not
brought back. Attempts of canvassing lines hold no number and stay under their key for the 31 days that they are kept;
of emergency calls those of our own numbers are known again, and of others the index goes once no call-back can come.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, ColumnElement, RowMapping, Table, func, select, update

from storage import index_keys, numbers_owned, tables
from storage.numbers import digest, digests
from storage.tx import Tx

CALL_BACK = timedelta(days=2)  # longer than anybody may set `emergency.callback_min`
_PEERS, _CALLS = tables.call_peers, tables.call_records
_HEARD, _RECORDINGS = tables.recording_peers, tables.recordings
_OWNED, _EMERGENCY = tables.owned_numbers, tables.emergency_calls
_CONSENTS, _REFERENCES, _ATTEMPTS = tables.contact_consents, tables.contact_references, tables.contact_attempts


@dataclass(frozen=True, slots=True)
class _Row:
    keys: tuple[ColumnElement[bool], ...]
    digest: bytes
    numbers: Sequence[str]  # one of these it may be
    drop: bool = False  # of no more use where it is none of them


_Find = Callable[[Tx, datetime, ColumnElement[bool], int, int], Awaitable[list[_Row]]]


async def step(tx: Tx, place: str, now: datetime, *, limit: int, skip: int = 0) -> tuple[int, int]:
    """Move at most so many rows of a place (of PLACES) to the newest key; how many were looked at, and how many still
    lie under an older one, to be skipped by the next step."""
    newest = max(await index_keys.known(tx), default=0)
    column, find = PLACES[place]
    assert find is not None
    rows = await find(tx, now, column < newest.to_bytes(2, "big"), limit, skip)
    stay = 0
    for row in rows:
        fresh = await _again(tx, row)
        if fresh is None and not row.drop:
            stay += 1
            continue
        await tx.write(update(column.table).where(*row.keys, column == row.digest).values({column: fresh}))
    return len(rows), stay


async def left(tx: Tx, version: int | None = None) -> Mapping[str, int]:
    """Place to the number of rows under that version (None: under any but the newest), where there are some."""
    newest = max(await index_keys.known(tx), default=0)
    low = (0 if version is None else version).to_bytes(2, "big")
    high = (newest if version is None else version + 1).to_bytes(2, "big")
    found = {}
    for place, (column, _) in PLACES.items():
        row = await tx.row(select(func.count().label("n")).where(column >= low, column < high))
        if row is not None and row["n"]:
            found[place] = int(row["n"])
    return found


async def _again(tx: Tx, row: _Row) -> bytes | None:
    for number in row.numbers:
        if row.digest in await digests(tx, number):
            return await digest(tx, number)
    return None


async def _rows(tx: Tx, wanted: Any, limit: int, skip: int, *order: Column[Any]) -> Sequence[RowMapping]:
    return await tx.rows(wanted.order_by(*order).limit(limit).offset(skip))


async def _call_peers(tx: Tx, _now: datetime, old: ColumnElement[bool], limit: int, skip: int) -> list[_Row]:
    wanted = select(_PEERS, _CALLS.c.numbers_sealed).join(_CALLS, _CALLS.c.id == _PEERS.c.call_id).where(old)
    found = []
    for row in await _rows(tx, wanted, limit, skip, _PEERS.c.digest, _PEERS.c.call_id, _PEERS.c.role):
        sealed = tx.keys.open("call_records", "numbers", row["call_id"], row["numbers_sealed"])
        keys = (_PEERS.c.call_id == row["call_id"], _PEERS.c.role == row["role"])
        found.append(_Row(keys, bytes(row["digest"]), list(json.loads(sealed).values())))
    return found


async def _recording_peers(tx: Tx, _now: datetime, old: ColumnElement[bool], limit: int, skip: int) -> list[_Row]:
    join = _RECORDINGS.c.id == _HEARD.c.recording_id
    wanted = select(_HEARD, _RECORDINGS.c.parties_sealed).join(_RECORDINGS, join).where(old)
    found = []
    for row in await _rows(tx, wanted, limit, skip, _HEARD.c.digest, _HEARD.c.recording_id, _HEARD.c.channel):
        parties = []
        if row["parties_sealed"] is not None:
            sealed = tx.keys.open("recordings", "parties", row["recording_id"], row["parties_sealed"])
            parties = [party["number"] for party in json.loads(sealed) if party["number"]]
        keys = (_HEARD.c.recording_id == row["recording_id"], _HEARD.c.channel == row["channel"])
        found.append(_Row(keys, bytes(row["digest"]), parties))
    return found


def _sealed_beside(table: Table) -> _Find:
    """Tables whose rows hold their one number sealed."""

    async def find(tx: Tx, _now: datetime, old: ColumnElement[bool], limit: int, skip: int) -> list[_Row]:
        wanted = select(table.c.id, table.c.digest, table.c.number_sealed).where(old)
        return [
            _Row(
                (table.c.id == row["id"],),
                bytes(row["digest"]),
                [tx.keys.open_text(table.name, "number", row["id"], row["number_sealed"])],
            )
            for row in await _rows(tx, wanted, limit, skip, table.c.digest, table.c.id)
        ]

    return find


def _address_beside(table: Table, column: str, key: str = "id") -> _Find:
    """Tables of texts: the address, or the sender and the recipient of a text as JSON, sealed under that name."""

    async def find(tx: Tx, _now: datetime, old: ColumnElement[bool], limit: int, skip: int) -> list[_Row]:
        sealed = table.c[f"{column}_sealed"]
        wanted = select(table.c[key].label("key"), table.c.digest, sealed.label("sealed")).where(old)
        found = []
        for row in await _rows(tx, wanted, limit, skip, table.c.digest, table.c[key]):
            text = tx.keys.open_text(table.name, column, row["key"], row["sealed"])
            numbers = json.loads(text) if column == "addresses" else [text]
            found.append(_Row((table.c[key] == row["key"],), bytes(row["digest"]), numbers))
        return found

    return find


async def _campaign_recipients(tx: Tx, _now: datetime, old: ColumnElement[bool], limit: int, skip: int) -> list[_Row]:
    table = tables.campaign_recipients
    found = []
    for row in await _rows(tx, select(table).where(old), limit, skip, table.c.digest, table.c.campaign_id):
        keys = (table.c.campaign_id == row["campaign_id"], table.c.line == row["line"])
        name = f"{row['campaign_id']}.{row['line']}"
        number = tx.keys.open_text("campaign_recipients", "number", name, row["number_sealed"])
        found.append(_Row(keys, bytes(row["digest"]), [number]))
    return found


async def _emergency_calls(tx: Tx, now: datetime, old: ColumnElement[bool], limit: int, skip: int) -> list[_Row]:
    wanted = select(_EMERGENCY.c.id, _EMERGENCY.c.at, _EMERGENCY.c.presented_digest).where(old)
    rows = await _rows(tx, wanted, limit, skip, _EMERGENCY.c.presented_digest, _EMERGENCY.c.id)
    if not rows:
        return []
    ours = [one.number for one in await numbers_owned.list_all(tx)]
    inside = await tx.rows(select(tables.accounts.c.name, tables.accounts.c.extension))
    ours += [text for row in inside for text in (row["extension"], row["name"])]
    return [
        _Row((_EMERGENCY.c.id == row["id"],), bytes(row["presented_digest"]), ours, row["at"] < now - CALL_BACK)
        for row in rows
    ]


# Everywhere that the index of numbers is kept; None: it goes by itself, and nothing tells the number until then. The
# holds follow by `storage.holds.follow_keys`.
PLACES: Mapping[str, tuple[Column[Any], _Find | None]] = {
    "call_peers": (_PEERS.c.digest, _call_peers),
    "recording_peers": (_HEARD.c.digest, _recording_peers),
    "owned_numbers": (_OWNED.c.digest, _sealed_beside(_OWNED)),
    "contact_consents": (_CONSENTS.c.digest, _sealed_beside(_CONSENTS)),
    "contact_references": (_REFERENCES.c.digest, _sealed_beside(_REFERENCES)),
    "emergency_calls": (_EMERGENCY.c.presented_digest, _emergency_calls),
    "contact_attempts": (_ATTEMPTS.c.digest, None),
    "sms_sent": (tables.sms_sent.c.digest, _address_beside(tables.sms_sent, "recipient")),
    "sms_received": (tables.sms_received.c.digest, _address_beside(tables.sms_received, "addresses")),
    "sms_senders": (tables.sms_senders.c.digest, _address_beside(tables.sms_senders, "address")),
    "conversations": (tables.conversations.c.digest, _address_beside(tables.conversations, "remote")),
    "campaign_recipients": (tables.campaign_recipients.c.digest, _campaign_recipients),
}
MOVED = tuple(place for place, (_, find) in PLACES.items() if find is not None)
