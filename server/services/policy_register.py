"""The register of preconditions, the history of versions, and the proof that neither was touched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

from config import packs as pack_data
from config import preconditions as words_data
from retention.policy_versions import in_force_since
from server.failure import Failure
from server.policy_desk import Known
from server.services.actor import Actor, ledger_id
from server.services.audit import note
from server.services.context import Services
from server.services.directory import line_by_name
from server.services.policies import tell
from server.services.policy_house import known, names
from storage import ledger, people, policies
from storage.errors import NotFound
from storage.ids import new_id
from storage.policies import StoredPolicy, StoredPrecondition
from storage.tx import Tx

EVERY_PACK = "*"
_ROUND = 2000


@dataclass(frozen=True, slots=True)
class NeedView:
    """Fields: see `server.commands.policies.NEED_FIELDS`."""

    id: str | None
    kind: str
    pack: str
    line: str | None
    what: str
    proof: str
    evidence: str | None
    done_by: str | None
    done_on: date | None
    entered_at: datetime | None
    entered_by: str | None
    withdrawn_at: datetime | None


@dataclass(frozen=True, slots=True)
class EventView:
    """Fields: see `server.commands.policies.EVENT_FIELDS`."""

    at: datetime
    number: int
    event: str
    who: str


@dataclass(frozen=True, slots=True)
class VerdictView:
    """Fields: see `server.commands.policies.VERDICT_FIELDS`."""

    number: int
    sound: bool
    findings: tuple[str, ...]


async def needs(services: Services, actor: Actor, *, pack: str | None = None) -> list[NeedView]:
    """What each pack requires beforehand, and what was entered for it. Evidence and names need a reason."""
    _known_pack(pack)
    language = services.settings.company.languages[0]
    async with services.db.transaction() as tx:
        house = (await names(tx)).house
        entries = await policies.preconditions(tx)
        await note(services, tx, actor, "list", "precondition", count=len(entries))
    found = []
    for one in pack_data.load().values():
        if pack not in (None, one.id):
            continue
        for kind in one.preconditions:
            mine = [entry for entry in entries if entry.kind == kind and entry.pack in (one.id, EVERY_PACK)]
            said = words_data.load()[kind][language]
            found += [_need(entry, one.id, said, house.lines, masked=actor.masked) for entry in mine] or [
                NeedView(None, kind, one.id, None, said.what, said.evidence, None, None, None, None, None, None)
            ]
    return found


async def enter(
    services: Services,
    actor: Actor,
    *,
    kind: str,
    pack: str,
    evidence: str,
    done_by: str,
    done_on: date,
    line: str | None = None,
) -> NeedView:
    """That it was done, by whom, when, and where that is to be read. `pack` "*": for every pack. Raises Failure."""
    every = words_data.load()
    if kind not in every:
        raise Failure(f"{kind} is no precondition", f"Choose one of {', '.join(sorted(every))}", "invalid")
    if pack != EVERY_PACK and kind not in _known_pack(pack):
        asked = ", ".join(_known_pack(pack)) or "nothing"
        raise Failure(f"{pack} does not require {kind}", f"It requires {asked}", "invalid")
    if not evidence.strip() or not done_by.strip():
        raise Failure("an entry needs its evidence and who did it", "Give --evidence and --by", "invalid")
    now = services.clock()
    if done_on > now.astimezone(UTC).date():
        raise Failure(f"{done_on} lies ahead", "Enter it once it is done", "invalid")
    async with services.db.transaction() as tx:
        line_id = (await line_by_name(tx, line)).id if line else None
        entry = await policies.enter(
            tx,
            StoredPrecondition(
                id=new_id(),
                kind=kind,
                pack=pack,
                line_id=line_id,
                evidence=evidence.strip(),
                done_by=done_by.strip(),
                done_on=done_on,
                entered_at=now,
                entered_by=ledger_id(actor.who, services.keys.ledger),
            ),
        )
        await note(services, tx, actor, "add", "precondition", precondition_id=entry.id, rule=kind,
                   pack=None if pack == EVERY_PACK else pack, line_id=line_id)  # fmt: skip
        house = (await names(tx)).house
    await tell(services)
    said = every[kind][services.settings.company.languages[0]]
    return _need(entry, pack, said, house.lines, masked=False)


async def withdraw(services: Services, actor: Actor, *, entry: str) -> NeedView:
    """It counts no more: rules that rest on it record nothing from now on. Raises Failure."""
    if not actor.says_why:
        raise Failure("withdrawing an entry needs a reason", "Say why with --reason", "invalid")
    async with services.db.transaction() as tx:
        mine = [one for one in await policies.preconditions(tx) if entry and one.id.startswith(entry)]
        if len(mine) != 1:
            raise Failure("no entry has that id" if not mine else "several entries begin so",
                          "Type: beffroi policy needs", "not_found" if not mine else "ambiguous")  # fmt: skip
        by = ledger_id(actor.who, services.keys.ledger)
        gone = await policies.withdraw(tx, mine[0].id, by, services.clock())
        await note(services, tx, actor, "revoke", "precondition", precondition_id=gone.id, rule=gone.kind)
        house = (await names(tx)).house
    await tell(services)
    said = words_data.load()[gone.kind][services.settings.company.languages[0]]
    return _need(gone, gone.pack, said, house.lines, masked=actor.masked)


async def history(services: Services, actor: Actor) -> list[EventView]:
    """What became of the policy, oldest first."""
    async with services.db.transaction() as tx:
        found, now = await known(services, tx), services.clock()
        events = [event for one in await policies.list_all(tx) for event in await _written(tx, one)]
        events += _came_into_force(found, now)
        await note(services, tx, actor, "list", "policy", count=len(events))
    return sorted(events, key=lambda event: (event.at, event.number))


async def verify(services: Services, actor: Actor) -> list[VerdictView]:
    """Compare every approved version with its approvals and with the access log. Raises StorageError."""
    async with services.db.read() as tx:
        found = await known(services, tx)
        stored = {one.number: one for one in await policies.list_all(tx)}
        logged = await _logged(tx)
    verdicts = []
    for one in found.versions:
        number = one.policy.number
        said = [f"{'its body' if a.genuine else 'an approval'} was altered" for a in one.approvals
                if not a.genuine or a.sha256 != one.sha256]  # fmt: skip
        approvals = {(number, a.person_id, a.sha256) for a in stored[number].approvals}
        in_log = {key for key in logged if key[0] == number}
        said += ["the access log knows nothing of an approval"] * len(approvals - in_log)
        said += ["an approval that the access log knows is gone"] * len(in_log - approvals)
        if said or one.approvals:
            verdicts.append(VerdictView(number, not said, tuple(dict.fromkeys(said))))
    gone = sorted({key[0] for key in logged} - stored.keys())
    verdicts += [VerdictView(number, False, ("the whole version is gone",)) for number in gone]
    async with services.db.transaction() as tx:
        wrong = any(not one.sound for one in verdicts)
        await note(services, tx, actor, "verify", "policy", outcome="failed" if wrong else "done")
    return verdicts


async def _logged(tx: Tx) -> set[tuple[int, str, str]]:
    """Version, person and hash of every approval in the access log."""
    found, after = set[tuple[int, str, str]](), 0
    while entries := await ledger.entries(tx, "access", after_seq=after, limit=_ROUND):
        after = entries[-1].seq
        for entry in entries:
            said = json.loads(entry.body)
            if said.get("action") == "approve" and said.get("object") == "policy":
                found.add((said["policy_version"], said["person_id"], said["policy_sha256"]))
    return found


async def _written(tx: Tx, one: StoredPolicy) -> list[EventView]:
    author = json.loads(one.body).get("author", "")
    events = [EventView(one.created_at, one.number, "drafted", await _login(tx, author))]
    for approval in one.approvals:
        events.append(EventView(approval.at, one.number, "approved", await _login(tx, approval.person_id)))
    if one.discarded_at is not None:
        events.append(EventView(one.discarded_at, one.number, "discarded", ""))
    return events


def _came_into_force(found: Known, now: datetime) -> list[EventView]:
    packs, events = pack_data.load(), list[EventView]()
    begun = [(one.policy.number, in_force_since(one, packs, found.entries, now)) for one in found.versions]
    for number, since in begun:
        over = [at for other, at in begun if other > number and at is not None]
        if since is None or any(at <= since for at in over):
            continue  # a newer one held already
        events.append(EventView(since, number, "in force", ""))
        if over:
            events.append(EventView(min(over), number, "superseded", ""))
    return events


async def _login(tx: Tx, person_id: str) -> str:
    try:
        return (await people.get(tx, person_id)).login
    except NotFound:
        return person_id


def _known_pack(pack: str | None) -> tuple[str, ...]:
    """What it requires. Raises Failure."""
    if pack is None:
        return ()
    found = pack_data.load().get(pack)
    if found is None:
        raise Failure(f"no pack {pack}", "Type: beffroi policy needs", "not_found")
    return found.preconditions


def _need(
    entry: StoredPrecondition, pack: str, said: words_data.Words, lines: Mapping[str, str], *, masked: bool
) -> NeedView:
    return NeedView(
        id=entry.id,
        kind=entry.kind,
        pack=pack,
        line=lines.get(entry.line_id or "", entry.line_id),
        what=said.what,
        proof=said.evidence,
        evidence="(given)" if masked else entry.evidence,
        done_by="(given)" if masked else entry.done_by,
        done_on=entry.done_on,
        entered_at=entry.entered_at,
        entered_by=entry.entered_by,
        withdrawn_at=entry.withdrawn_at,
    )
