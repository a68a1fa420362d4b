"""A listener on loopback with a desk that remembers, and the ways to talk to it: swaks, and bare sockets."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sms.mail import gate
from sms.mail.answers import Order, Rejection
from sms.mail.desk import Relay, Sender
from sms.mail.gate import Gate, GateSettings
from sms.mail.reading import Bounds
from tests.server.alerting.receivers import Trust

DOMAIN = "sms.company.example"
NUMBER = "+33612345678"
TO = f'"{NUMBER}"@{DOMAIN}'  # swaks takes a bare "+33..." for an option
ALICE = "alice@company.example"
PASSWORD = "right-word"
LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


@dataclass
class Desk:
    """Commits into a list; as a database does, once for each key."""

    orders: list[Order] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    forgeries: list[tuple[str, str]] = field(default_factory=list)
    banned: set[str] = field(default_factory=set)
    no_texts_to: set[str] = field(default_factory=set)
    fails: Exception | None = None
    waits: asyncio.Event | None = None  # an order is committed when it is set
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    answer: Rejection | None = None

    def is_banned(self, peer: str) -> bool:
        return peer in self.banned

    def wrong_password(self, peer: str) -> None:
        self.wrong.append(peer)

    def forged(self, sender: Sender | None, peer: str) -> None:
        self.forgeries.append((sender.id if sender else "", peer))

    async def authenticate(self, login: str, password: str, peer: str) -> Sender | None:
        if self.fails:
            raise self.fails
        await asyncio.sleep(0)
        return Sender("login-1", automatic=login == "monitor") if password == PASSWORD else None

    async def relayed(self, relay: str, mail_from: str) -> Sender | None:
        return Sender(f"by-{relay}") if mail_from.endswith("@company.example") else None

    async def may_send_as(self, sender: Sender, address: str) -> bool:
        return address == ALICE

    async def recipient(self, sender: Sender, number: str) -> Rejection | None:
        return Rejection(550, "5.1.1", "no text may go there") if number in self.no_texts_to else None

    async def accept(self, order: Order) -> Rejection | None:
        self.asked.set()
        if self.waits is not None:
            await self.waits.wait()
        if self.fails:
            raise self.fails
        fresh = {order.key(number) for number in order.recipients} - self.keys
        if fresh and self.answer is None:
            self.keys |= fresh
            self.orders.append(order)
        return self.answer


def settings(**more: Any) -> GateSettings:
    given: dict[str, Any] = {
        "host": "127.0.0.1", "port": 0, "hostname": DOMAIN, "domain": DOMAIN,
        "bounds": Bounds(3, lambda text: 1 + len(text) // 161),
    }  # fmt: skip
    return GateSettings(**given | more)


def relay(*, tls: bool = False) -> Relay:
    return Relay("office", (LOOPBACK,), tls)


@asynccontextmanager
async def listening(desk: Desk, trust: Trust, **more: Any) -> AsyncIterator[Gate]:
    now = more.pop("now", None)
    clock = {"now": now} if now else {}
    async with gate.serve(settings(**more), desk, trust.context, **clock) as opened:
        yield opened


# --- swaks ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Swaks:
    """How it ended: 0 sent, 24 RCPT refused, 26 DATA refused, 28 AUTH refused, 29 no TLS... `said`: its transcript."""

    status: int
    said: str

    def answered(self, *codes: str) -> bool:
        """Whether each of these is among what the server said."""
        heard = re.findall(r"(?m)^<[-~*]{1,2} +(.*)", self.said)
        return all(any(line.startswith(code) for line in heard) for code in codes)


LOGIN = ("--auth-user", "alice", "--auth-password", PASSWORD)


async def swaks(opened: Gate, *options: str, body: str = "Hello from here", tls: bool = True, to: str = TO) -> Swaks:
    """One mail by swaks; by STARTTLS and AUTH PLAIN unless told otherwise."""
    command = ["swaks", "--server", "127.0.0.1", "--port", str(opened.port), "--to", to, "--body", body]
    command += [] if "--from" in options else ["--from", ALICE]
    command += ["--tls"] if tls else []
    command += ["--timeout", "60", *options]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return Swaks(process.returncode or 0, said.decode(errors="replace"))


# --- bare sockets -----------------------------------------------------------------------------------------------------


class Wire:
    """A client that says just the bytes that it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    async def say(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def heard(self) -> str:
        """One answer, with all its lines; "" at the end."""
        lines = []
        while line := (await self._reader.readline()).decode(errors="replace"):
            lines.append(line.rstrip("\r\n"))
            if line[3:4] == " ":
                break
        return "\n".join(lines)

    async def ask(self, line: str) -> str:
        await self.say(line.encode() + b"\r\n")
        return await self.heard()

    async def rest(self) -> str:
        """Until it is closed."""
        try:
            return (await self._reader.read()).decode(errors="replace")
        except ConnectionError:
            return ""

    async def starttls(self, ca: Path) -> None:
        await self.writer.start_tls(ssl.create_default_context(cafile=ca), server_hostname="127.0.0.1")


@asynccontextmanager
async def wire(opened: Gate, source: str = "127.0.0.1") -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", opened.port, local_addr=(source, 0))
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
