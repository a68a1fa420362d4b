"""Whose audio a leg hears: the RTP socket listens to the address that the other side has named, or, when nothing comes
from there, to the one address that its audio really comes from (a phone behind a router); to nobody else.

pjmedia by itself follows whoever sends: a former call's peer that has not noticed its end, or a stranger that guesses
the port, would be heard and would be sent the call. So the kernel is made to choose: a connected UDP socket receives
from its peer alone. pjmedia's socket is connected to the address of the SDP from the start; whatever comes from
elsewhere falls into a second socket on the same port, the watch, where it is counted and thrown away. If the address of
the SDP stays silent and somebody else sends a plausible stream, the leg is tried with that one; once the stream has
accepted packets the source is locked and the watch closed, so nobody is listening for strangers any more.

No pjsua2 in here: addresses go in, facts come out.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import os
import socket
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

Address = tuple[str, int]

GRACE_S = 0.2  # for audio from the named address, before anybody else is tried
CANDIDATE_PACKETS = 5  # of one stream, before it is tried
TRY_PACKETS = 3  # that the stream must accept from a candidate: one may still have come from somebody else
TRY_S = 1.0  # for the stream to accept the packets of a candidate; SRTP that does not fit never is
RTP_HEADER_BYTES = 12
_PER_LOOK = 500  # packets read from the watch at once: a flood does not hold up the conversation
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27


@dataclass(frozen=True, slots=True)
class Network:
    """How a leg's audio travels, in kinds, never in addresses; the fields are those of protocol.LegNetwork."""

    signalled: str
    source: str
    moved: bool
    locked: bool


@dataclass
class _Stream:
    """What somebody sends who is not the one that was named."""

    ssrc: int
    sequence: int
    packets: int = 1

    def goes_on(self, ssrc: int, sequence: int) -> None:
        if ssrc == self.ssrc and 0 < (sequence - self.sequence) & 0xFFFF < 100:
            self.packets += 1
        else:
            self.ssrc, self.packets = ssrc, 1
        self.sequence = sequence


@dataclass
class SourceLock:
    """Guards the RTP and RTCP socket of one leg, which pjmedia has bound to ``local`` and to the port after it."""

    local: Address
    signalled: Address | None = None  # of the other side's SDP
    source: Address | None = None  # whom the socket is connected to, once known
    locked: bool = False
    _watch: socket.socket | None = None
    _streams: dict[Address, _Stream] = field(default_factory=dict)
    _strangers: set[Address] = field(default_factory=set)  # never to be tried
    _early: set[Address] = field(default_factory=set)  # sent before the other side had named its address: tried last
    _packets: int = 0  # that the stream had accepted when its source was last chosen
    _expected_at: float = 0.0  # monotonic, when an address was named last
    _tried_at: float | None = None  # monotonic; None: the signalled address is listened to

    def shut(self) -> None:
        """Hear nobody for now: the other side cannot know this port yet."""
        self._connect(self.local)
        self._open_watch()

    def forget_early(self, *, strangers: bool) -> None:
        """Throw away what has come so far. ``strangers``: whoever sent it cannot have known the port from us."""
        self._look()
        if strangers:
            self._strangers |= self._streams.keys()
        self._streams.clear()

    def expect(self, signalled: Address, packets: int, now_s: float, *, again: bool = False) -> bool:
        """The other side has named its address; ``packets``: how many the stream has accepted so far. ``again``:
        audio was interrupted (hold), a router may have forgotten its way. True if the source is looked for now."""
        self._packets = packets
        if signalled == self.signalled and not again:
            return False
        if self.source is not None and self.source == self.signalled != signalled:
            self._strangers.add(self.source)  # it has moved: whoever sends from there still is not it any more
        if self.signalled is None:
            self._look()
            self._early = {a for a, stream in self._streams.items() if stream.packets >= CANDIDATE_PACKETS}
        self._strangers.discard(signalled)
        self._expected_at = now_s
        if signalled != self.signalled or self.source is None:
            if not is_unspecified(signalled):
                self._connect(signalled)
            self.source = signalled
        self.signalled = signalled
        self.locked, self._tried_at = False, None
        self._streams.clear()
        self._open_watch()
        return True

    def tick(self, now_s: float, packets: int) -> bool:
        """Look again; True if the source has been locked. ``now_s``: monotonic; ``packets``: accepted so far."""
        if self.locked or self.signalled is None:
            return False
        if packets - self._packets >= (1 if self._tried_at is None else TRY_PACKETS):
            self._lock()
            return True
        self._look()
        if self._tried_at is not None and now_s - self._tried_at > TRY_S and self.source is not None:
            self._strangers.add(self.source)
            self._choose(self.signalled, packets, None)
        waited = now_s - self._expected_at >= GRACE_S
        if waited and self._tried_at is None and (candidate := self._candidate()) is not None:
            self._choose(candidate, packets, now_s)
        return False

    def network(self) -> Network:
        heard = self.source if self.locked else None
        return Network(
            signalled="none" if self.signalled is None else kind(self.signalled[0]),
            source="" if heard is None else kind(heard[0]),
            moved=heard is not None and heard != self.signalled,
            locked=self.locked,
        )

    @property
    def watching(self) -> bool:
        return self._watch is not None

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        self._streams.clear()

    def _candidate(self) -> Address | None:
        fitting = [
            address
            for address, stream in self._streams.items()
            if stream.packets >= CANDIDATE_PACKETS and address not in self._strangers
        ]
        # The host that was named goes first, on whatever port.
        named = None if self.signalled is None else self.signalled[0]
        return min(fitting, key=lambda address: (address in self._early, address[0] != named), default=None)

    def _choose(self, address: Address, packets: int, now_s: float | None) -> None:
        if not is_unspecified(address):
            self._connect(address)
        self.source, self._packets, self._tried_at = address, packets, now_s
        self._streams.clear()

    def _lock(self) -> None:
        assert self.source is not None
        self.locked = True
        self.close()
        with _bound_socket((self.local[0], self.local[1] + 1)) as rtcp:
            if rtcp is not None:  # its port is not known: behind a router it may be any
                _hear_only(rtcp, self.source[0])

    def _look(self) -> None:
        """Count what the watch has caught."""
        if self._watch is None:
            return
        for _ in range(_PER_LOOK):
            try:
                packet, address = self._watch.recvfrom(2048)
            except OSError:
                return
            if len(packet) < RTP_HEADER_BYTES or packet[0] >> 6 != 2 or 64 <= packet[1] & 0x7F < 96:
                continue  # no RTP (RFC 3550 section 5.1), or RTCP on its port (RFC 5761 section 4)
            sequence, ssrc = struct.unpack_from("!H4xI", packet, 2)
            if (stream := self._streams.get(address[:2])) is not None:
                stream.goes_on(ssrc, sequence)
            elif len(self._streams) < 64:
                self._streams[address[:2]] = _Stream(ssrc, sequence)

    def _open_watch(self) -> None:
        if self._watch is not None:
            return
        watch = socket.socket(_family(self.local[0]), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            watch.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with _bound_socket(self.local, watch) as rtp:
                if rtp is None:
                    raise OSError("pjmedia's socket is not there")
                rtp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    watch.bind(self.local)
                finally:  # else somebody else could bind this port too
                    rtp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            watch.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        except OSError:
            watch.close()
            raise
        self._watch = watch

    def _connect(self, address: Address) -> None:
        with _bound_socket(self.local, self._watch) as rtp:
            if rtp is None:
                raise OSError("pjmedia's socket is not there")
            try:
                rtp.connect(address)
            except OSError:  # no way leads there: nothing can come from there either
                rtp.connect(self.local)
        with _bound_socket((self.local[0], self.local[1] + 1)) as rtcp:
            if rtcp is not None:
                _hear_all(rtcp)


@contextlib.contextmanager
def _bound_socket(local: Address, besides: socket.socket | None = None) -> Iterator[socket.socket | None]:
    """This process's UDP socket that is bound there, as a second descriptor of it: one of pjmedia's, which tells its
    address but not its number. ``besides``: another one on the same port, which is not meant."""
    found = _find(local, -1 if besides is None else besides.fileno())
    if found is None:
        yield None
        return
    with found:
        yield found


def _find(local: Address, besides: int) -> socket.socket | None:
    for number, found in _udp_sockets():
        if number != besides and found.getsockname()[:2] == local:
            return socket.socket(fileno=os.dup(found.fileno()))  # socket.dup would make both of them block
    return None


def bound_ports(first: int, count: int) -> set[Address]:
    """Where this process waits for RTP: the even ports of its slice (RFC 3550 section 11)."""
    names = (found.getsockname()[:2] for _number, found in _udp_sockets())
    return {(host, port) for host, port in names if first <= port <= first + count and port % 2 == first % 2}


def _udp_sockets() -> Iterator[tuple[int, socket.socket]]:
    """(descriptor, a second one of the same socket), the second good until the next is asked for."""
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            found = socket.socket(fileno=os.dup(number))
        except OSError:  # closed by another thread meanwhile
            continue
        with found:
            if found.type == socket.SOCK_DGRAM and found.family in (socket.AF_INET, socket.AF_INET6):
                yield number, found


def _hear_only(rtcp: socket.socket, host: str) -> None:
    """Let the kernel drop what does not come from this host (classic BPF, socket(7) SO_ATTACH_FILTER)."""
    packed = ipaddress.ip_address(host).packed
    offset = 12 if len(packed) == 4 else 8  # of the source address in the IP header
    words = struct.unpack(f"!{len(packed) // 4}I", packed)
    program = []
    for index, word in enumerate(words):
        program.append((0x20, 0, 0, 0xFFF00000 + offset + 4 * index))  # ld [SKF_NET_OFF + ...]
        program.append((0x15, 0, 2 * (len(words) - index) - 1, word))  # jeq word, else to the last line
    program += [(0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0)]  # take all of it; take nothing
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    held = ctypes.create_string_buffer(code, len(code))
    with contextlib.suppress(OSError):  # a kernel that cannot: RTCP carries figures only
        rtcp.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(program), ctypes.addressof(held)))


def _hear_all(rtcp: socket.socket) -> None:
    with contextlib.suppress(OSError):  # there was no filter
        rtcp.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def parse(text: str) -> Address | None:
    """An address as pjsip writes it: 192.0.2.1:4000, [2001:db8::1]:4000; None if it is none."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    try:
        return (str(ipaddress.ip_address(host)), int(port))
    except ValueError:
        return None


def is_unspecified(address: Address) -> bool:
    return address[1] == 0 or ipaddress.ip_address(address[0]).is_unspecified


def kind(host: str) -> str:
    """``loopback``, ``private``, ``public`` or ``none``; shared address space (RFC 6598) counts as private."""
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        return "none"
    if address.is_loopback:
        return "loopback"
    return "public" if address.is_global else "private"
