"""Consents to be contacted: written down with their proof, shown, taken back in one step."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from config import contact_rules
from config.contact_kinds import ConsentAge
from retention.contact_case import EVIDENCE_PACK, SUPPRESSION_PACK, kept_until, pack_of
from retention.whereabouts import whereabouts
from server.failure import Failure
from server.services import masking
from server.services.actor import Actor
from server.services.audit import note
from server.services.contact_check import person
from server.services.contact_times import moment
from server.services.context import Services
from server.services.directory import line_by_name
from sip.calls.numbers import country_of
from storage import consents, suppressions
from storage.consents import Consent
from storage.tx import Tx

Channel = Literal["voice", "sms"]
Act = Literal["dtmf", "utterance", "checkbox", "sms", "signature", "email"]
By = Literal["dtmf", "utterance", "sms", "link", "agent", "letter", "email"]
_SOURCES = {"dtmf": "call", "utterance": "call", "agent": "cli"}  # the others are called alike
_ID_CHARS = 32
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ConsentView:
    """Fields: see `server.commands.contacts.CONSENT_FIELDS`."""

    id: str
    number: str
    channel: str
    purpose: str
    state: str
    act: str
    given_at: datetime
    expires_at: datetime
    out_of_hours: bool
    text_id: str | None
    text_version: str | None
    text_sha256: str | None
    language: str | None
    collector: str | None
    source: str | None
    withdrawn_at: datetime | None
    withdrawn_by: str | None
    legal_basis: str
    kept_until: datetime
    warning: str | None


async def add(
    services: Services,
    actor: Actor,
    *,
    number: str,
    line: str | None = None,
    purpose: str | None = None,
    channel: Channel = "voice",
    act: Act,
    collector: str,
    source: str,
    text_id: str,
    text_version: str,
    text_sha256: str | None = None,
    words: str | None = None,
    language: str | None = None,
    given_at: str | None = None,
    expires_at: str | None = None,
    out_of_hours: bool = False,
) -> ConsentView:
    """`line`: the consent is for its sector; or `purpose` names one. What was agreed to: `words`, of which the hash
    alone is kept, or `text_sha256`, the hash of a text or an audio. Raises Failure."""
    called, sha256 = person(services.settings, number), proof(words, text_sha256)
    now = services.clock()
    zones = whereabouts(called, country_of(called), contact_rules.load()).zones
    given = moment(given_at, zones[0] if zones else "UTC") if given_at else now
    if given > now:
        raise Failure("a consent is not given in the future", "Correct --given-at", "invalid")
    ends = moment(expires_at, zones[0] if zones else "UTC") if expires_at else _longest(given)
    async with services.db.transaction() as tx:
        made = await consents.add(
            tx,
            now,
            number=called,
            channel=channel,
            purpose=await sector(tx, line, purpose),
            act=act,
            given_at=given,
            expires_at=ends,
            legal_basis="GDPR 6(1)(a), 7",
            kept_until=kept_until(EVIDENCE_PACK, ends),
            collector=collector,
            source=source,
            text_id=text_id,
            text_version=text_version,
            text_sha256=sha256,
            language=language,
            out_of_hours=out_of_hours,
        )
        await note(services, tx, actor, "add", "consent", consent_id=made.id)
        return await _view(tx, made, actor, now, shown=True)


def proof(words: str | None, stated: str | None) -> str:
    """SHA-256 of what was agreed to, in small hex: of `words` in UTF-8, whatever ends their lines; or as it is
    `stated`. Raises Failure."""
    given = (stated or "").strip().lower()
    if given and not _SHA256.fullmatch(given):
        raise Failure("that is no SHA-256", "Write its 64 characters: 0 to 9, and a to f", "invalid")
    if not words:
        if not given:
            raise Failure("which words were agreed to?", "Give them, or the SHA-256 of their text or audio", "invalid")
        return given
    made = hashlib.sha256(words.replace("\r\n", "\n").encode()).hexdigest()
    if given not in ("", made):
        raise Failure("the SHA-256 is not that of these words", "Give one of them", "invalid")
    return made


async def list_(
    services: Services, actor: Actor, *, number: str | None = None, before: str | None = None, limit: int = 50
) -> list[ConsentView]:
    """The newest first, or those that come after the one with the id `before`; masked unless the actor gives a reason.
    Raises Failure."""
    limit = max(0, limit)
    async with services.db.transaction() as tx:
        if number is None:
            place = None
            if before is not None:
                last = await _by_id(tx, before)
                place = (last.given_at, last.id)
            found = await consents.list_all(tx, limit=limit, before=place)
        else:
            found = (await consents.of_number(tx, person(services.settings, number)))[:limit]
        now = services.clock()
        views = [await _view(tx, one, actor, now, shown=False) for one in found]
        await note(services, tx, actor, "list", "consent", count=len(views))
    return views


async def show(services: Services, actor: Actor, *, consent: str) -> ConsentView:
    """Raises Failure."""
    async with services.db.transaction() as tx:
        found = await _by_id(tx, consent)
        await note(services, tx, actor, "show", "consent", consent_id=found.id)
        return await _view(tx, found, actor, services.clock(), shown=True)


async def withdraw(services: Services, actor: Actor, *, what: str, by: By = "agent") -> list[ConsentView]:
    """`what`: the consent's id, or a number: then all that it has given. From this moment nobody is contacted on it,
    nor on a contract, until there is a new one. Raises Failure."""
    async with services.db.transaction() as tx:
        now = services.clock()
        if _is_id(what):
            found = [await _by_id(tx, what)]
        else:
            given = await consents.of_number(tx, person(services.settings, what))
            found = [one for one in given if one.withdrawn_at is None]
            if not found:
                raise Failure("this number has given no consent that could be withdrawn",
                              "To have it left alone, type: beffroi contact suppress add", "not_found")  # fmt: skip
        views = []
        for one in found:
            taken_back = await consents.withdraw(tx, one.id, by, now, kept_until(EVIDENCE_PACK, now))
            views.append(await _view(tx, taken_back, actor, now, shown=False))
        alone = found[0].id if len(found) == 1 else None
        await note(services, tx, actor, "revoke", "consent", consent_id=alone, count=len(found))
        pack = pack_of(SUPPRESSION_PACK)
        for channel, number in {(one.channel, one.number) for one in found}:
            await suppressions.add(
                tx, number, now, channel=channel, reason="withdrawal", source=_SOURCES.get(by, by), since=now,
                until=None, purpose=pack.purpose, legal_basis=pack.legal_basis,
                kept_until=kept_until(SUPPRESSION_PACK, now),
            )  # fmt: skip
    return views


async def sector(tx: Tx, line: str | None, purpose: str | None) -> str:
    """What a consent or a contract is about: a line's sector, or one that is named. Raises Failure."""
    if (line is None) == (purpose is None):
        raise Failure("what is it for?", "Name a canvassing line with --line, or a sector with --purpose", "misuse")
    if line is not None:
        found = await line_by_name(tx, line)
        purpose = found.canvassing
        if purpose is None:
            raise Failure(f"line {found.name} canvasses nobody", "Name a sector with --purpose", "conflict")
    return known_sector(purpose or "")


def known_sector(name: str) -> str:
    """`name` itself. Raises Failure."""
    known = contact_rules.load().sectors
    if name not in known:
        raise Failure(f"no sector {name[:40]}", f"Choose one of {', '.join(sorted(known))}", "invalid")
    return name


def _longest(given: datetime) -> datetime:
    """Where nobody says when it ends, it ends when it would count no more in any country."""
    return max(rule.period.after(given) for rule in contact_rules.load().rules if isinstance(rule, ConsentAge))


def _is_id(text: str) -> bool:
    return len(text) == _ID_CHARS and all(char in "0123456789abcdef" for char in text)


async def _by_id(tx: Tx, text: str) -> Consent:
    """By its id, or an unmistakable beginning of it."""
    if _is_id(text):
        return await consents.get(tx, text)
    same = [one for one in await consents.list_all(tx) if len(text) >= 8 and one.id.startswith(text)]
    if len(same) != 1:
        raise Failure("no consent with that id", "Type: beffroi contact consent list", "not_found")
    return same[0]


async def _view(tx: Tx, one: Consent, actor: Actor, now: datetime, *, shown: bool) -> ConsentView:
    open_ = shown and not actor.masked
    standing = await suppressions.of_number(tx, one.number, one.channel) if shown else ()
    hard = any(each.reason not in ("refusal", "withdrawal") for each in standing)
    return ConsentView(
        id=one.id,
        number=masking.number(one.number) if actor.masked else one.number,
        channel=one.channel,
        purpose=one.purpose,
        state=_state(one, now),
        act=one.act,
        given_at=one.given_at,
        expires_at=one.expires_at,
        out_of_hours=one.out_of_hours,
        text_id=one.text_id,
        text_version=one.text_version,
        text_sha256=one.text_sha256,
        language=one.language,
        collector=one.collector if open_ else None,
        source=one.source if open_ else None,
        withdrawn_at=one.withdrawn_at,
        withdrawn_by=one.withdrawn_by,
        legal_basis=one.legal_basis,
        kept_until=one.kept_until,
        warning="the number is on the suppression list, which no consent lifts" if hard else None,
    )


def _state(one: Consent, now: datetime) -> str:
    if one.withdrawn_at is not None:
        return "withdrawn"
    return "given" if now < one.expires_at else "expired"
