"""Consents to be contacted: who agreed to what, by which act, under which words (GDPR Art. 7(1)).

Found by the same keyed index as calls and recordings; the number itself is sealed. Given and withdrawn, each is one
entry of the consent log, which names the consent by its id and never the person.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, and_, insert, or_, select, update

from storage import ledger, tables
from storage.errors import Conflict, Invalid, NotFound
from storage.ids import CODE, LANGUAGE, new_id, require, require_in
from storage.ledger_payload import Value
from storage.numbers import E164, digest, digests
from storage.tx import Tx

CHANNELS = frozenset({"voice", "sms"})
ACTS = frozenset({"dtmf", "utterance", "checkbox", "sms", "signature", "email"})
WITHDRAWN_BY = frozenset({"dtmf", "utterance", "sms", "link", "agent", "letter", "email"})
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_T = tables.contact_consents
_LONGEST = 300  # of collector and source
IN_ONE = 400  # ids in one statement


@dataclass(frozen=True, slots=True)
class Consent:
    id: str
    number: str = field(repr=False)  # E.164
    channel: str  # of CHANNELS
    purpose: str  # a sector of config.contact_rules
    act: str  # of ACTS: what the person did
    given_at: datetime
    expires_at: datetime
    legal_basis: str
    kept_until: datetime
    collector: str = field(repr=False)  # who asked: a company, a team
    source: str = field(repr=False)  # where the proof is: a form, a call
    text_id: str | None = None  # the words that were agreed to, with version and hash
    text_version: str | None = None
    text_sha256: str | None = None
    language: str | None = None
    out_of_hours: bool = False  # express, for times that the law leaves out
    withdrawn_at: datetime | None = None
    withdrawn_by: str | None = None  # of WITHDRAWN_BY


async def add(tx: Tx, now: datetime, **said: Any) -> Consent:
    """Fields: those of `Consent` but its id. Raises `Invalid`."""
    consent = Consent(id=new_id(), **said)
    _check(consent)
    await tx.write(
        insert(_T).values(
            id=consent.id,
            digest=await digest(tx, consent.number),
            number_sealed=tx.keys.seal_text("contact_consents", "number", consent.id, consent.number),
            details_sealed=tx.keys.seal_text(
                "contact_consents", "details", consent.id, json.dumps([consent.collector, consent.source])
            ),
            **{name: getattr(consent, name) for name in _PLAIN},
        )
    )
    await _log(tx, consent, "given", now)
    return consent


async def withdraw(tx: Tx, consent_id: str, by: str, now: datetime, kept_until: datetime) -> Consent:
    """From now on it counts no more; the proof that there was one is kept. Raises `NotFound`, `Conflict`."""
    require_in("withdrawn_by", by, WITHDRAWN_BY)
    changed = await tx.write(
        update(_T)
        .where(_T.c.id == consent_id, _T.c.withdrawn_at.is_(None))
        .values(withdrawn_at=now, withdrawn_by=by, kept_until=kept_until)
    )
    consent = await get(tx, consent_id)
    if not changed:
        raise Conflict("this consent was withdrawn before")
    await _log(tx, consent, "withdrawn", now)
    return consent


async def get(tx: Tx, consent_id: str) -> Consent:
    """Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.id == consent_id))
    if row is None:
        raise NotFound("consent", consent_id)
    return _consent(tx, row)


async def of_number(tx: Tx, number: str) -> tuple[Consent, ...]:
    """The newest first; withdrawn ones and old ones too."""
    return await _some(tx, _T.c.digest.in_(await digests(tx, number)))


async def list_all(
    tx: Tx, *, limit: int | None = None, before: tuple[datetime, str] | None = None
) -> tuple[Consent, ...]:
    """The newest first; those that come after `before` (its moment and id) in that order."""
    conditions = []
    if before is not None:
        at, one = before
        conditions = [or_(_T.c.given_at < at, and_(_T.c.given_at == at, _T.c.id > one))]
    return await _some(tx, *conditions, limit=limit)


async def used(tx: Tx, consent_id: str, kept_until: datetime) -> None:
    """A contact rested on it: its proof is kept until then at least."""
    later = (_T.c.id == consent_id) & (_T.c.kept_until < kept_until)
    await tx.write(update(_T).where(later).values(kept_until=kept_until))


async def used_many(tx: Tx, consent_ids: Sequence[str], kept_until: datetime) -> None:
    """`used` for many."""
    for start in range(0, len(consent_ids), IN_ONE):
        some = list(consent_ids[start : start + IN_ONE])
        later = _T.c.id.in_(some) & (_T.c.kept_until < kept_until)
        await tx.write(update(_T).where(later).values(kept_until=kept_until))


_SEALED = ("id", "number", "collector", "source")
_PLAIN = tuple(name for name in Consent.__slots__ if name not in _SEALED)


def _check(consent: Consent) -> None:
    require("number", consent.number, E164)
    require_in("channel", consent.channel, CHANNELS)
    require("purpose", consent.purpose, CODE)
    require_in("act", consent.act, ACTS)
    if consent.expires_at <= consent.given_at:
        raise Invalid("expires_at", "lies before the consent was given")
    for name, shape in (("text_id", _TEXT), ("text_version", _TEXT), ("text_sha256", _SHA256), ("language", LANGUAGE)):
        value = getattr(consent, name)
        if value is not None:
            require(name, value, shape)
    for name in ("collector", "source"):
        if not 1 <= len(getattr(consent, name)) <= _LONGEST:
            raise Invalid(name, f"must have 1 to {_LONGEST} characters")


async def _log(tx: Tx, consent: Consent, act: str, now: datetime) -> None:
    said: dict[str, Value | None] = {
        "act": act,
        "consent_id": consent.id,
        "purpose": consent.purpose,
        "medium": consent.channel,
        "prompt_sha256": consent.text_sha256,
        "language": consent.language,
        "by": consent.withdrawn_by if act == "withdrawn" else consent.act,
    }
    await ledger.append(tx, "consent", said, now)


async def _some(tx: Tx, *conditions: Any, limit: int | None = None) -> tuple[Consent, ...]:
    rows = await tx.rows(select(_T).where(*conditions).order_by(_T.c.given_at.desc(), _T.c.id).limit(limit))
    return tuple(_consent(tx, row) for row in rows)


def _consent(tx: Tx, row: RowMapping) -> Consent:
    collector, source = json.loads(tx.keys.open_text("contact_consents", "details", row["id"], row["details_sealed"]))
    return Consent(
        id=row["id"],
        number=tx.keys.open_text("contact_consents", "number", row["id"], row["number_sealed"]),
        collector=collector,
        source=source,
        **{name: row[name] for name in _PLAIN},
    )
