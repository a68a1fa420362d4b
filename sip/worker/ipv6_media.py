"""Audio over IPv6 for a media engine that was built without it.

pjsip as it comes from the registry knows IPv4 alone. Where the instance has an IPv6 address for audio, its SIP passes
through here on the way between edge and engine, both on 127.0.0.1: in the SDP of a leg over IPv6 (RFC 8866 section
5.7) the addresses are exchanged, and its RTP and RTCP are passed on between the phone and the engine, packet for
packet, so that SRTP stays what it is. Legs over IPv4 are not touched, their audio does not come here.

Only the host that the phone's SDP names is heard, and from its first packet on only that one port of it.
One thread; no pjsua2.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import selectors
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from sip.worker.source_lock import Address, Network, kind

MARK = "X-Beffroi-Six"  # header of an INVITE from the engine whose audio shall go over IPv6; goes no further
MAX_BYTES = 65535
_LOOPBACK = "127.0.0.1"


@dataclass
class _Pair:
    """The way of RTP or of RTCP: the phone on one side, the engine on the other."""

    phones: socket.socket
    engines: socket.socket
    engine: Address
    phone: Address | None = None  # of its SDP
    source: Address | None = None  # whom it is heard from, once it was

    def from_phone(self) -> None:
        packet, address = self.phones.recvfrom(MAX_BYTES)
        if self.phone is None or address[0] != self.phone[0]:
            return
        if self.source is None:
            self.source = (address[0], address[1])
        if self.source == address[:2]:
            self.engines.sendto(packet, self.engine)

    def from_engine(self) -> None:
        packet, address = self.engines.recvfrom(MAX_BYTES)
        target = self.source or self.phone
        if address == self.engine and target is not None and target[1]:
            self.phones.sendto(packet, target)


@dataclass
class _Leg:
    """One dialog over IPv6."""

    port: int  # of RTP on the engines' side, RTCP on the next one
    sockets: tuple[socket.socket, socket.socket]  # on that side
    phone: Address | None = None
    pairs: list[_Pair] = field(default_factory=list)
    established: bool = False


class Ipv6Media:
    """``port`` is where the edge finds the worker; ``start`` once the engine's own port is known."""

    def __init__(self, edge_port: int, address: str, address6: str) -> None:
        """Raises OSError if the IPv6 address is not there."""
        self._address, self._address6 = address, address6
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind((address6, 0))
        self._edges = _udp(_LOOPBACK)
        self._engines = _udp(_LOOPBACK)
        self._edge: Address = (_LOOPBACK, edge_port)
        self._engine: Address = (_LOOPBACK, 0)
        self._legs: dict[bytes, _Leg] = {}  # by Call-ID
        self._waiting = selectors.DefaultSelector()

    @property
    def port(self) -> int:
        return int(self._edges.getsockname()[1])

    @property
    def engine_port(self) -> int:
        """What the engine takes for the edge."""
        return int(self._engines.getsockname()[1])

    def start(self, engine_port: int) -> None:
        self._engine = (_LOOPBACK, engine_port)
        self._inward = _renaming({self._edge[1]: self.engine_port, self.port: engine_port})
        self._outward = _renaming({self.engine_port: self._edge[1], engine_port: self.port})
        self._waiting.register(self._edges, selectors.EVENT_READ, self._from_edge)
        self._waiting.register(self._engines, selectors.EVENT_READ, self._from_engine)
        threading.Thread(target=self._run, daemon=True).start()

    def network(self, sip_call_id: str) -> Network | None:
        """How the audio of a leg travels; None if it does not come through here."""
        leg = self._legs.get(sip_call_id.encode())
        if leg is None or leg.phone is None:
            return None
        source = leg.pairs[0].source if leg.pairs else None
        return Network(
            signalled=kind(leg.phone[0]),
            source="" if source is None else kind(source[0]),
            moved=source is not None and source != leg.phone,
            locked=source is not None,
        )

    def _run(self) -> None:
        while True:
            for key, _events in self._waiting.select():
                act: Callable[[], None] = key.data
                with contextlib.suppress(OSError, ValueError):  # one packet, or a peer that is not there
                    act()

    # --- SIP --------------------------------------------------------------------------------------

    def _from_edge(self) -> None:
        packet, _address = self._edges.recvfrom(MAX_BYTES)
        head, body = _parts(packet)
        if body and b"IN IP6 " in body and (call_id := _call_id(head)):
            body = self._phone_says(self._leg(call_id), body)
        self._engines.sendto(_joined(self._inward(head), body, packet), self._engine)
        self._follow(head)

    def _from_engine(self) -> None:
        packet, _address = self._engines.recvfrom(MAX_BYTES)
        head, body = _parts(packet)
        call_id = _call_id(head)
        if (marked := f"\r\n{MARK}: 1".encode()) in head:
            head = head.replace(marked, b"")
            self._leg(call_id)
        if body and call_id in self._legs:
            body = self._engine_says(self._legs[call_id], body)
        self._edges.sendto(_joined(self._outward(head), body, packet), self._edge)
        self._follow(head)

    def _follow(self, head: bytes) -> None:
        """A dialog's end is the end of its audio."""
        call_id = _call_id(head)
        if (leg := self._legs.get(call_id)) is None:
            return
        invite = re.search(rb"(?mi)^CSeq[ \t]*:[ \t]*\d+[ \t]+INVITE", head) is not None
        if head.startswith(b"BYE ") or (invite and not leg.established and re.match(rb"SIP/2.0 [3-6]", head)):
            self._forget(call_id)
        elif invite and head.startswith(b"SIP/2.0 2"):
            leg.established = True

    # --- audio ------------------------------------------------------------------------------------

    def _leg(self, call_id: bytes) -> _Leg:
        if call_id not in self._legs:
            rtp, rtcp = _even_pair(self._address)
            self._legs[call_id] = _Leg(rtp.getsockname()[1], (rtp, rtcp))
        return self._legs[call_id]

    def _forget(self, call_id: bytes) -> None:
        leg = self._legs.pop(call_id)
        for pair in leg.pairs:
            self._waiting.unregister(pair.phones)
            self._waiting.unregister(pair.engines)
            pair.phones.close()
        for sock in leg.sockets:
            sock.close()

    def _phone_says(self, leg: _Leg, sdp: bytes) -> bytes:
        """What the engine is told of a phone's SDP."""
        phone = named(sdp)
        if phone is not None and phone != leg.phone:
            leg.phone = phone
            for offset, pair in enumerate(leg.pairs):
                pair.phone, pair.source = (phone[0], phone[1] + offset), None
        return exchanged(sdp, 6, self._address, leg.port)

    def _engine_says(self, leg: _Leg, sdp: bytes) -> bytes:
        """What a phone is told of the engine's SDP. The same ports are free under the other address."""
        port = named(sdp)
        if port is not None and port[1] and not leg.pairs:
            for offset, engines in enumerate(leg.sockets):
                phones = _udp(self._address6, port[1] + offset)
                phone = None if leg.phone is None else (leg.phone[0], leg.phone[1] + offset)
                pair = _Pair(phones, engines, (self._address, port[1] + offset), phone)
                leg.pairs.append(pair)
                self._waiting.register(phones, selectors.EVENT_READ, pair.from_phone)
                self._waiting.register(engines, selectors.EVENT_READ, pair.from_engine)
        return exchanged(sdp, 4, self._address6, None)


def named(sdp: bytes) -> Address | None:
    """Where this SDP wants audio (RFC 8866 section 5.14); None if nowhere."""
    audio = re.search(rb"(?m)^m=audio (\d+) ", sdp)
    if audio is None:
        return None
    after = re.split(rb"(?m)^m=", sdp[audio.end() :])[0]
    hosts = re.findall(rb"(?m)^c=IN IP[46] ([^\s/]+)", after) or re.findall(rb"(?m)^c=IN IP[46] ([^\s/]+)", sdp)
    try:
        return (str(ipaddress.ip_address(hosts[0].decode())), int(audio[1])) if hosts else None
    except ValueError:  # a name, or nothing at all
        return None


def exchanged(sdp: bytes, family: int, host: str, port: int | None) -> bytes:
    """This SDP with ``host`` for every address of ``family`` (4 or 6), and ``port`` for that of its audio. The address
    of nowhere, which is hold, stays that."""
    other, nowhere = (6, b"::") if family == 4 else (4, b".".join([b"0"] * 4))

    def address(found: re.Match[bytes]) -> bytes:
        is_nowhere = found[2] in (b"::", b".".join([b"0"] * 4)) and found[1].startswith(b"c=")
        return found[1] + b"IN IP%d " % other + (nowhere if is_nowhere else host.encode())

    lines = []
    for line in sdp.split(b"\r\n"):
        if line.startswith((b"a=rtcp:", b"a=candidate:")):
            continue  # RTCP is on the next port (RFC 3605 section 2.1)
        if port is not None:
            line = re.sub(rb"^m=audio [1-9]\d* ", b"m=audio %d " % port, line)
        lines.append(re.sub(rb"^(c=|o=.*)IN IP%d (\S+)" % family, address, line))
    return b"\r\n".join(lines)


def _renaming(ports: dict[int, int]) -> Callable[[bytes], bytes]:
    """Exchange addresses on 127.0.0.1 in the head of a message: in Via, Route, Contact, wherever they stand."""
    pattern = re.compile(rb"127\.0\.0\.1:(%s)(?!\d)" % b"|".join(b"%d" % port for port in ports))
    return lambda head: pattern.sub(lambda found: b"127.0.0.1:%d" % ports[int(found[1])], head)


def _parts(packet: bytes) -> tuple[bytes, bytes]:
    head, gap, body = packet.partition(b"\r\n\r\n")
    return (head, body) if gap else (packet, b"")


def _joined(head: bytes, body: bytes, packet: bytes) -> bytes:
    """A message again, its length as it is now; keep-alives and what else is no message as they were."""
    if not packet.strip() or b"\r\n\r\n" not in packet:
        return packet
    head = re.sub(rb"(?mi)^(Content-Length|l)[ \t]*:[ \t]*\d+", b"Content-Length: %d" % len(body), head)
    return head + b"\r\n\r\n" + body


def _call_id(head: bytes) -> bytes:
    found = re.search(rb"(?mi)^(?:Call-ID|i)[ \t]*:[ \t]*([^\r\n]+?)[ \t]*$", head.replace(b"\r\n", b"\n"))
    return b"" if found is None else found[1]


def _udp(host: str, port: int = 0) -> socket.socket:
    """Raises OSError."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, port))
    return made


def _even_pair(host: str) -> tuple[socket.socket, socket.socket]:
    """RTP on an even port, RTCP on the next (RFC 3550 section 11). Raises OSError."""
    for _ in range(100):
        rtp = _udp(host)
        port = rtp.getsockname()[1]
        if port % 2 == 0:
            with contextlib.suppress(OSError):
                return rtp, _udp(host, port + 1)
        rtp.close()
    raise OSError("no two free ports")
