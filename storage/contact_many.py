"""What is known of many numbers at once, for permission to contact them: a list of a hundred thousand is asked about.

Nothing is opened that is sealed: what stands here is found by its keyed index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Column, select

from storage import contact_keys, tables
from storage.numbers import digests_of_many
from storage.tx import Tx

IN_ONE = 500  # values in one statement
_CONSENTS, _REFERENCES = tables.contact_consents, tables.contact_references
_SUPPRESSIONS, _ATTEMPTS, _SENT = tables.contact_suppressions, tables.contact_attempts, tables.sms_sent


@dataclass(slots=True)
class Known:
    """Rows as they are stored, in no order. Consents: id, channel, purpose, given, expires, withdrawn, out of hours.
    References: id, kind, purpose, since, until. Suppressions: channel, reason, since, until. `attempts`: when there was
    one, texts that wait to be sent among them."""

    consents: list[Sequence[Any]] = field(default_factory=list)
    references: list[Sequence[Any]] = field(default_factory=list)
    suppressions: list[Sequence[Any]] = field(default_factory=list)
    attempts: list[datetime] = field(default_factory=list)


async def known(tx: Tx, numbers: Sequence[str], channel: str, attempts_since: datetime) -> Mapping[str, Known]:
    """By number, of whom anything is known that is about `channel`. `numbers`: E.164. Of texts an attempt is
    advertising that was sent or is about to be."""
    found: dict[str, Known] = {}
    by_digest = await digests_of_many(tx, numbers)
    suppressed = await contact_keys.indexes_of_many(tx, numbers)

    def of(number: str) -> Known:
        return found.setdefault(number, Known())

    c, r, s, a = _CONSENTS.c, _REFERENCES.c, _SUPPRESSIONS.c, _ATTEMPTS.c
    consents = select(c.digest, c.id, c.channel, c.purpose, c.given_at, c.expires_at, c.withdrawn_at, c.out_of_hours)
    for row in await _those(tx, consents.where(c.channel == channel), c.digest, by_digest):
        of(by_digest[row[0]]).consents.append(row[1:])
    references = select(r.digest, r.id, r.kind, r.purpose, r.since, r.until)
    for row in await _those(tx, references, r.digest, by_digest):
        of(by_digest[row[0]]).references.append(row[1:])
    entries = select(s.digest, s.channel, s.reason, s.since, s.until).where(s.channel.in_((channel, "*")))
    for row in await _those(tx, entries, s.digest, suppressed):
        of(suppressed[row[0]]).suppressions.append(row[1:])
    attempts = select(a.digest, a.at).where(a.channel == channel, a.at >= attempts_since)
    for row in await _those(tx, attempts, a.digest, by_digest):
        of(by_digest[row[0]]).attempts.append(row[1])
    if channel == "sms":
        for row in await _those(tx, _advertising(attempts_since), _SENT.c.digest, by_digest):
            of(by_digest[row[0]]).attempts.append(row[1])
    return found


def _advertising(since: datetime) -> Any:
    """As `sms_sent.marketing_since`: what was refused, cancelled or never left counts for nothing."""
    return select(_SENT.c.digest, _SENT.c.created_at).where(
        _SENT.c.created_at >= since,
        _SENT.c.message_class == "marketing",
        _SENT.c.state.not_in(("refused", "cancelled", "failed")),
    )


async def _those(tx: Tx, wanted: Any, column: Column[bytes], digests: Mapping[bytes, str]) -> list[Sequence[Any]]:
    # A table with nothing in it is asked once, whatever the length of the list.
    if await tx.row(wanted.limit(1)) is None:
        return []
    index, found = list(digests), list[Sequence[Any]]()
    for start in range(0, len(index), IN_ONE):
        found += await tx.tuples(wanted.where(column.in_(index[start : start + IN_ONE])))
    return found
