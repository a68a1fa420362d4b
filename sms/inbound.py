"""Texts that come in: committed, then acknowledged. What has come since the last commit is taken together, in one
transaction: each to the one inbox to which it belongs, sealed to its readers; and in that transaction STOP counts.

Nothing of a text is readable here once its transaction is over, but for two things that are needed and said: parts of
a long text that wait for the others, and a copy for a person's own phones until one of them has taken it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from retention import contact_case
from sms import addresses, sealing
from sms.addresses import Address
from sms.carriers.carrier import Coding, InboundPart
from sms.group_commit import GroupCommit
from sms.reactions import Answers, Heard, heed
from sms.reading import Read, Reading
from sms.routing import Place, Written, place_of_reply
from sms.text.joining import Piece, joined
from storage import conversations, inboxes, sms_received, sms_sent
from storage.database import Database
from storage.errors import Unavailable
from storage.ids import new_id
from storage.inboxes import Inbox, Sender
from storage.keys import Kek
from storage.sms_received import Delivery, NewReceived
from storage.sms_sent import Wrote
from storage.tx import Tx

log = logging.getLogger(__name__)

REPLY_DAYS = 30  # a text is a reply to what was sent within these
SAME_DELIVERY = timedelta(minutes=15)  # what a network repeats over another link, it repeats soon
DELIVERIES_KEPT = timedelta(days=1)
FRAGMENTS_WAIT = timedelta(hours=24)
REQUEST_DUE = timedelta(days=30)  # GDPR Art. 12(3): a month


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
    counted: Counter[str] = field(default_factory=Counter)  # goes into the metrics once it is committed
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


@dataclass(slots=True)
class _Text:
    """One of a batch, on its way into its inbox."""

    id: str
    whole: _Whole
    told: _Incoming
    reading: Reading
    remote: str
    ours: str
    person: bool  # nobody else is answered
    sender: Sender | None = None
    place: Place = field(default_factory=lambda: Place(None, "not an address of ours"))
    box: Inbox = field(init=False)
    kek: Kek = field(init=False)
    conversation_id: str | None = None

    @property
    def state(self) -> str:
        return "held" if self.reading.stop == "ambiguous" else "aside" if self.reading.aside else "new"


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
        self._learning = asyncio.Lock()
        self._keys_until = datetime.min.replace(tzinfo=UTC)
        self._commits: GroupCommit[_Incoming] = GroupCommit(database, self._apply)
        self.counted: Counter[str] = Counter()  # for the metrics

    def inboxes_changed(self) -> None:
        """An inbox, or who may read one."""
        self._known = False

    async def run(self) -> None:
        self._read("")  # its words are read now, and not while the first text waits
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
            await self._keep(tx, [(_joined(parts), told) for parts in unfinished.values()], now)
            for whole in unfinished:
                await sms_received.join(tx, whole)
        await self._tell(told)
        return len(unfinished)

    async def _tell(self, incoming: _Incoming) -> None:
        self.counted.update(incoming.counted)
        if incoming.queued:
            self._on_queued()
        for one in incoming.arrived:
            await self._on_arrived(one)

    async def _know_boxes(self) -> None:
        """Every inbox with the key that is in force for it: made outside of any transaction of ours."""
        if self._known and self._keys_until > self._clock():
            return
        async with self._learning:  # whoever comes meanwhile waits for the same
            now = self._clock()
            if self._known and self._keys_until > now:
                return
            self._known = True  # before it is read: what changes meanwhile is read again
            try:
                async with self._database.transaction() as tx:
                    sealed = await inboxes.sealed_box(tx, now)
                    every = await inboxes.list_all(tx)
                found = {box.id: (box, await self._keks.current(box.purpose, now)) for box in every}
            except BaseException:
                self._known = False
                raise
            self._boxes, self._sealed_id = found, sealed.id
            self._keys_until = min(kek.not_after for _, kek in found.values())

    # --- within the transaction ---------------------------------------------------------------------------------

    async def _apply(self, tx: Tx, items: Sequence[_Incoming]) -> None:
        now = self._clock()
        for item in items:  # of a try that was rolled back
            item.arrived.clear()
            item.counted.clear()
            item.queued = False
        whole = [(await self._whole(tx, item.carrier, item.part, now), item) for item in await _new(tx, items, now)]
        await self._keep(tx, [(text, item) for text, item in whole if text is not None], now)

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

    async def _keep(self, tx: Tx, wholes: Sequence[tuple[_Whole, _Incoming]], now: datetime) -> None:
        if not wholes:
            return
        texts = [self._text(whole, told) for whole, told in wholes]
        await self._place(tx, texts, now)
        await self._converse(tx, texts, now)
        await sms_received.add_all(tx, [self._row(text, now) for text in texts])
        await self._heed(tx, [text for text in texts if text.person], now)
        for text in texts:
            text.told.counted["received"] += 1
            for kind in text.reading.requests:
                expires_at = self._periods.request(now)
                await sms_received.open_request(
                    tx, kind, text.id, text.box.id, now, due_at=now + REQUEST_DUE, expires_at=expires_at
                )
        copied = await self._copy_for_phones(tx, texts, now)
        for text in texts:
            account_id = text.box.account_id if text.whole.text is not None else None
            account_id = account_id if account_id in copied else None
            text.told.arrived.append(Arrived(text.id, text.box.id, account_id, text.state))

    def _text(self, whole: _Whole, told: _Incoming) -> _Text:
        reading = self._read(whole.text) if whole.text is not None else Reading(machine=True, rule="no text")
        return _Text(
            new_id(),
            whole,
            told,
            reading,
            remote=addresses.as_text(whole.sender),
            ours=addresses.as_text(whole.recipient),
            person=addresses.can_be_answered(whole.sender),
        )

    async def _place(self, tx: Tx, texts: Sequence[_Text], now: datetime) -> None:
        senders = await inboxes.senders_by_address(tx, {text.ours for text in texts})
        pairs = {(text.remote, senders[text.ours].id) for text in texts if text.ours in senders}
        wrote = await sms_sent.wrote_to(tx, pairs, now - timedelta(days=REPLY_DAYS))
        for text in texts:
            sender = text.sender = senders.get(text.ours)
            if sender is not None:
                written = [_facts(one) for one in wrote.get((text.remote, sender.id), ())]
                text.place = place_of_reply(written, sender.inbox_id)
            text.box, text.kek = self._box(text.place)

    def _box(self, place: Place) -> tuple[Inbox, Kek]:
        box = self._boxes.get(place.inbox_id or self._sealed_id)
        if box is None:  # made a moment ago: the carrier brings the text once more
            self._known = False
            raise Unavailable("an inbox has no key yet")
        if box[0].disabled_at is not None:
            return self._boxes[self._sealed_id]
        return box

    async def _converse(self, tx: Tx, texts: Sequence[_Text], now: datetime) -> None:
        """Each into its conversation, where a person wrote to an inbox: the one replied to, the open one, a new one."""
        until = self._periods.conversation(now)
        looked_for: dict[conversations.Place, list[_Text]] = {}
        going_on = set()
        for text in texts:
            if not text.person or text.box.kind == "sealed" or text.sender is None:
                continue
            text.conversation_id = text.place.conversation_id
            if text.conversation_id is not None:
                going_on.add(text.conversation_id)
            else:
                looked_for.setdefault((text.box.id, text.sender.id, text.remote), []).append(text)
        found = await conversations.find_each(tx, looked_for)
        going_on.update(found.values())
        found |= await conversations.open_each(tx, [place for place in looked_for if place not in found], now, until)
        for place, theirs in looked_for.items():
            for text in theirs:
                text.conversation_id = found[place]
        await conversations.touched(tx, going_on, now, until)

    def _row(self, text: _Text, now: datetime) -> NewReceived:
        whole, reading = text.whole, text.reading
        return NewReceived(
            id=text.id,
            inbox_id=text.box.id,
            carrier=whole.carrier,
            sender=text.remote,
            recipient=text.ours,
            body_sealed=sealing.received(text.kek, text.id, sealing.words(whole.text, whole.raw)),
            kek_id=text.kek.id,
            purpose=_PACK,
            legal_basis=contact_case.pack_of(_PACK).legal_basis,
            stop=reading.stop,
            sorting=reading.aside,
            rule=reading.rule or text.place.rule,
            state=text.state,
            parts=whole.parts,
            missing=whole.missing,
            received_at=now,
            expires_at=self._periods.received(now),
            sent_at=whole.sent_at,
            sender_id=None if text.sender is None else text.sender.id,
            conversation_id=text.conversation_id,
            campaign_id=text.place.campaign_id,
            in_reply_to=text.place.in_reply_to,
        )

    async def _heed(self, tx: Tx, texts: Sequence[_Text], now: datetime) -> None:
        heard = [Heard(text.remote, text.reading, text.box, text.sender, text.told.counted) for text in texts]
        if await heed(tx, self._answers, heard, now):
            texts[0].told.queued = True  # one of them wakes the queue

    async def _copy_for_phones(self, tx: Tx, texts: Sequence[_Text], now: datetime) -> frozenset[str]:
        """Accounts whose phones have a copy waiting."""
        if not self._periods.phone_copy:
            return frozenset()
        copies = [
            (text.box.account_id, json.dumps({"from": text.remote, "text": text.whole.text}, ensure_ascii=False))
            for text in texts
            if text.box.account_id is not None and text.whole.text is not None
        ]
        return await sms_received.wait_each(tx, copies, now, now + self._periods.phone_copy)


async def _new(tx: Tx, items: Sequence[_Incoming], now: datetime) -> list[_Incoming]:
    """Those that have not come before. A repetition is remembered too: what follows it over the same link is new."""
    prints = [_fingerprint(tx, item.carrier, item.part) for item in items]
    known = await sms_received.deliveries(tx, prints)
    last, new = dict(known), []
    for item, fingerprint in zip(items, prints, strict=True):
        delivery = Delivery(item.part.delivery, item.part.link, now)
        before, last[fingerprint] = last.get(fingerprint), delivery
        if before is not None and _is_repetition(before, delivery):
            item.counted["repeated"] += 1
        else:
            new.append(item)
    await sms_received.remember(tx, {fingerprint: last[fingerprint] for fingerprint in sorted(last)}, known=known)
    return new


def _facts(one: Wrote) -> Written:
    return Written(one.message_id, one.inbox_id, one.created_at, one.campaign_id, one.conversation_id)


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
