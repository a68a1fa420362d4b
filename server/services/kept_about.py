"""What is kept about a person, on what it rests and until when; who has opened recordings of them, when and why.

GDPR articles 13 and 15; French Labour Code L1222-4: nothing is gathered about somebody who was not told. One look is
one entry in the access log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from server.services import masking
from server.services.actor import Actor
from server.services.audit import note
from server.services.belonging import Theirs, theirs
from server.services.context import Services
from server.services.directory import person_by_login
from server.services.recording_openings import OpeningView, of_entries
from storage import (
    accounts,
    holds,
    inboxes,
    kept_about,
    mail_logins,
    owned_recordings,
    people,
    recording_openings,
    recordings,
)
from storage.accounts import Account
from storage.inventory import TABLES
from storage.kept_about import Counted
from storage.people import Person
from storage.recordings import Recording, Wanted
from storage.tx import Tx

MOST = 50  # recordings that are shown one by one
_STATES = ("recording", "whole", "cut", "failed")


@dataclass(frozen=True, slots=True)
class ThingView:
    """`kind`: a table of the data map. `expiry`: in English, as the map says it."""

    kind: str
    count: int
    since: datetime | None
    legal_basis: str
    expiry: str


@dataclass(frozen=True, slots=True)
class ActView:
    """What somebody did when they were asked: heard, key1, objection, ..."""

    at: str
    act: str


@dataclass(frozen=True, slots=True)
class RecordingKept:
    """`held`: a legal hold keeps it beyond `expires_at`."""

    id: str
    started_at: datetime
    state: str
    duration_ms: int | None
    account: str | None
    purpose: str | None
    legal_basis: str | None
    expires_at: datetime
    held: bool
    acts: tuple[ActView, ...]
    openings: tuple[OpeningView, ...]


@dataclass(frozen=True, slots=True)
class KeptView:
    """Fields: see `server.commands.people.KEPT`."""

    login: str
    name: str = field(repr=False)
    roles: tuple[str, ...]
    things: tuple[ThingView, ...]
    calls: tuple[Counted, ...]
    texts: tuple[Counted, ...]
    recordings: tuple[RecordingKept, ...]
    more: bool
    opened: int


async def kept(services: Services, actor: Actor, *, login: str) -> KeptView:
    """Raises Failure where there is no such person."""
    async with services.db.read() as tx:  # it may be long: whoever writes meanwhile does not wait for it
        person = await person_by_login(tx, login)
        own, _ = await accounts.around(tx, person.id)
        clear = actor.who == person.id or not actor.masked
        reached = await theirs(tx, Actor(actor.who, actor.workstation, within=own, own=own))
        assert reached is not None  # noqa: S101 - not all is asked for
        rows = await owned_recordings.newest(tx, reached.heard, Wanted(_STATES), limit=MOST + 1)
        opened = await owned_recordings.opened(tx, reached.heard, Wanted(_STATES))
        view = KeptView(
            login=person.login,
            name=person.display_name if clear else masking.name(person.display_name),
            roles=tuple(sorted(person.roles)),
            things=await _things(tx, person, reached.accounts),
            calls=await reached.calls.counted(),
            texts=await _texts(tx, person, reached.since),
            recordings=await _recordings(tx, rows[:MOST], reached, clear=clear),
            more=len(rows) > MOST,
            opened=await recording_openings.times(tx, opened),
        )
    async with services.db.transaction() as tx:
        await note(services, tx, actor, "show", "person", person_id=person.id, count=1)
    return view


async def _things(tx: Tx, person: Person, own: Sequence[Account]) -> tuple[ThingView, ...]:
    logins = [one.id for account in own for one in await mail_logins.list_all(tx, account.id)]
    return tuple(
        ThingView(one.table, one.count, one.since, TABLES[one.table].kept.basis, TABLES[one.table].kept.expiry)
        for one in await kept_about.found(tx, person.id, [account.id for account in own], logins)
    )


async def _texts(tx: Tx, person: Person, since: Mapping[str, datetime]) -> tuple[Counted, ...]:
    """What came to an inbox of their own, what they handled in others, and all that they wrote. `since`: from when on
    each of their accounts is theirs, by its id."""
    boxes = {box.id: at for each, at in since.items() if (box := await inboxes.of_account(tx, each)) is not None}
    came = await kept_about.received(tx, boxes)
    done = await kept_about.handled(tx, person.id, boxes)
    return (*came, *done, *await kept_about.written(tx, person.id, since))


async def _recordings(tx: Tx, rows: Sequence[Recording], reached: Theirs, *, clear: bool) -> tuple[RecordingKept, ...]:
    ids = [row.id for row in rows]
    heard = await recordings.parties_of(tx, ids)
    opened = await recording_openings.of(tx, ids)
    acts = await kept_about.acts(tx, {seq for row in rows for seq in row.consent_refs})
    logins = await people.logins(tx)
    named = {account.id: account.name for account in reached.accounts}
    held = await holds.on(tx, "recording", ids)
    found = []
    for row in rows:
        mine = [party for party in heard.get(row.id, ()) if party.account_id in named]
        legs = {party.leg_id for party in mine}
        done = [acts[seq] for seq in row.consent_refs if seq in acts and acts[seq].get("leg_id") in legs]
        found.append(
            RecordingKept(
                id=row.id,
                started_at=row.started_at,
                state=row.state,
                duration_ms=row.duration_ms,
                account=next((named[party.account_id or ""] for party in mine), None),
                purpose=row.purpose,
                legal_basis=row.legal_basis,
                expires_at=row.expires_at,
                held=row.id in held,
                acts=tuple(ActView(str(act["at"]), str(act["act"])) for act in done),
                openings=tuple(await of_entries(tx, opened.get(row.id, []), logins, reasons=clear)),
            )
        )
    return tuple(found)
