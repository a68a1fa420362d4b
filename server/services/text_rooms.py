"""Reading an inbox: who may, and what is written down. The passphrase, the code and the words never come here.

A room (`sms.reading_room`) is started with the person's own connection. What it is about to show it names, and nothing
is given out before an entry for each text is committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from server.failure import Failure
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.inbox_rights import inbox_by_name, member_by_login, none_such, reads, to_read
from server.services.inboxes import text_of
from server.services.rooms import closable
from server.services.texts import visible
from server.week_keys import WeekKeys
from sms.reading_client import ReadingEnd, ReadingJob, SealedText, Target, run_reading
from storage import conversations, readers, sms_keys, sms_received, sms_sent
from storage.conversations import Event
from storage.errors import NotFound
from storage.inboxes import Inbox
from storage.people import Person
from storage.readers import TotpOutcome
from storage.tx import Tx

Store = Literal["received", "sent"]
MOST = 500
_OUTCOMES = {TotpOutcome.WRONG: "wrong", TotpOutcome.REPLAYED: "replayed", TotpOutcome.LOCKED: "locked"}


@dataclass(frozen=True, slots=True)
class TextPermit:
    """Somebody may try to read now. Good for one attempt."""

    person_id: str
    inbox: Inbox
    store: Store
    job: ReadingJob = field(repr=False)
    texts: tuple[SealedText, ...] = field(repr=False)
    move_to: Inbox | None = None


async def permit(
    services: Services,
    actor: Actor,
    *,
    login: str,
    inbox: str,
    store: Store = "received",
    search: str | None = None,
    conversation: str | None = None,
    text: str | None = None,
    limit: int = 50,
    move_to: str | None = None,
) -> TextPermit:
    """Check person, right and lock-out; write down that it was asked. `move_to`: hand one text to another inbox, of
    which nothing is shown. Raises Failure."""
    if not actor.says_why:
        raise Failure("reading needs a reason", "Say why with --reason, in a few words", "denied")
    target, to_inbox = None, None
    if move_to is not None:
        async with services.db.read() as tx:
            to_inbox = await inbox_by_name(tx, move_to)
        keks = WeekKeys(services.db, services.keys.ledger, escrow_alone=True)
        kek = await keks.current(to_inbox.purpose, services.clock())
        target = Target(kek.public, kek.purpose, kek.id)
    async with services.db.transaction() as tx:
        person, box = await _whose(tx, login, inbox, store)
        refused = await _refusal(services, tx, person)
        await note(
            services, tx, actor, "unlock", "inbox", outcome="done" if refused is None else "denied",
            person_id=person.id, inbox_id=box.id, purpose=box.purpose,
        )  # fmt: skip
        if refused is None:
            found = await _texts(tx, login, box, store, conversation, text, min(max(1, limit), MOST))
            wraps = await sms_keys.kek_wraps(tx, sorted({one.kek_id for one in found}), person.id)
            job = ReadingJob(
                reader_id=person.id,
                reader_bundle=(await readers.get_key(tx, person.id)).sealed_secret,
                last_totp_step=max(0, (await readers.totp_state(tx, person.id)).last_step),
                kek_wraps=wraps,
                search=search,
                seal_to=target,
            )
    if refused is not None:
        raise refused
    return TextPermit(person.id, box, store, job, tuple(found), to_inbox)


async def serve(services: Services, actor: Actor, granted: TextPermit, terminal_fd: int) -> ReadingEnd:
    """Start the room on the person's connection; returns when it has closed, with all of it written down."""
    book = _Book(services, actor, granted)
    async with closable(services, granted.person_id):
        end = await run_reading(granted.job, granted.texts, terminal_fd, book)
    await book.close(end)
    return end


class _Book:
    """Fills `sms.reading_client.Reading`."""

    def __init__(self, services: Services, actor: Actor, granted: TextPermit) -> None:
        self._services = services
        self._actor = actor
        self._granted = granted
        self._spent = False

    async def allow(self, totp_step: int) -> bool:
        services, granted = self._services, self._granted
        async with services.db.transaction() as tx:
            verdict = await readers.try_totp(tx, granted.person_id, totp_step, services.clock())
            await self._note(tx, "open", outcome=_OUTCOMES.get(verdict, "done"))
        self._spent = True
        return verdict is TotpOutcome.ACCEPTED

    async def shown(self, ids: Sequence[str]) -> bool:
        granted = self._granted
        if granted.move_to is not None or not ids:
            return True  # nothing is shown: that it has moved is written down when it has
        async with self._services.db.transaction() as tx:
            for text_id in ids:
                await note(
                    self._services, tx, self._actor, "show", "text", text_id=text_id, person_id=granted.person_id,
                    inbox_id=granted.inbox.id,
                )  # fmt: skip
            if granted.store == "received":
                await sms_received.mark_read(tx, ids)
        return True

    async def close(self, end: ReadingEnd) -> None:
        services, granted = self._services, self._granted
        async with services.db.transaction() as tx:
            if end.refused in ("credentials", "replay", "bundle") and not self._spent:
                verdict = await readers.try_totp(tx, granted.person_id, None, services.clock())
                outcome = "replayed" if end.refused == "replay" else _OUTCOMES.get(verdict, "wrong")
                await self._note(tx, "open", outcome=outcome)
            elif end.refused not in (None, "denied") and not self._spent:
                if end.totp_step is not None:
                    await readers.try_totp(tx, granted.person_id, end.totp_step, services.clock())
                await self._note(tx, "open", outcome="failed")
            if granted.move_to is not None and granted.job.seal_to is not None:
                await self._move(tx, granted.move_to, granted.job.seal_to, end)

    async def _move(self, tx: Tx, target: Inbox, kek: Target, end: ReadingEnd) -> None:
        now = self._services.clock()
        for text_id, sealed in end.moved.items():
            await sms_received.move(tx, text_id, target.id, kek.kek_id, sealed)
            event = Event(text_id, now, "moved", None, self._granted.person_id, target.id)
            await conversations.note(tx, [event])
            await note(
                self._services, tx, self._actor, "move", "text", text_id=text_id, inbox_id=target.id,
                person_id=self._granted.person_id,
            )  # fmt: skip

    async def _note(self, tx: Tx, action: str, *, outcome: str) -> None:
        granted = self._granted
        await note(
            self._services, tx, self._actor, action, "inbox", outcome=outcome, person_id=granted.person_id,
            inbox_id=granted.inbox.id, purpose=granted.inbox.purpose,
        )  # fmt: skip


async def _whose(tx: Tx, login: str, inbox: str, store: Store) -> tuple[Person, Inbox]:
    """Two stores, two rights. What was sent is opened with the keys of the inbox as well."""
    if store == "received":
        return await to_read(tx, login, inbox)
    person, box = await member_by_login(tx, login), await inbox_by_name(tx, inbox)
    if box.id not in {one.id for one in await visible(tx, person)}:
        if await reads(tx, person, box):
            raise Failure(f"{login} may not see what {inbox} has sent", "Type: beffroi inbox member", "denied")
        raise none_such(inbox)
    return person, box


async def _refusal(services: Services, tx: Tx, person: Person) -> Failure | None:
    try:
        await readers.get_key(tx, person.id)
    except NotFound:
        return Failure(f"{person.login} has no reader's key", "Type: beffroi reader enrol", "denied")
    locked_until = (await readers.totp_state(tx, person.id)).locked_until
    if locked_until is not None and services.clock() < locked_until:
        return Failure(f"too many wrong codes: locked until {locked_until:%H:%M:%S} UTC", "Wait", "locked")
    return None


async def _texts(
    tx: Tx, login: str, box: Inbox, store: Store, conversation: str | None, text: str | None, limit: int
) -> list[SealedText]:
    if store == "received":
        if text is not None:
            _, one = await text_of(tx, login, text)
            found = [one] if one.inbox_id == box.id else []
        else:
            found = list(await sms_received.list_all(tx, inbox_ids=[box.id], conversation_id=conversation, limit=limit))
        bodies = {one.id: one for one in await sms_received.bodies(tx, [one.id for one in found])}
        remotes = await sms_received.addresses(tx, list(bodies))
        return [
            SealedText(
                one.id, box.purpose, one.kek_id, bodies[one.id].body_sealed,
                _about(one.id, "from", remotes[one.id][0], one.received_at, one.state, one.missing),
            )
            for one in reversed(found)
        ]  # fmt: skip
    sent = [one for one in await sms_sent.list_all(tx, inbox_ids=[box.id], limit=limit) if one.key_id is not None]
    if text is not None:
        sent = [one for one in sent if one.id.startswith(text)]
    recipients = await sms_sent.recipients(tx, [one.id for one in sent])
    by_id = {one.id: one for one in sent}
    return [
        SealedText(
            one.id, one.purpose, one.kek_id, one.body_sealed,
            _about(one.id, "to", recipients[one.id], by_id[one.id].created_at, by_id[one.id].state, 0),
            one.key_id, one.wrap,
        )
        for one in reversed(await sms_keys.bodies(tx, [one.id for one in sent]))
    ]  # fmt: skip


def _about(text_id: str, whose: str, address: str, at: datetime, state: str, missing: int) -> dict[str, Any]:
    said: dict[str, Any] = {"id": text_id, whose: address.lstrip("'"), "at": at.isoformat(timespec="seconds")}
    return said | {"state": state} | ({"missing": missing} if missing else {})


__all__ = ["TextPermit", "permit", "serve"]
