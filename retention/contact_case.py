"""What the directory knows of one person and one line, put before the decision; and a contact written down.

One way in for calls and texts: `decide` looks, `begin` looks again, and counts, in one transaction in which nobody else
decides about that number.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from config import contact_rules, packs
from config.contact_rules import ContactRules
from config.packs import Pack
from retention.contact import may_contact
from retention.contact_facts import Channel, Consent, ContactFacts, Decision, Reference, Suppression, Target
from retention.whereabouts import whereabouts
from storage import consents, contact_attempts, contact_references, suppressions
from storage.lines import Line
from storage.tx import Tx

ATTEMPTS_PACK = "VOICE_CANVASSING"
EVIDENCE_PACK = "CONSENT_EVIDENCE"
SUPPRESSION_PACK = "SUPPRESSION_LIST"


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody whom a canvassing line wants to contact. `number`: E.164. `caller`: what would be shown."""

    line: Line
    number: str = field(repr=False)
    country: str | None
    channel: Channel = "voice"
    caller: str = field(default="", repr=False)
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """The answer, and the attempt that was counted; none where it is no."""

    decision: Decision
    attempt_id: str = ""


async def decide(tx: Tx, contact: Contact, now: datetime) -> Decision:
    """May it be? Changes nothing. Raises StorageError, DataError."""
    # Calendars of public holidays and tables of time zones take their time when they are first read.
    rules = await asyncio.to_thread(contact_rules.load)
    return await asyncio.to_thread(may_contact, await _facts(tx, contact, rules), rules, now)


async def begin(tx: Tx, contact: Contact, now: datetime) -> Begun:
    """Decide, and count it as an attempt from now on. Raises StorageError, DataError."""
    await contact_attempts.lock(tx, contact.number)
    decision = await decide(tx, contact, now)
    if not decision.allowed:
        return Begun(decision)
    pack = pack_of(ATTEMPTS_PACK)
    attempt = await contact_attempts.add(
        tx,
        contact.number,
        line_id=contact.line.id,
        channel=contact.channel,
        at=now,
        evidence=decision.evidence,
        purpose=pack.purpose,
        legal_basis=pack.legal_basis,
        kept_until=kept_until(ATTEMPTS_PACK, now),
    )
    if decision.evidence:
        proof = kept_until(EVIDENCE_PACK, now)
        await consents.used(tx, decision.evidence, proof)
        await contact_references.used(tx, decision.evidence, proof)
    return Begun(decision, attempt.id)


def pack_of(pack_id: str) -> Pack:
    """What such rows are kept for, by which law."""
    return packs.load()[pack_id]


def kept_until(pack_id: str, start: datetime) -> datetime:
    """How long a row of that pack is kept, counted from `start`."""
    retention = pack_of(pack_id).retention
    if retention is None:
        raise LookupError(f"{pack_id} says nothing about how long")
    return retention.after(start)


async def _facts(tx: Tx, contact: Contact, rules: ContactRules) -> ContactFacts:
    number, channel, line = contact.number, contact.channel, contact.line
    return ContactFacts(
        channel=channel,
        sector=line.canvassing or "",
        target=cast(Target, line.canvassing_target or "ask"),
        country=contact.country,
        where=await asyncio.to_thread(whereabouts, number, contact.country, rules),
        consents=tuple(_consent(one) for one in await consents.of_number(tx, number)),
        references=tuple(_reference(one) for one in await contact_references.of_number(tx, number)),
        suppressions=tuple(
            Suppression(one.reason, one.since, one.until) for one in await suppressions.of_number(tx, number, channel)
        ),
        attempts=tuple(one.at for one in await contact_attempts.of_number(tx, number, channel)),
        caller=contact.caller,
        hidden=contact.hidden,
    )


def _consent(one: consents.Consent) -> Consent:
    return Consent(one.id, one.channel, one.purpose, one.given_at, one.expires_at, one.withdrawn_at, one.out_of_hours)


def _reference(one: contact_references.ContactReference) -> Reference:
    kind: Any = one.kind
    return Reference(one.id, kind, one.purpose, one.since, one.until)
