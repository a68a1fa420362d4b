"""Call records as far as statistics count them: what they say, and who is on either side as a keyed hash."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from storage import month_keys, tables
from storage.tx import Tx

_T, _HASHES = tables.call_records, tables.call_month_peers
_IN_ONE = 400


@dataclass(frozen=True, slots=True)
class Told:
    """`parties`: role to a value that is the same for the same number in the same month, and for no other; it is the
    same before and after the number has aged. Not to be shown."""

    call_id: str
    metadata_class: str
    at: datetime
    fields: Mapping[str, Any]
    parties: Mapping[str, str] = field(repr=False)
    numbers: Mapping[str, str] = field(repr=False)  # in clear, as far as they are kept; to learn the country from


async def page(tx: Tx, since: datetime, until: datetime, after: str = "") -> tuple[Told, ...]:
    """The next few of the records that began from `since` on and before `until`, by id. Empty: that was all."""
    wanted = select(_T).where(_T.c.at >= since, _T.c.at < until, _T.c.id > after).order_by(_T.c.id).limit(_IN_ONE)
    rows = await tx.rows(wanted)
    ids = [row["id"] for row in rows]
    hashed: dict[str, dict[str, str]] = {}
    for row in await tx.rows(select(_HASHES).where(_HASHES.c.call_id.in_(ids))):
        hashed.setdefault(row["call_id"], {})[row["role"]] = bytes(row["digest"]).hex()
    known = {key.month for key in await month_keys.list_all(tx)} if rows else set[str]()
    found = []
    for row in rows:
        parties = hashed.get(row["id"], {})
        numbers = json.loads(tx.keys.open("call_records", "numbers", row["id"], row["numbers_sealed"]))
        for role, number in numbers.items():
            parties[role] = await _same(tx, row["at"].astimezone(UTC).strftime("%Y-%m"), number, known)
        fields = json.loads(tx.keys.open("call_records", "fields", row["id"], row["fields_sealed"]))
        found.append(Told(row["id"], row["metadata_class"], row["at"], fields, parties, numbers))
    return tuple(found)


async def _same(tx: Tx, month: str, number: str, known: set[str]) -> str:
    """As the hashes of that month are, where there are any."""
    if month in known:
        for one in await month_keys.digests(tx, number):
            if one.startswith(b"m" + month.encode()):
                return one.hex()
    return hashlib.sha256(f"{month} {number}".encode()).hexdigest()
