"""A house that writes and reads texts: two inboxes, four persons, one carrier, and what they are needed for."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from recording.keys import generate_reader
from recording.reader_bundle import ReaderSecret, seal_reader
from server.messaging import Messaging
from server.services import inboxes, people, readers, texts
from server.services.actor import Actor
from server.services.context import Services
from sms.addresses import Number
from sms.carriers.carrier import InboundPart
from sms.messages import State
from sms.outbound import Stay
from sms.routing import Route
from storage import conversations, sms_received, sms_sent
from storage import inboxes as stored
from storage.sms_sent import NewText, Queued
from storage.tx import Tx
from tests.sms.conftest import Told

ME = Actor("os:1000", "desk-7")
BECAUSE = Actor("os:1000", "desk-7", reason="a test of what is kept")
SHOWN, OTHER = "+33162000001", "+33162000002"
HIS, HERS = "+33612345678", "+33612345679"


def longest(number: int) -> str:
    """A text of as many parts as a byte counts, of characters that take the most bytes. Each is another one."""
    said = f"{number} "
    return said + "漢" * (255 * 67 - len(said))


class Anybody:
    """Nothing stands against a text."""

    async def stays(self, tx: Tx, texts: Sequence[Queued], now: object) -> Mapping[str, Stay]:
        return {}


async def furnish(services: Services) -> None:
    """`reader` (with the key that quickstart made) reads and writes for support, sees what it sent; anna only writes.

    cora has the same rights for care, and none for support; nora is the data protection officer."""
    for login, roles in {"anna": ["employee"], "cora": ["reader"], "nora": ["dpo"]}.items():
        made = await people.add(services, ME, login=login, name=login.title(), roles=roles)
        if "reader" in roles:  # a right counts from the day on which there is a key
            public, secret = generate_reader()
            bundle = seal_reader(ReaderSecret(made.id, secret, "A" * 32), "a long passphrase")
            await readers.enrol(services, ME, login=login, public=b64encode(public).decode(),
                                bundle=b64encode(bundle).decode())  # fmt: skip
    for inbox, address, login in (("support", SHOWN, "reader"), ("care", OTHER, "cora")):
        await inboxes.add(services, ME, name=inbox)
        await inboxes.member(services, ME, inbox=inbox, login=login, reading=True, sending=True, sent=True)
        classes = ["conversation", "transactional"]
        await inboxes.add_sender(services, ME, inbox=inbox, address=address, classes=classes, approved_by="nora")
    await inboxes.member(services, ME, inbox="support", login="anna", sending=True)


@dataclass
class Desk:
    """What runs in the daemon for texts; `carrier` has what left."""

    messaging: Messaging
    carrier: Told
    came: list[str] = field(default_factory=list)

    async def comes(self, words: str, sender: str = HIS, recipient: str = SHOWN) -> None:
        """A text comes in, as a carrier brings it; committed when it returns."""
        self.came.append(words)
        part = InboundPart(Number(sender), Number(recipient), words, f"link:{len(self.came)}", "link")
        await self.messaging.received("one", part)


@contextlib.asynccontextmanager
async def running(services: Services) -> AsyncIterator[Desk]:
    """As in the daemon, with one carrier that takes everything."""
    carrier = Told("one")
    messaging = Messaging(services, lambda _: [(carrier, Route("one", cost_microeuros=45_000))], Anybody())
    services.texts = messaging
    async with asyncio.TaskGroup() as tasks:
        parts = [tasks.create_task(work()) for work in (messaging.outbox.run, messaging.intake.run)]
        try:
            yield Desk(messaging, carrier)
        finally:
            services.texts = None
            for part in parts:
                part.cancel()


async def in_doubt(services: Services, inbox: str = "support", recipient: str = HIS) -> str:
    """A text of which nobody knows what became; its id."""
    now = services.clock()
    async with services.db.transaction() as tx:
        box = await stored.by_name(tx, inbox)
        [sender] = await stored.senders(tx, inbox_id=box.id)
        new = NewText(
            inbox_id=box.id, sender_id=sender.id, author_id="system", recipient=recipient, texts=("hello",),
            coding="gsm7", reference=7, message_class="conversation", purpose="SMS_CONVERSATION",
            legal_basis="GDPR 6(1)(b)", due_at=now, valid_until=now + timedelta(days=1),
            content_until=now + timedelta(days=30), expires_at=now + timedelta(days=90), id=secrets.token_hex(16),
        )  # fmt: skip
        await sms_sent.add_all(tx, [new], now)
        await sms_sent.hand_over(tx, {(new.id, 1): "one"}, now)
        await sms_sent.part_states(tx, [(new.id, 1, State.UNKNOWN, "restart")], now)
        await sms_sent.left(tx, [(new.id, State.UNKNOWN, "the process ended", 0)], now)
    return new.id


async def ids(services: Services, inbox: str = "support") -> list[str]:
    """Of what came in, the newest first."""
    async with services.db.read() as tx:
        box = await stored.by_name(tx, inbox)
        return [one.id for one in await sms_received.list_all(tx, inbox_ids=[box.id], limit=99)]


async def conversation(services: Services, inbox: str = "support") -> str:
    """The newest."""
    async with services.db.read() as tx:
        box = await stored.by_name(tx, inbox)
        return (await conversations.list_all(tx, [box.id]))[0].id


async def request(services: Services) -> str:
    """The one that is due next."""
    async with services.db.read() as tx:
        return (await sms_received.requests(tx))[0].id


async def arguments(services: Services, desk: Desk) -> dict[str, dict[str, object]]:
    """For every operation on texts, what makes it succeed once, in this order."""
    await desk.comes("Pas intéressé", HERS)  # in doubt
    await desk.comes("Mon nom est mal écrit, merci de corriger")
    [wrong, doubtful] = await ids(services)
    later = (services.clock() + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M")
    unknown = await in_doubt(services)
    waits = await texts.send(services, ME, login="reader", inbox="support", to=HIS, words="Bonjour", at=later)
    me: dict[str, object] = {"login": "reader"}
    mine = me | {"inbox": "support"}
    return {
        "sms.send": mine | {"to": HIS, "words": "Bonjour", "at": later},
        "sms.list": me,
        "sms.show": me | {"text": unknown},
        "sms.cancel": me | {"text": waits.id},
        "sms.settle": me | {"text": unknown, "became": "lost"},
        "inbox.add": {"name": "billing"},
        "inbox.list": {},
        "inbox.member": {"inbox": "billing", "login": "anna", "sending": True},
        "inbox.close": {"inbox": "billing"},
        "inbox.sender.add": {"inbox": "billing", "address": "+33162000003", "approved_by": "nora"},
        "inbox.sender.list": {},
        "inbox.sender.remove": {"address": "+33162000003"},
        "inbox.show": mine,
        "inbox.handled": me | {"text": wrong},
        "inbox.decide": me | {"text": doubtful, "is_": "no-stop"},
        "inbox.away": mine | {"words": "Back soon"},
        "inbox.requests": me,
        "inbox.request.close": me | {"request": await request(services)},
        "inbox.conversations": mine,
        "inbox.hand-over": me | {"conversation": await conversation(services)},
        "carrier.list": {},
        "carrier.test": mine | {"carrier": "one", "to": HERS},
        "optout.add": {"number": "+33612345677"},
        "optout.list": {},
        "optout.check": {"number": "+33612345677"},
    }
