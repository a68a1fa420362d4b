"""What tests of carriers by SMPP share: a receiver that remembers, a carrier that runs, parts."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

from sms.addresses import Number
from sms.carriers.carrier import Coding, Health, InboundPart, OutboundPart, Receipt
from sms.carriers.smpp import SmppCarrier
from sms.carriers.smpp_settings import SmppSettings

US, THEM = Number("+33600000001"), Number("+33600000002")


class Memory:
    """A Receiver. `fails` is raised for as long as it is set; while `gate` is clear nothing is committed."""

    def __init__(self) -> None:
        self.parts: list[InboundPart] = []
        self.receipts: list[Receipt] = []
        self.fails: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = 0
        self.changed = asyncio.Condition()

    async def received(self, carrier: str, part: InboundPart) -> None:
        await self._commit(self.parts, part)

    async def receipt(self, carrier: str, receipt: Receipt) -> None:
        await self._commit(self.receipts, receipt)

    async def _commit(self, where: list[Any], what: Any) -> None:
        self.begun += 1
        await self._tell()
        await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        where.append(what)
        await self._tell()

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until(self, true: Callable[[], bool]) -> None:
        async with self.changed:
            await self.changed.wait_for(true)


def settings(port: int, **more: Any) -> SmppSettings:
    quick = {"retry_s": 0.02, "retry_most_s": 0.1, "connect_s": 20.0, "goodbye_s": 5.0}
    told = {"name": "test", "host": "127.0.0.1", "port": port, "system_id": "us", "password": "secret", "country": "FR"}
    return SmppSettings(**{**told, **quick, **more})


@contextlib.asynccontextmanager
async def running(told: SmppSettings, receiver: Memory | None = None) -> AsyncIterator[SmppCarrier]:
    """A carrier that runs until the end of the block, and says goodbye there."""
    dice = random.Random(7)  # noqa: S311 - it spreads tries, and hides nothing
    carrier = SmppCarrier(told, receiver or Memory(), now=lambda: datetime.now(UTC), dice=dice)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(carrier.run())
        try:
            yield carrier
        finally:
            task.cancel()


async def becomes(carrier: SmppCarrier, health: Health) -> None:
    """pytest's own limit of time ends a wait in vain."""
    while carrier.state().health is not health:  # noqa: ASYNC110 - the carrier tells nobody
        await asyncio.sleep(0.005)


def part(text: str = "hello", **more: Any) -> OutboundPart:
    told = {"part_id": "p", "sender": US, "recipient": THEM, "coding": Coding.GSM7}
    return OutboundPart(text=text, **{**told, **more})
