"""A message centre by script (SMPP 3.4), for what programs of others cannot be made to do, and for counting deliveries.

It shares no code with the product: it reads and writes packets by itself, and sends any bytes that it is told to. What
it brings and nobody has acknowledged, it brings again at the next bind, as centres do.

As a process of its own, which outlives whatever is killed beside it:

    python -m tests.peers.smsc PORT --journal FILE [--receipts] [--delay-ms N] [--hang-up-after N] [--silent-after N]

It says "listening PORT" on stdout; each line of stdin {"id": ..., "from": ..., "to": ..., "text": ...} is a text to
bring. The journal has one JSON object a line, flushed before the answer leaves: {"event": "bind" | "submit" | "ack"}.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import ssl
import struct
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OK, THROTTLED, QUEUE_FULL, WRONG_PASSWORD = 0x00, 0x58, 0x14, 0x0E
BINDS = (1, 2, 9)
SUBMIT, DELIVER, UNBIND, ENQUIRE, RESPONSE = 4, 5, 6, 0x15, 0x80000000
BROUGHT_AT_A_TIME = 20


@dataclass(frozen=True)
class Packet:
    command: int
    status: int
    sequence: int
    body: bytes

    @property
    def bytes(self) -> bytes:
        return struct.pack(">IIII", 16 + len(self.body), self.command, self.status, self.sequence) + self.body


@dataclass(frozen=True)
class Submit:
    """What of a submit_sm is looked at."""

    sequence: int
    source: str
    destination: str
    esm_class: int
    registered: int
    data_coding: int
    data: bytes  # short_message, user data header included
    tlvs: tuple[tuple[int, bytes], ...]
    validity: str

    @property
    def key(self) -> tuple[str, bytes]:
        """The same in each delivery of the same part."""
        return self.destination, self.data + b"".join(value for _, value in self.tlvs)


def c_string(text: str) -> bytes:
    return text.encode("latin-1") + b"\0"


def read_submit(packet: Packet) -> Submit:
    rest = packet.body

    def text() -> str:
        nonlocal rest
        taken, _, rest = rest.partition(b"\0")
        return taken.decode("latin-1")

    def octets(count: int) -> bytes:
        nonlocal rest
        taken, rest = rest[:count], rest[count:]
        return taken

    text()
    octets(2)
    source = text()
    octets(2)
    destination = text()
    esm_class = octets(3)[0]
    text()
    validity = text()
    registered, _, data_coding, _, length = octets(5)
    data = octets(length)
    tlvs = []
    while rest:
        tag, size = struct.unpack(">HH", octets(4))
        tlvs.append((tag, octets(size)))
    return Submit(packet.sequence, source, destination, esm_class, registered, data_coding, data, tuple(tlvs), validity)


def deliver_body(
    source: str, destination: str, data: bytes, *, data_coding: int = 0, esm_class: int = 0, tlvs: bytes = b""
) -> bytes:
    fixed = bytes((0, 0, data_coding, 0, len(data)))
    addresses = b"\x01\x01" + c_string(source) + b"\x01\x01" + c_string(destination)
    return b"\0" + addresses + bytes((esm_class, 0, 0)) + b"\0\0" + fixed + data + tlvs


@dataclass
class Session:
    """One connection. `send` takes anything."""

    writer: asyncio.StreamWriter
    kind: int = 0
    received: list[Packet] = field(default_factory=list)
    gone: bool = False

    def send(self, data: bytes | Packet) -> None:
        if not self.writer.is_closing():
            self.writer.write(data.bytes if isinstance(data, Packet) else data)

    def hang_up(self) -> None:
        self.writer.transport.abort()


Answer = Callable[["Smsc", Session, Packet], bool]
"""Looks at each packet first; True: it has dealt with it."""


class Smsc:
    """`async with Smsc() as centre`. `answer` may be set at any time."""

    def __init__(
        self,
        *,
        port: int = 0,
        password: str = "secret",  # noqa: S107 - of a test
        answer: Answer | None = None,
        journal: Path | None = None,
        receipts: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.port = port
        self.password = password
        self.answer = answer
        self.receipts = receipts
        self.sessions: list[Session] = []
        self.submitted: list[Submit] = []
        self.deliveries: Counter[tuple[str, bytes]] = Counter()
        self.acknowledged: dict[str, int] = {}  # by our id: the last status
        self.changed = asyncio.Condition()
        self._tls = tls
        self._journal = journal.open("a") if journal else None  # noqa: SIM115 - open for as long as the centre is
        self._outbox: dict[str, bytes] = {}  # what nobody has acknowledged: body of deliver_sm
        self._on_way: dict[tuple[int, int], str] = {}  # session, sequence -> our id
        self.brought_at_a_time = BROUGHT_AT_A_TIME
        self._sequence = 0
        self._ids = 0

    async def __aenter__(self) -> Smsc:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for session in self.sessions:
            if not session.gone:
                session.hang_up()
        await self.until(lambda: all(session.gone for session in self.sessions))
        if self._journal:
            self._journal.close()

    async def until(self, true: Callable[[], bool]) -> None:
        """Looked at after each packet, bind and loss."""
        async with self.changed:
            await self.changed.wait_for(true)

    async def tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    @property
    def bound(self) -> list[Session]:
        return [session for session in self.sessions if session.kind and not session.gone]

    def write_down(self, **event: Any) -> None:
        if self._journal:
            self._journal.write(json.dumps(event) + "\n")
            self._journal.flush()

    # --- bringing ---

    def bring(self, name: str, body: bytes) -> None:
        """A deliver_sm, until it is acknowledged with ESME_ROK."""
        self._outbox[name] = body
        self._bring_more()

    def on_way(self, session: Session, sequence: int) -> str:
        """Our id of what an acknowledgement is for; empty where it is for nothing of ours."""
        return self._on_way.get((id(session), sequence), "")

    def leaves(self, name: str) -> None:
        """It is written to the link now, perhaps not for the first time."""

    def bring_text(self, name: str, source: str, destination: str, text: str) -> None:
        """In UCS-2; 70 characters at most."""
        self.bring(name, deliver_body(source, destination, text.encode("utf-16-be"), data_coding=8))

    def _bring_more(self) -> None:
        able = [session for session in self.bound if session.kind in (1, 9)]
        if not able:
            return
        on_way = set(self._on_way.values())
        for name, body in list(self._outbox.items()):
            if len(on_way) >= self.brought_at_a_time:
                return
            if name not in on_way:
                on_way.add(name)
                self._sequence += 1
                self._on_way[id(able[-1]), self._sequence] = name
                self.leaves(name)
                able[-1].send(Packet(DELIVER, 0, self._sequence, body))

    # --- serving ---

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(writer)
        self.sessions.append(session)
        await self.tell()
        try:
            while True:
                head = await reader.readexactly(16)
                length, command, status, sequence = struct.unpack(">IIII", head)
                packet = Packet(command, status, sequence, await reader.readexactly(length - 16))
                session.received.append(packet)
                if self.answer is None or not self.answer(self, session, packet):
                    self.usual(session, packet)
                await self.tell()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            session.gone = True
            writer.close()
            for key in [key for key in self._on_way if key[0] == id(session)]:
                del self._on_way[key]
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            await self.tell()

    def usual(self, session: Session, packet: Packet) -> None:
        """What a centre does that nobody has told otherwise."""
        back = packet.command | RESPONSE
        if packet.command in BINDS:
            right = packet.body.split(b"\0")[1].decode("latin-1") == self.password
            session.send(Packet(back, OK if right else WRONG_PASSWORD, packet.sequence, c_string("centre")))
            if right:
                session.kind = packet.command
                self.write_down(event="bind", kind=packet.command)
                self._bring_more()
        elif packet.command == SUBMIT:
            self.take(session, packet)
        elif packet.command == DELIVER | RESPONSE:
            self._acknowledged(session, packet)
        elif packet.command in (ENQUIRE, UNBIND):
            session.send(Packet(back, OK, packet.sequence, b""))

    def take(self, session: Session, packet: Packet, *, answered: bool = True) -> str:
        """Count it, and answer with an id; with a receipt if that is wanted. Returns the id."""
        submit = read_submit(packet)
        self._ids += 1
        message_id = f"{self._ids:08x}"
        self.submitted.append(submit)
        self.deliveries[submit.key] += 1
        destination, data = submit.key
        self.write_down(event="submit", id=message_id, to=destination, data=data.hex(), of=submit.source)
        if answered:
            session.send(Packet(SUBMIT | RESPONSE, OK, packet.sequence, c_string(message_id)))
        if self.receipts and submit.registered:
            text = f"id:{message_id} sub:001 dlvrd:001 submit date:2611281200 done date:2611281201 stat:DELIVRD err:000"
            tlvs = struct.pack(">HH", 0x1E, 9) + c_string(message_id) + struct.pack(">HHB", 0x427, 1, 2)
            body = deliver_body(submit.destination, submit.source, text.encode(), esm_class=4, tlvs=tlvs)
            self.bring(f"receipt {message_id}", body)
        return message_id

    def _acknowledged(self, session: Session, packet: Packet) -> None:
        name = self._on_way.pop((id(session), packet.sequence), None)
        if name is None:
            return
        self.acknowledged[name] = packet.status
        self.write_down(event="ack", id=name, status=packet.status)
        if packet.status == OK:
            self._outbox.pop(name, None)
            self._bring_more()


# --- as a process -----------------------------------------------------------------------------------------------------


def _by_options(options: argparse.Namespace) -> Answer:
    seen = 0

    def answer(centre: Smsc, session: Session, packet: Packet) -> bool:
        nonlocal seen
        if packet.command != SUBMIT:
            return False
        seen += 1
        if options.hang_up_after and seen % options.hang_up_after == 0:
            centre.take(session, packet, answered=False)
            session.hang_up()
            return True
        if options.silent_after and seen > options.silent_after:
            centre.take(session, packet, answered=False)
            return True
        if options.delay_ms:
            asyncio.get_running_loop().call_later(options.delay_ms / 1000, centre.usual, session, packet)
            return True
        return False

    return answer


async def _main(options: argparse.Namespace) -> None:
    centre = Smsc(
        port=options.port,
        password=options.password,
        answer=_by_options(options),
        journal=options.journal,
        receipts=options.receipts,
    )
    async with centre:
        print("listening", centre.port, flush=True)
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            asked = json.loads(line)
            centre.bring_text(asked["id"], asked["from"], asked["to"], asked["text"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A message centre by script; it ends when its stdin does.")
    parser.add_argument("port", type=int)
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--password", default="secret")
    parser.add_argument("--receipts", action="store_true", help="a delivery receipt for each part that wants one")
    parser.add_argument("--delay-ms", type=float, default=0, help="before each answer")
    parser.add_argument(
        "--hang-up-after", type=int, default=0, help="each N-th part is taken, and the link cut instead"
    )
    parser.add_argument("--silent-after", type=int, default=0, help="parts after the N-th are taken and not answered")
    asyncio.run(_main(parser.parse_args()))
