"""A house with an inbox or two, on SQLite and on PostgreSQL, and carriers that do as they are told."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording import keys as key_tools
from sms.carriers.carrier import Accepted, Health, OutboundPart, State, Submitted
from storage import inboxes, keys, readers, sms_sent
from storage.database import Database
from storage.field_crypto import FieldKeys
from storage.inboxes import Inbox, Sender
from storage.keys import Kek
from storage.readers import EscrowKey
from storage.sms_sent import NewText
from tests.storage.conftest import field_keys, ledger_key, postgres_dir, url  # noqa: F401

SHOWN = "+33162000001"
OTHER = "+33162000002"


async def until(condition: Callable[[], bool], *, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Waits for it; `meanwhile` is done between two looks."""
    async with asyncio.timeout(30):
        while True:
            if condition():
                return
            meanwhile()
            await asyncio.sleep(0.01)


class Clock:
    """Now, as a test has it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def on(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Told:
    """A carrier that answers what it is told to, and remembers what it was given."""

    name: str = "one"
    window: int = 5
    health: Health = Health.UP
    answer: Callable[[OutboundPart], Submitted] | None = None
    given: list[OutboundPart] = field(default_factory=list)
    silent: asyncio.Event | None = None  # answers once it is set

    def state(self) -> State:
        return State(self.health, datetime(2026, 1, 1, tzinfo=UTC))

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def submit(self, part: OutboundPart) -> Submitted:
        self.given.append(part)
        if self.silent is not None:
            await self.silent.wait()
        if self.answer is not None:
            return self.answer(part)
        return Accepted(f"{len(self.given):x}")


@dataclass
class House:
    database: Database
    clock: Clock
    sales: Inbox
    care: Inbox
    shown: Sender  # of sales
    other: Sender  # of care

    def text(self, recipient: str, *texts: str, **more: object) -> NewText:
        """Ready to be added."""
        now = self.clock()
        values: dict[str, object] = {
            "inbox_id": self.sales.id,
            "sender_id": self.shown.id,
            "author_id": "system",
            "recipient": recipient,
            "texts": texts or ("hello",),
            "coding": "gsm7",
            "reference": 7,
            "message_class": "conversation",
            "purpose": "SMS_CONVERSATION",
            "legal_basis": "GDPR 6(1)(b)",
            "due_at": now,
            "valid_until": now + timedelta(days=1),
            "content_until": now + timedelta(days=30),
            "expires_at": now + timedelta(days=90),
        }
        return NewText(**{**values, **more})  # type: ignore[arg-type]

    async def add(self, *texts: NewText) -> None:
        async with self.database.transaction() as tx:
            await sms_sent.add_all(tx, texts, self.clock())

    async def state(self, message_id: str) -> str:
        async with self.database.read() as tx:
            return (await sms_sent.get(tx, message_id)).state

    async def reaches(self, message_id: str, *states: str) -> str:
        """Waits until it is in one of these."""
        async with asyncio.timeout(20):
            while True:
                if (state := await self.state(message_id)) in states:
                    return state
                await asyncio.sleep(0.01)


@dataclass
class OwnKeks:
    """A KEK for each purpose, with the secret that a reader would have."""

    database: Database
    secrets: dict[str, bytes] = field(default_factory=dict)  # by KEK id
    made: dict[str, Kek] = field(default_factory=dict)

    async def current(self, purpose: str, now: datetime) -> Kek:
        if purpose not in self.made:
            public, secret = key_tools.generate_kek()
            kek = Kek(secrets.token_hex(16), purpose, "2026-W48.1", "X", public, b"s", now, now + timedelta(days=7))
            async with self.database.transaction() as tx:
                await keys.add_kek(tx, kek, ())
            self.secrets[kek.id], self.made[purpose] = secret, kek
        return self.made[purpose]


@pytest.fixture
async def house(url: str, field_keys: FieldKeys, ledger_key: Ed25519PrivateKey) -> AsyncIterator[House]:  # noqa: F811
    clock = Clock()
    database = await Database.open(url, field_keys, ledger_key)
    try:
        async with database.transaction() as tx:
            public, _ = key_tools.generate_reader()
            await readers.set_escrow(tx, EscrowKey("X", public, clock()))
            sales = await inboxes.add(tx, "sales", "team", clock())
            care = await inboxes.add(tx, "care", "team", clock(), language="en")
            every = ("conversation", "marketing", "transactional")
            by = "a" * 32
            shown = await inboxes.add_sender(tx, sales.id, SHOWN, "number", clock(), classes=every, approved_by=by)
            other = await inboxes.add_sender(tx, care.id, OTHER, "number", clock(), classes=every, approved_by=by)
        yield House(database, clock, sales, care, shown, other)
    finally:
        await database.close()


@pytest.fixture
def keks(house: House) -> OwnKeks:
    return OwnKeks(house.database)
