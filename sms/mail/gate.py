"""The listener: mail comes in over STARTTLS and AUTH, or from a relay that the configuration names.

It runs on the loop that it is started on, without a thread. 250 is said after `Desk.accept` has committed.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from sms.mail.allowance import Buckets, Places, Rate
from sms.mail.connection import Connection
from sms.mail.desk import Desk, Relay
from sms.mail.reading import Bounds

_T = TypeVar("_T")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
ENDING_S = 5.0  # for mails that are being taken when the daemon ends
PROVING_MAX = 2  # passwords that are checked at a time: each costs memory and a core


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Plain values; ValueError where one is out of bounds.

    `domain`: of the addresses that mean a telephone. `timeout_s`: for one command, and for the whole of one mail.
    """

    host: str
    port: int
    hostname: str
    domain: str
    bounds: Bounds
    relays: tuple[Relay, ...] = ()
    rate: Rate = field(default_factory=Rate)
    max_bytes: int = 65536
    max_recipients: int = 20
    max_connections: int = 100
    max_connections_each: int = 10
    timeout_s: float = 30.0
    lifetime_s: float = 300.0
    asking_s: float = 10.0  # for the answer of the desk

    def __post_init__(self) -> None:
        for name, value in (("hostname", self.hostname), ("domain", self.domain)):
            if not _NAME.fullmatch(value):
                raise ValueError(f"{name} is no name of the DNS")
        for name, number, least, most in (
            ("port", self.port, 0, 65535),
            ("max_bytes", self.max_bytes, 1024, 10 * 1024 * 1024),
            ("max_recipients", self.max_recipients, 1, 1000),
            ("max_connections", self.max_connections, 1, 10000),
            ("max_connections_each", self.max_connections_each, 1, 10000),
            ("timeout_s", self.timeout_s, 0.1, 600),
            ("lifetime_s", self.lifetime_s, 0.1, 86400),
            ("asking_s", self.asking_s, 0.1, 60),
        ):
            if not least <= number <= most:
                raise ValueError(f"{name} is not within {least} and {most}")

    def relay_at(self, peer: str) -> Relay | None:
        """The relay that connects from this address."""
        return next((relay for relay in self.relays if relay.is_at(peer)), None)


class House:
    """What all connections share."""

    def __init__(self, settings: GateSettings, desk: Desk, now: Callable[[], float]) -> None:
        self.settings, self.desk, self.now = settings, desk, now
        self.buckets = Buckets(settings.rate)
        self.places = Places(settings.max_connections, settings.max_connections_each)
        self.open: set[Connection] = set()
        self.proving = asyncio.Semaphore(PROVING_MAX)
        self.counts: Counter[str] = Counter()  # for the metrics, by what became of it

    async def asked(self, question: Callable[[], Awaitable[_T]]) -> _T:
        """The desk's answer. Raises TimeoutError, and what the desk raises."""
        async with asyncio.timeout(self.settings.asking_s):
            return await question()


@dataclass(frozen=True, slots=True)
class Gate:
    """An open listener. `port`: the one it has, where any was asked for."""

    port: int
    counts: Counter[str]

    _house: House

    @property
    def connections(self) -> int:
        return self._house.places.taken


@asynccontextmanager
async def serve(
    settings: GateSettings, desk: Desk, tls: ssl.SSLContext, now: Callable[[], float] = time.monotonic
) -> AsyncIterator[Gate]:
    """Listens while it is open. At the end a mail that is being taken is answered first. Raises OSError.

    `now`: seconds that only grow.
    """
    house = House(settings, desk, now)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(house, tls), settings.host, settings.port, backlog=128)
    try:
        yield Gate(server.sockets[0].getsockname()[1], house.counts, house)
    finally:
        server.close()
        tasks = [connection.task for connection in house.open if connection.task is not None]
        for connection in tuple(house.open):
            connection.leave()
        if tasks:
            await asyncio.wait(tasks, timeout=ENDING_S)
        for connection in tuple(house.open):
            connection.abort()
