"""Texts that come in: committed, then acknowledged. STOP first, in the same transaction; then the one inbox to which
the text belongs, sealed to its readers.

Nothing of a text is readable here once its transaction is over, but for two things that are needed and said: parts of
a long text that wait for the others, and a copy for a person's own phones until one of them has taken it.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from retention import contact_case
from sms import addresses, sealing
from sms.addresses import Address
from sms.carriers.carrier import Coding, InboundPart
from sms.group_commit import GroupCommit
from sms.reading import Read, Reading
from sms.routing import Place, Written, place_of_reply
from sms.text.joining import Piece, joined
from storage import consents, conversations, inboxes, ledger, sms_received, sms_sent, suppressions
from storage.database import Database
from storage.errors import Conflict, Unavailable
from storage.ids import new_id
from storage.inboxes import Inbox, Sender
from storage.keys import Kek
from storage.sms_received import Delivery, NewReceived
from storage.sms_sent import NewText
from storage.tx import Tx

log = logging.getLogger(__name__)

REPLY_DAYS = 30  # a text is a reply to what was sent within these
SAME_DELIVERY = timedelta(minutes=15)  # what a network repeats over another link, it repeats soon
DELIVERIES_KEPT = timedelta(days=1)
FRAGMENTS_WAIT = timedelta(hours=24)
REQUEST_DUE = timedelta(days=30)  # GDPR Art. 12(3): a month
ANSWER_ONCE = timedelta(hours=24)  # an answer that nobody wrote, to the same telephone
SYSTEM, AWAY = "system", "away"  # authors of such answers
STOP_ACK, HELP = "stop_ack", "help"


class Keks(Protocol):
    """Where the KEK of a purpose comes from. May take a transaction of its own: never asked within one."""

    async def current(self, purpose: str, now: datetime) -> Kek: ...


@dataclass(frozen=True, slots=True)
class Periods:
    """How long things are kept, from now."""

    received: Callable[[datetime], datetime]
    conversation: Callable[[datetime], datetime]
    request: Callable[[datetime], datetime]
    phone_copy: timedelta  # 0: no copy for phones


class Answers(Protocol):
    """What is said without anybody writing it."""

    def text(self, kind: str, language: str) -> str:
        """`STOP_ACK` or `HELP`; empty: nothing is said."""

    def prepared(
        self, words: str, *, inbox: Inbox, sender: Sender, recipient: str, author: str, now: datetime
    ) -> NewText:
        """Ready to be queued: split, with pack and periods."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """For whoever tells people that something is there: no word and no number of it."""

    received_id: str
    inbox_id: str
    account_id: str | None  # whose phones have a copy waiting
    state: str


@dataclass(slots=True)
class _Incoming:
    carrier: str
    part: InboundPart
    arrived: list[Arrived] = field(default_factory=list)
    queued: bool = False  # something is to be sent now


@dataclass(frozen=True, slots=True)
class _Whole:
    """A text with all its parts, or all that will ever come."""

    carrier: str
    sender: Address
    recipient: Address
    text: str | None
    raw: bytes
    parts: int
    missing: int
    sent_at: datetime | None


class Intake:
    """One for the daemon. `received` commits; `run` has to be running."""

    def __init__(
        self,
        database: Database,
        keks: Keks,
        read: Read,
        answers: Answers,
        periods: Periods,
        clock: Callable[[], datetime],
        *,
        on_arrived: Callable[[Arrived], Awaitable[None]],
        on_queued: Callable[[], None],
    ) -> None:
        self._database = database
        self._keks = keks
        self._read = read
        self._answers = answers
        self._periods = periods
        self._clock = clock
        self._on_arrived = on_arrived
        self._on_queued = on_queued
        self._boxes: dict[str, tuple[Inbox, Kek]] = {}
        self._sealed_id = ""
        self._known = False
        self._commits: GroupCommit[_Incoming] = GroupCommit(database, self._apply)
        self.counted: Counter[str] = Counter()  # for the metrics

    def inboxes_changed(self) -> None:
        """An inbox, or who may read one."""
        self._known = False

    async def run(self) -> None:
        await self._commits.run()

    async def received(self, carrier: str, part: InboundPart) -> None:
        """Committed when it returns. Raises StorageError: it was not."""
        await self._know_boxes()
        incoming = _Incoming(carrier, part)
        await self._commits.put(incoming)
        await self._tell(incoming)

    async def give_up_waiting(self) -> int:
        """Long texts of which parts have not come: what is there is kept, and says how much is missing. How many."""
        await self._know_boxes()
        now, told = self._clock(), _Incoming("", _NOTHING)
        async with self._database.transaction() as tx:
            await sms_received.forget_deliveries(tx, now - DELIVERIES_KEPT)
            unfinished = await sms_received.unfinished(tx, now - FRAGMENTS_WAIT)
            for whole, parts in unfinished.items():
                await self._keep(tx, _joined(parts), now, told)
                await sms_received.join(tx, whole)
        await self._tell(told)
        return len(unfinished)

    async def _tell(self, incoming: _Incoming) -> None:
        if incoming.queued:
            self._on_queued()
        for one in incoming.arrived:
            await self._on_arrived(one)

    async def _know_boxes(self) -> None:
        """Every inbox with the key that is in force for it: made outside of any transaction of ours."""
        now = self._clock()
        if self._known and all(kek.not_after > now for _, kek in self._boxes.values()):
            return
        self._known = True  # before it is read: what changes meanwhile is read again
        async with self._database.transaction() as tx:
            sealed = await inboxes.sealed_box(tx, now)
            every = await inboxes.list_all(tx)
        try:
            found = {box.id: (box, await self._keks.current(box.purpose, now)) for box in every}
        except BaseException:
            self._known = False
            raise
        self._boxes, self._sealed_id = found, sealed.id

    # --- within the transaction ---------------------------------------------------------------------------------

    async def _apply(self, tx: Tx, items: Sequence[_Incoming]) -> None:
        now = self._clock()
        prints = [_fingerprint(tx, item.carrier, item.part) for item in items]
        known = await sms_received.deliveries(tx, prints)
        for item, fingerprint in zip(items, prints, strict=True):
            item.arrived.clear()  # of a try that was rolled back
            item.queued = False
            delivery = Delivery(item.part.delivery, item.part.link, now)
            before, known[fingerprint] = known.get(fingerprint), delivery
            # A repetition too: what follows it here is new.
            await sms_received.remember(tx, fingerprint, delivery, known=before is not None)
            if before is not None and _is_repetition(before, delivery):
                self.counted["repeated"] += 1
                continue
            whole = await self._whole(tx, item.carrier, item.part, now)
            if whole is not None:
                await self._keep(tx, whole, now, item)

    async def _whole(self, tx: Tx, carrier: str, part: InboundPart, now: datetime) -> _Whole | None:
        if part.total <= 1:
            return _Whole(carrier, part.sender, part.recipient, part.text, part.raw, 1, 0, part.sent_at)
        said = ["fragment", carrier, addresses.as_text(part.sender), addresses.as_text(part.recipient)]
        whole = tx.keys.blind_index("sms", json.dumps([*said, part.reference, part.total]))
        there = await sms_received.keep_fragment(tx, whole, part.number, _written(carrier, part), now)
        if len(there) < part.total:
            return None
        await sms_received.join(tx, whole)
        return _joined(there)

    async def _keep(self, tx: Tx, whole: _Whole, now: datetime, told: _Incoming) -> None:
        reading = self._read(whole.text) if whole.text is not None else Reading(machine=True, rule="no text")
        remote, ours = addresses.as_text(whole.sender), addresses.as_text(whole.recipient)
        person = addresses.can_be_answered(whole.sender)
        sender = await self._sender(tx, ours)
        place = await self._place(tx, remote, sender, now)
        box, kek = self._box(place)
        received_id = new_id()
        state = "held" if reading.stop == "ambiguous" else "aside" if reading.aside else "new"
        conversation_id = await self._conversation(tx, box, place, sender, remote, now) if person else None
        await sms_received.add(
            tx,
            NewReceived(
                id=received_id,
                inbox_id=box.id,
                carrier=whole.carrier,
                sender=remote,
                recipient=ours,
                body_sealed=sealing.received(kek, received_id, sealing.words(whole.text, whole.raw)),
                kek_id=kek.id,
                purpose=_PACK,
                legal_basis=contact_case.pack_of(_PACK).legal_basis,
                stop=reading.stop,
                sorting=reading.aside,
                rule=reading.rule or place.rule,
                state=state,
                parts=whole.parts,
                missing=whole.missing,
                received_at=now,
                expires_at=self._periods.received(now),
                sent_at=whole.sent_at,
                sender_id=None if sender is None else sender.id,
                conversation_id=conversation_id,
                campaign_id=place.campaign_id,
                in_reply_to=place.in_reply_to,
            ),
        )
        self.counted["received"] += 1
        if person:
            await self._heed(tx, reading, remote, box, sender, now, told)
        for kind in reading.requests:
            expires_at = self._periods.request(now)
            await sms_received.open_request(
                tx, kind, received_id, box.id, now, due_at=now + REQUEST_DUE, expires_at=expires_at
            )
        account_id = await self._copy_for_phones(tx, box, remote, whole, now)
        told.arrived.append(Arrived(received_id, box.id, account_id, state))

    async def _sender(self, tx: Tx, ours: str) -> Sender | None:
        """Read once in a transaction: most texts of a batch come to the same few addresses."""
        known: dict[str, Sender | None] = tx.memo.setdefault("sms senders", {})
        if ours not in known:
            known[ours] = await inboxes.sender_by_address(tx, ours)
        return known[ours]

    async def _place(self, tx: Tx, remote: str, sender: Sender | None, now: datetime) -> Place:
        if sender is None:
            return Place(None, "not an address of ours")
        wrote = await sms_sent.wrote_to(tx, remote, sender.id, now - timedelta(days=REPLY_DAYS))
        written = [
            Written(one.message_id, one.inbox_id, one.created_at, one.campaign_id, one.conversation_id) for one in wrote
        ]
        return place_of_reply(written, sender.inbox_id)

    def _box(self, place: Place) -> tuple[Inbox, Kek]:
        box = self._boxes.get(place.inbox_id or self._sealed_id)
        if box is None:  # made a moment ago: the carrier brings the text once more
            self._known = False
            raise Unavailable("an inbox has no key yet")
        if box[0].disabled_at is not None:
            return self._boxes[self._sealed_id]
        return box

    async def _conversation(
        self, tx: Tx, box: Inbox, place: Place, sender: Sender | None, remote: str, now: datetime
    ) -> str | None:
        if box.kind == "sealed" or sender is None:
            return None
        until = self._periods.conversation(now)
        known = place.conversation_id
        if known is None:
            found = await conversations.find(tx, box.id, sender.id, remote)
            known = None if found is None else found.id
        if known is None:
            return await conversations.open_(tx, box.id, sender.id, remote, now, until)
        await conversations.touched(tx, known, now, until)
        return known

    # --- what it asks for ---------------------------------------------------------------------------------------

    async def _heed(
        self,
        tx: Tx,
        reading: Reading,
        remote: str,
        box: Inbox,
        sender: Sender | None,
        now: datetime,
        told: _Incoming,
    ) -> None:
        if reading.stop == "stop":
            self.counted["stop"] += 1
            await self._stop(tx, remote, "*" if reading.calls_too else "sms", now)
            if not reading.machine:
                told.queued |= await self._answer(tx, STOP_ACK, box, sender, remote, now)
        elif reading.stop == "help" and not reading.machine:
            told.queued |= await self._answer(tx, HELP, box, sender, remote, now)
        elif reading.stop == "none" and not reading.machine and not reading.aside:
            told.queued |= await self._away(tx, box, sender, remote, now)

    async def _stop(self, tx: Tx, remote: str, channel: str, now: datetime) -> None:
        """From this transaction on nothing of the kind is sent: not to be, not queued."""
        listed = await suppressions.of_number(tx, remote, channel)
        if not any(one.until is None and one.channel in (channel, "*") for one in listed):
            pack = contact_case.pack_of(contact_case.SUPPRESSION_PACK)
            made = await suppressions.add(
                tx,
                remote,
                now,
                channel=channel,
                reason="withdrawal",
                source="sms",
                since=now,
                until=None,
                purpose=pack.purpose,
                legal_basis=pack.legal_basis,
                kept_until=contact_case.kept_until(contact_case.SUPPRESSION_PACK, now),
            )
            entry = {"actor_id": SYSTEM, "action": "add", "object": "suppression", "suppression_id": made.id}
            await ledger.append(tx, "access", {**entry, "cause": "objection"}, now)
        proof = contact_case.kept_until(contact_case.EVIDENCE_PACK, now)
        for consent in await consents.of_number(tx, remote):
            if consent.withdrawn_at is None and (channel == "*" or consent.channel == "sms"):
                await consents.withdraw(tx, consent.id, "sms", now, proof)
        await sms_sent.cancel_marketing(tx, remote, now)

    async def _answer(self, tx: Tx, kind: str, box: Inbox, sender: Sender | None, remote: str, now: datetime) -> bool:
        words = self._answers.text(kind, box.language)
        if not words or sender is None or sender.disabled_at is not None or sender.kind == "name":
            return False
        if await sms_sent.answered_since(tx, remote, kind, now - ANSWER_ONCE):
            return False
        answer = self._answers.prepared(words, inbox=box, sender=sender, recipient=remote, author=kind, now=now)
        await sms_sent.add_all(tx, [answer], now)
        return True

    async def _away(self, tx: Tx, box: Inbox, sender: Sender | None, remote: str, now: datetime) -> bool:
        if box.away is None or box.away.until <= now or sender is None or sender.disabled_at is not None:
            return False
        if await sms_sent.answered_since(tx, remote, AWAY, now - ANSWER_ONCE):
            return False
        words = box.away.text
        answer = self._answers.prepared(words, inbox=box, sender=sender, recipient=remote, author=AWAY, now=now)
        await sms_sent.add_all(tx, [answer], now)
        return True

    async def _copy_for_phones(self, tx: Tx, box: Inbox, remote: str, whole: _Whole, now: datetime) -> str | None:
        if box.account_id is None or whole.text is None or not self._periods.phone_copy:
            return None
        said = json.dumps({"from": remote, "text": whole.text}, ensure_ascii=False)
        try:
            await sms_received.wait(tx, box.account_id, said, now, now + self._periods.phone_copy)
        except Conflict:  # the account is being removed
            return None
        return box.account_id


_PACK = "SMS_REPLIES"
_NOTHING = InboundPart(addresses.Number(""), addresses.Number(""), None, "", "")


def _fingerprint(tx: Tx, carrier: str, part: InboundPart) -> bytes:
    """Keyed: of whoever wrote what to whom. Says nothing to anybody without the key."""
    said = [
        "delivery",
        carrier,
        addresses.as_text(part.sender),
        addresses.as_text(part.recipient),
        part.text,
        part.raw.hex(),
        part.reference,
        part.number,
        part.total,
        part.sent_at.isoformat() if part.sent_at else "",
    ]
    return tx.keys.blind_index("sms", json.dumps(said))


def _is_repetition(before: Delivery, now: Delivery) -> bool:
    """The same delivery once more; or, over another link, what the last one was perhaps not acknowledged of."""
    if (before.delivery, before.link) == (now.delivery, now.link):
        return True
    return before.link != now.link and now.at - before.at < SAME_DELIVERY


def _written(carrier: str, part: InboundPart) -> bytes:
    sent_at = part.sent_at.isoformat() if part.sent_at else None
    both = (addresses.as_text(part.sender), addresses.as_text(part.recipient))
    return json.dumps([carrier, *both, part.text, part.raw.hex(), part.total, sent_at, part.coding]).encode()


_MISSING: Piece = (" […] ", None, b"")


def _piece(text: str | None, raw: str, coding: str | None) -> Piece:
    return text, Coding(coding) if coding else None, bytes.fromhex(raw)


def _joined(parts: dict[int, bytes]) -> _Whole:
    """Of what is there, in order; where a part is missing, a mark stands."""
    read = {number: json.loads(part) for number, part in parts.items()}
    carrier, sender, recipient, _, _, total, sent_at, _ = read[min(read)]
    missing = total - len(read)
    pieces = {number: _piece(said[3], said[4], said[7]) for number, said in read.items()}
    whole = joined([pieces.get(number, _MISSING) for number in range(1, total + 1)])
    raw = b"".join(pieces[number][2] for number in sorted(pieces)) if whole is None else b""
    sent = datetime.fromisoformat(sent_at) if sent_at else None
    return _Whole(carrier, addresses.of_text(sender), addresses.of_text(recipient), whole, raw, total, missing, sent)
