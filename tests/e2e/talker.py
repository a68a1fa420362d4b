"""A phone whose audio is bent on purpose: it sends nothing, or not all of it, or names an address that is not its own.

What `tests.e2e.rawphone.RawPhone` is for signalling, with RTP (A-law, RFC 3551) from a socket of its own.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from tests.e2e.rawphone import RawPhone, raw_phone
from tests.peers import tones
from tests.peers.baresip import Login, Transport
from tests.peers.product import Product
from tests.peers.sipclient import Endpoint, Message

FRAME = 160  # samples, 20 ms
FRAME_S = 0.02
FORMATS = {"8": "PCMA/8000", "18": "G729/8000", "101": "telephone-event/8000"}


class Talker(RawPhone):
    """One phone. `address` is what its SDP names, `formats` the payload types that it offers."""

    def __init__(self, endpoint: Endpoint, login: Login, address: str = "127.0.0.1") -> None:
        """`address`: of its host, where its audio comes from."""
        super().__init__(endpoint, login)
        self.address = address
        self.formats = ("8", "101")
        self.audio = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.audio.bind((address, 0))

    def sdp(self, **_options: str) -> str:
        lines = [
            "v=0",
            f"o=- 1 1 IN IP4 {self.address}",
            "s=-",
            f"c=IN IP4 {self.address}",
            "t=0 0",
            f"m=audio {self.audio.getsockname()[1]} RTP/AVP {' '.join(self.formats)}",
            *(f"a=rtpmap:{number} {FORMATS[number]}" for number in self.formats),
            "a=sendrecv",
        ]
        return "\r\n".join([*lines, ""])

    @contextmanager
    def talking(self, ok: Message, *, skip_every: int = 0) -> Iterator[None]:
        """Sends a tone to where the SDP of this 200 wants it; of every so many packets the last is left out."""
        ended = threading.Event()
        thread = threading.Thread(target=self._talk, args=(_audio_of(ok), skip_every, ended), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(2)

    def _talk(self, there: tuple[str, int], skip_every: int, ended: threading.Event) -> None:
        sound = tones.alaw_encode(tones.tone(400, 1))
        ssrc, began, number = secrets.randbits(32), time.monotonic(), 0
        while not ended.is_set():
            if not skip_every or number % skip_every != skip_every - 1:
                head = struct.pack("!BBHII", 0x80, 8, number & 0xFFFF, number * FRAME, ssrc)
                at = (number * FRAME) % len(sound)
                self.audio.sendto(head + sound[at : at + FRAME], there)
            number += 1
            ended.wait(max(0.0, began + number * FRAME_S - time.monotonic()))

    async def hears(self, wanted: set[int], within_s: float) -> set[int]:
        """Which of these tones (Hz) arrives first; none if none does in time."""
        return await asyncio.to_thread(self._hears, wanted, within_s)

    def _hears(self, wanted: set[int], within_s: float) -> set[int]:
        until, heard = time.monotonic() + within_s, b""
        self.audio.settimeout(within_s)
        while time.monotonic() < until:
            try:
                heard = (heard + self.audio.recv(2048)[12:])[-20 * FRAME :]
            except TimeoutError:
                break
            if found := tones.tones_in(tones.alaw_decode(heard), tuple(wanted)):
                return found
        return set()


def _audio_of(ok: Message) -> tuple[str, int]:
    lines = ok.body.decode().split("\r\n")
    address = next(line.split()[-1] for line in lines if line.startswith("c="))
    port = next(line.split()[1] for line in lines if line.startswith("m=audio"))
    return address, int(port)


@asynccontextmanager
async def talker(product: Product, account: str, transport: Transport = "udp") -> AsyncIterator[Talker]:
    """A new device of this account."""
    async with raw_phone(product, account, transport) as phone:
        made = Talker(phone.endpoint, phone.login)
        try:
            yield made
        finally:
            made.audio.close()
