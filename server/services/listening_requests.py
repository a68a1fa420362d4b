"""What nobody opens alone: one reader asks, another reader of the same purpose agrees, and it opens once.

Which recordings: those of packs that say so (`two_listeners`). Both are in the access log.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from server.failure import Failure
from server.services.actor import Actor
from server.services.audit import note
from server.services.belonging import Theirs, theirs
from server.services.context import Services
from server.services.directory import person_by_login
from server.services.recordings import found, is_for_two
from storage import listening_requests, people, readers, recordings
from storage.errors import NotFound
from storage.listening_requests import APPROVED, OPEN, REFUSED, Request
from storage.people import Person
from storage.recordings import Recording
from storage.tx import Tx

WAITS = timedelta(days=7)  # for a decision
GOOD = timedelta(hours=24)  # to be used, once somebody agreed
MAX_CHARS = 500
OVER = "over"


@dataclass(frozen=True, slots=True)
class RequestView:
    """Fields: see `server.commands.listening_requests.FIELDS`."""

    id: str
    rec_id: str
    purpose: str
    by: str
    reason: str
    case: str
    state: str
    asked_at: datetime
    until: datetime
    decided_by: str | None
    decided_at: datetime | None


async def ask(services: Services, actor: Actor, *, rec_id: str, login: str) -> RequestView:
    """Ask a second reader. Raises Failure, Conflict where one was asked already."""
    reason, case, now = (actor.reason or "").strip(), (actor.case or "").strip(), services.clock()
    async with services.db.transaction() as tx:
        person = await person_by_login(tx, login)
        recording = await found(tx, rec_id, await theirs(tx, actor))
        if not actor.says_why or not case:
            raise Failure("listening needs a reason and a case", "Give both, in a few words", "invalid")
        if not is_for_two(recording.purpose):
            raise Failure("one person may open that recording", "Open it", "conflict")
        if not await readers.has_right(tx, person.id, recording.purpose or ""):
            raise Failure(f"{login} has no right to listen to {recording.purpose}",
                          "Somebody responsible may type: beffroi person grant", "denied")  # fmt: skip
        made = await listening_requests.add(
            tx, recording.id, person.id, reason=reason[:MAX_CHARS], case=case[:MAX_CHARS], now=now, until=now + WAITS
        )
        await note(services, tx, actor, "add", "request", person_id=person.id, rec_id=recording.id,
                   purpose=recording.purpose, request_id=made.id)  # fmt: skip
        return await _view(tx, made, now)


async def list_(services: Services, actor: Actor, *, login: str | None = None) -> list[RequestView]:
    """Those that wait or may be used, newest first; of a person, theirs and those that they may decide."""
    now = services.clock()
    async with services.db.transaction() as tx:
        some = list(await listening_requests.list_all(tx, states=(OPEN, APPROVED), after=now))
        if login is not None:
            person, own = await person_by_login(tx, login), await theirs(tx, actor)
            some = [one for one in some if await _concerns(tx, one, person, own)]
        await note(services, tx, actor, "list", "request", count=len(some))
        return [await _view(tx, one, now) for one in some]


async def decide(services: Services, actor: Actor, *, request: str, login: str, approve: bool = True) -> RequestView:
    """Agree, or do not. Never one's own, only who may listen to it themselves, and in their own name: a login that is
    typed on this machine proves nobody. Raises Failure, Conflict."""
    now = services.clock()
    async with services.db.transaction() as tx:
        person, own = await person_by_login(tx, login), await theirs(tx, actor)
        asked = await _request(tx, request)
        if not await _concerns(tx, asked, person, own):
            raise _none_such(request)
        refused = _not_by(actor, person, asked)
        if refused is None:
            made = await listening_requests.decide(
                tx, asked.id, APPROVED if approve else REFUSED, person.id, now, now + GOOD if approve else now
            )
        outcome = "denied" if refused is not None else "done" if approve else "refused"
        purpose = (await recordings.get(tx, asked.recording_id)).purpose
        await note(services, tx, actor, "approve", "request", outcome=outcome, person_id=asked.person_id,
                   reader_id=person.id, rec_id=asked.recording_id, purpose=purpose, request_id=asked.id)  # fmt: skip
    if refused is not None:
        raise refused
    async with services.db.read() as tx:
        return await _view(tx, made, now)


def _not_by(actor: Actor, person: Person, asked: Request) -> Failure | None:
    """Why this actor does not decide it as this person."""
    if asked.person_id == person.id:
        return Failure("nobody decides their own request", "Another reader of that purpose does", "denied")
    if actor.who != person.id or actor.session is None:  # a token acts as its person, who has proven nothing just now
        return Failure("nobody agrees in somebody else's name", f"{person.login} answers in the portal", "denied")
    return None


async def standing(services: Services, tx: Tx, recording: Recording, person_id: str) -> Request | None:
    """Of that person, open or approved. None, too, where one may open it alone."""
    if not is_for_two(recording.purpose):
        return None
    return await listening_requests.standing(tx, recording.id, person_id, services.clock())


async def own(services: Services, *, rec_id: str, person_id: str) -> RequestView | None:
    """What that person has asked for, of a recording that they see: open or approved."""
    async with services.db.read() as tx:
        asked = await standing(services, tx, await recordings.get(tx, rec_id), person_id)
        return None if asked is None else await _view(tx, asked, services.clock())


def no_export(recording: Recording) -> Failure | None:
    """An agreement is to hear it once: a copy would be heard as often as anybody likes."""
    if not is_for_two(recording.purpose):
        return None
    return Failure("what nobody opens alone is not exported", "Listen to it: beffroi recordings open", "denied")


async def refusal(services: Services, tx: Tx, recording: Recording, person_id: str) -> Failure | None:
    """Why not, of what is opened by two only."""
    if not is_for_two(recording.purpose):
        return None
    asked = await listening_requests.standing(tx, recording.id, person_id, services.clock())
    if asked is None:
        return Failure("nobody opens that recording alone", "Ask a second reader first: beffroi recordings request",
                       "denied")  # fmt: skip
    if asked.state != APPROVED:
        return Failure("the second reader has not agreed yet", "Wait for them", "denied")
    return None


async def use(services: Services, tx: Tx, rec_id: str, person_id: str) -> dict[str, str]:
    """In the transaction that writes down the opening: what its entry says of the second reader, nothing where one may
    open it alone. Raises Failure where the agreement was used meanwhile, or is over."""
    recording, now = await recordings.get(tx, rec_id), services.clock()
    if not is_for_two(recording.purpose):
        return {}
    asked = await listening_requests.standing(tx, rec_id, person_id, now)
    if asked is None or not await listening_requests.use(tx, asked.id, now):
        raise Failure("the second reader's agreement was used or is over", "Ask once more", "denied")
    return {"reader_id": asked.decided_by or "", "request_id": asked.id}


async def _concerns(tx: Tx, asked: Request, person: Person, own: Theirs | None) -> bool:
    """Whether this person has asked, or may decide."""
    recording = await recordings.get(tx, asked.recording_id)
    if own is not None and not await own.recordings_of([recording]):
        return False
    return asked.person_id == person.id or await readers.has_right(tx, person.id, recording.purpose or "")


async def _request(tx: Tx, request_id: str) -> Request:
    try:
        return await listening_requests.get(tx, request_id)
    except NotFound:
        raise _none_such(request_id) from None


def _none_such(request_id: str) -> Failure:
    return Failure(f"no request {request_id[:32]}", "Type: beffroi recordings requests", "not_found")


async def _view(tx: Tx, one: Request, now: datetime) -> RequestView:
    names = await people.logins(tx)
    recording = await recordings.get(tx, one.recording_id)
    return RequestView(
        id=one.id,
        rec_id=one.recording_id,
        purpose=recording.purpose or "",
        by=names.get(one.person_id, ""),
        reason=one.reason,
        case=one.case,
        state=OVER if one.state in (OPEN, APPROVED) and one.until <= now else one.state,
        asked_at=one.asked_at,
        until=one.until,
        decided_by=names.get(one.decided_by or "") or None,
        decided_at=one.decided_at,
    )
