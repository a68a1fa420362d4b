"""Stands where the edge stands, for one or many workers: SIP dialogs with their audio, told step by step by a test.

Not a phone and not a proxy: a `Dialog` sends what it is told to. Its audio is real RTP (RFC 3550) with G.711 A-law,
paced in real time by one clock for all, so that what two of them send at the same moment can be compared.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tests.peers import g722
from tests.peers.sipclient import Message, answer, parse
from tests.peers.tones import Samples, alaw_decode, alaw_encode, silence

DOMAIN = "test.lan"
PACKET_SAMPLES = 160
PCMA, G722, EVENT = 8, 9, 101
_QUIET = alaw_encode(silence(0.02))


class Rtp(asyncio.DatagramProtocol):
    """One RTP socket. Sends silence, or what `say` was given, every 20 ms once `start` was called."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.kind = PCMA  # or G722, whose packets are of the same size and pace (RFC 3551 section 4.5.2)
        self.other: Callable[[int, bytes], object] = lambda kind, payload: None  # told of what is no A-law
        self._queue = bytearray()
        self._digits: list[tuple[int, int, bool]] = []
        self._sequence, self._stamp = secrets.randbelow(1 << 15), 0
        self._remote: tuple[str, int] | None = None
        self._tick_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.DatagramTransport
        self.port = 0

    @classmethod
    async def open(cls, host: str = "127.0.0.1") -> Rtp:
        loop = asyncio.get_running_loop()
        transport, self = await loop.create_datagram_endpoint(cls, local_addr=(host, 0))
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]
        return self

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data[1] & 0x7F == self.kind:
            self.heard += data[12:]
        else:
            self.other(data[1] & 0x7F, data[12:])

    def error_received(self, exc: Exception) -> None:
        pass  # the worker's socket is closed already

    def start(self, remote: tuple[str, int]) -> None:
        self._remote = remote
        if self._timer is None:
            loop = asyncio.get_running_loop()
            # One grid for all sockets: what two say at once leaves at once.
            self._tick_s = (loop.time() // 0.02 + 1) * 0.02
            self._timer = loop.call_at(self._tick_s, self._tick)

    def say(self, samples: Samples) -> None:
        self._queue += alaw_encode(samples) if self.kind == PCMA else g722.encode(samples)

    def press(self, digit: str) -> None:
        """One key as telephone-event (RFC 4733): 80 ms, its end three times."""
        code = "0123456789*#ABCD".index(digit)
        self._digits += [(code, 160 * n, False) for n in range(1, 4)] + [(code, 640, True)] * 3

    def mute(self, muted: bool = True) -> None:
        """Send nothing at all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not muted and self._remote is not None:
            self.start(self._remote)

    def samples(self) -> Samples:
        """What has been heard so far, at 8 kHz or, of G.722, at 16 kHz."""
        return alaw_decode(bytes(self.heard)) if self.kind == PCMA else g722.decode(bytes(self.heard))

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while self._tick_s <= loop.time():
            self._send_one()
            self._tick_s += 0.02
        self._timer = loop.call_at(self._tick_s, self._tick)

    def _send_one(self) -> None:
        self._sequence = (self._sequence + 1) & 0xFFFF
        if self._digits:
            code, duration, end = self._digits.pop(0)
            kind, stamp = EVENT, self._stamp
            if duration == 160:
                self._event_stamp = self._stamp
            stamp = self._event_stamp
            payload = struct.pack("!BBH", code, 10 | (0x80 if end else 0), duration)
        else:
            kind, stamp = self.kind, self._stamp
            quiet = _QUIET[:1] if kind == PCMA else g722.QUIET
            payload = bytes(self._queue[:PACKET_SAMPLES]).ljust(PACKET_SAMPLES, quiet)
            del self._queue[:PACKET_SAMPLES]
        self._stamp = (self._stamp + PACKET_SAMPLES) & 0xFFFFFFFF
        header = struct.pack("!BBHII", 0x80, kind, self._sequence, stamp, 0xBEEF)
        self._transport.sendto(header + payload, self._remote)

    def close(self) -> None:
        self.mute()
        self._transport.close()


@dataclass
class Dialog:
    """One SIP dialog with a worker, as the side that is not the worker."""

    edge: EdgeSide
    worker: tuple[str, int]
    rtp: Rtp
    call_id: str
    tag: str = field(default_factory=lambda: secrets.token_hex(4))
    remote_tag: str = ""
    invite: Message | None = None  # received, if the worker dialled
    uri: str = ""  # the worker's Contact
    cseq: int = 1
    inbox: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    pending: Message = field(default_factory=lambda: parse(b"ACK sip:x SIP/2.0\r\n\r\n"))  # set by a test

    # --- being called ---------------------------------------------------------------------------------

    def ring(self, *, early_media: bool = False) -> None:
        assert self.invite is not None
        if early_media:
            self._reply(self.invite, 183, "Session Progress", body=self.sdp())
            self._hear(self.invite)
        else:
            self._reply(self.invite, 180, "Ringing")

    def refuse(self, code: int, reason: str) -> None:
        assert self.invite is not None
        self._reply(self.invite, code, reason)

    async def pick_up(self) -> None:
        assert self.invite is not None
        self._reply(self.invite, 200, "OK", body=self.sdp())
        self._hear(self.invite)
        await self.request("ACK")

    # --- calling --------------------------------------------------------------------------------------

    def send_invite(self, token: str | None, *, sdp: str = "", to: str = "200") -> None:
        """`token` None: without X-Beffroi-Leg."""
        self.uri = f"sip:{to}@{self.worker[0]}:{self.worker[1]}"
        headers = [] if token is None else [f"X-Beffroi-Leg: {token}"]
        self.send("INVITE", headers=headers, body=sdp or self.sdp())

    async def established(self, timeout_s: float = 5.0) -> Message:
        """The 200 to our INVITE; acknowledged, audio running."""
        ok = await self.reply("INVITE", timeout_s)
        assert ok.code == 200, ok.start
        self._hear(ok)
        self.uri = _uri(ok["Contact"])
        self.send("ACK", cseq=self.cseq)
        return ok

    async def reinvite(self, direction: str = "sendrecv", *, sdp: str = "") -> Message:
        """Hold (sendonly, inactive) and resume, or that offer; the final answer, acknowledged."""
        self.send("INVITE", body=sdp or self.sdp(direction=direction))
        ok = await self.reply("INVITE")
        self.send("ACK", cseq=self.cseq)
        return ok

    async def reinvite_without_offer(self, direction: str = "sendrecv") -> Message:
        """The worker makes the offer (RFC 3264 section 5, RFC 3261 section 14.1); our answer goes with the ACK."""
        self.send("INVITE")
        offer = await self.reply("INVITE")
        self.send("ACK", cseq=self.cseq, body=self.sdp(direction=direction))
        return offer

    def send_cancel(self, branch: str) -> None:
        """CANCEL our INVITE (RFC 3261 section 9.1): all but the method as it was."""
        self.send("CANCEL", cseq=self.cseq, branch=branch)

    # --- either ---------------------------------------------------------------------------------------

    async def hang_up(self) -> Message:
        self.send("BYE")
        return await self.reply("BYE")

    def sdp(
        self,
        *,
        direction: str = "sendrecv",
        profile: str = "RTP/AVP",
        extra: str = "",
        address: str = "127.0.0.1",
        port: int = 0,
    ) -> str:
        """``address`` and ``port``: where it says that its audio is, if that is not the truth."""
        lines = ["v=0", f"o=- 1 {self.cseq} IN IP4 {address}", "s=-", f"c=IN IP4 {address}", "t=0 0"]
        lines += [f"m=audio {port or self.rtp.port} {profile} 8 101", "a=rtpmap:8 PCMA/8000"]
        lines += ["a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", f"a={direction}"]
        return "\r\n".join([*lines, *([extra] if extra else []), ""])

    def send(
        self,
        method: str,
        *,
        headers: list[str] | None = None,
        body: str = "",
        cseq: int | None = None,
        branch: str = "",
        ctype: str = "application/sdp",
    ) -> None:
        if cseq is None:
            self.cseq += 1
        host, port = self.edge.address
        mine = f"<sip:phone@{DOMAIN}>;tag={self.tag}"
        theirs = f"<sip:200@{DOMAIN}>" + (f";tag={self.remote_tag}" if self.remote_tag else "")
        lines = [
            f"{method} {self.uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch={branch or 'z9hG4bK' + secrets.token_hex(8)};rport",
            f"From: {mine}",
            f"To: {theirs}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {cseq or self.cseq} {method}",
            "Max-Forwards: 70",
            f"Contact: <sip:phone@{host}:{port}>",
            *(headers or []),
            *([f"Content-Type: {ctype}"] if body else []),
        ]
        text = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])
        self.edge.send(text, self.worker)

    async def reply(self, method: str, timeout_s: float = 5.0) -> Message:
        """The next final reply to a request of this method."""
        async with asyncio.timeout(timeout_s):
            while True:
                message = await self.inbox.get()
                if message.code >= 200 and message.method == method:
                    self._learn(message["To"])
                    return message

    async def provisional(self, code: int, timeout_s: float = 5.0) -> Message:
        async with asyncio.timeout(timeout_s):
            while True:
                message = await self.inbox.get()
                if message.code == code:
                    return message

    async def request(self, method: str, timeout_s: float = 5.0) -> Message:
        """The next request of this method; all but ACK are answered with 200."""
        async with asyncio.timeout(timeout_s):
            while True:
                message = await self.inbox.get()
                if not message.code and message.method == method:
                    if method != "ACK":
                        self._reply(message, 200, "OK")
                    return message

    def _reply(self, request: Message, code: int, reason: str, *, body: str = "") -> None:
        host, port = self.edge.address
        text = answer(request, code, reason, contact=f"sip:phone@{host}:{port}", tag=self.tag, body=body)
        self.edge.send(text, self.worker)

    def _learn(self, to: str) -> None:
        found = re.search(r";tag=([^;>\s]+)", to)
        if found:
            self.remote_tag = found[1]

    def _hear(self, message: Message) -> None:
        port = re.search(rb"m=audio (\d+)", message.body)
        assert port, message.text()
        self.rtp.start(("127.0.0.1", int(port[1])))


class EdgeSide(asyncio.DatagramProtocol):
    """The socket that workers take for the edge."""

    def __init__(self) -> None:
        self.dialogs: dict[str, Dialog] = {}
        self.dialled: asyncio.Queue[Dialog] = asyncio.Queue()
        self._rtps: list[Rtp] = []
        self._transport: asyncio.DatagramTransport
        self.address = ("127.0.0.1", 0)

    @classmethod
    async def open(cls, port: int = 0) -> EdgeSide:
        loop = asyncio.get_running_loop()
        transport, self = await loop.create_datagram_endpoint(cls, local_addr=("127.0.0.1", port))
        self._transport = transport
        self.address = transport.get_extra_info("sockname")[:2]
        return self

    async def caller(self, worker_port: int) -> Dialog:
        """Somebody who may call the worker."""
        dialog = Dialog(self, ("127.0.0.1", worker_port), await self._rtp(), secrets.token_hex(8))
        self.dialogs[dialog.call_id] = dialog
        return dialog

    async def called(self, timeout_s: float = 5.0) -> Dialog:
        """Whom a worker has dialled next. Its RTP socket is opened here."""
        async with asyncio.timeout(timeout_s):
            dialog = await self.dialled.get()
        await self.give_audio(dialog)
        return dialog

    async def give_audio(self, dialog: Dialog) -> None:
        """The RTP socket of somebody who was dialled."""
        dialog.rtp = await self._rtp()

    async def _rtp(self) -> Rtp:
        rtp = await Rtp.open()
        self._rtps.append(rtp)
        return rtp

    def send(self, text: str, to: tuple[str, int]) -> None:
        self._transport.sendto(text.encode(), to)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not data.strip():
            return
        message = parse(data)
        dialog = self.dialogs.get(message["Call-ID"])
        if dialog is None and not message.code and message.method == "INVITE":
            dialog = Dialog(self, addr, None, message["Call-ID"], invite=message)  # type: ignore[arg-type]
            dialog.uri, dialog.cseq = _uri(message["Contact"]), 100
            dialog._learn(message["From"])
            self.dialogs[dialog.call_id] = dialog
            self.dialled.put_nowait(dialog)
        elif dialog is not None:
            dialog.inbox.put_nowait(message)

    def error_received(self, exc: Exception) -> None:
        pass  # a worker that has left

    def forget(self) -> None:
        """End all audio: who goes on sending to the ports of a worker that is gone would be heard by the next one."""
        for rtp in self._rtps:
            rtp.close()
        self._rtps.clear()
        self.dialogs.clear()
        while not self.dialled.empty():
            self.dialled.get_nowait()

    def close(self) -> None:
        self.forget()
        self._transport.close()


def _uri(contact: str) -> str:
    found = re.search(r"<([^>]+)>", contact)
    return found[1] if found else contact


def loudness(samples: Samples) -> float:
    """RMS."""
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))) if len(samples) else 0.0
