"""What really was on the wire, and when: RTP as the kernel saw it leave a phone, beside which a recording is laid.

Needs the right to open a packet socket (root, CAP_NET_RAW).
"""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
from types import TracebackType
from typing import Self

import numpy as np

from tests.peers import tones
from tests.peers.baresip import Phone

_ETH_P_IP = 0x0800
_SO_TIMESTAMPNS = 35
_SO_ATTACH_FILTER = 26
_PACKET_HOST = 0
_ALAW = 8


class _Filter(ctypes.Structure):
    """One instruction of the classic packet filter (bpf(2))."""

    _fields_ = (("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Filter)))


def _udp_from(first: int, last: int) -> ctypes.Array[_Filter]:
    """UDP over IPv4 whose source port is one of these."""
    code = [
        (0x30, 0, 0, 9),  # load protocol
        (0x15, 0, 5, socket.IPPROTO_UDP),
        (0xB1, 0, 0, 0),  # length of the IP header
        (0x48, 0, 0, 0),  # load source port
        (0x35, 0, 2, first),
        (0x25, 1, 0, last),
        (0x06, 0, 0, 0xFFFF),
        (0x06, 0, 0, 0),
    ]
    return (_Filter * len(code))(*(_Filter(*one) for one in code))


def rtp_ports(phone: Phone) -> tuple[int, int]:
    """From which port to which a phone sends its audio."""
    [line] = [line for line in (phone.directory / "config").read_text().splitlines() if line.startswith("rtp_ports")]
    first, _, last = line.removeprefix("rtp_ports ").partition("-")
    return int(first), int(last)


class Wire:
    """Takes down the RTP (A-law, in clear) that one phone sends while the context is open."""

    def __init__(self, phone: Phone) -> None:
        self._ports = rtp_ports(phone)
        self._packets: list[tuple[float, int, int, bytes]] = []  # when (s), source port, RTP time, payload
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._instructions = _udp_from(*self._ports)
        program = _Program(len(self._instructions), self._instructions)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(program))
        self._socket.bind(("lo", _ETH_P_IP))
        self._socket.settimeout(0.2)
        self._thread = threading.Thread(target=self._listen, name="wire", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                data, ancillary, _, address = self._socket.recvmsg(2048, 128)
            except TimeoutError:
                continue
            if address[2] != _PACKET_HOST:  # not also on its way out
                continue
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2][:16])
            udp = data[(data[0] & 15) * 4 :]
            rtp = udp[8:]
            if len(rtp) > 12 and rtp[0] >> 6 == 2 and rtp[1] & 0x7F == _ALAW:
                port = int.from_bytes(udp[:2], "big")
                time = int.from_bytes(rtp[4:8], "big")
                self._packets.append((seconds + nanoseconds / 1e9, port, time, rtp[12:]))

    def onsets(self, hz: int) -> list[float]:
        """When (Unix time) each burst of this tone began, by the clock of the RTP stream."""
        if not self._packets:
            return []
        first = self._packets[0][2]
        begins = [(time - first) & 0xFFFFFFFF for _, _, time, _ in self._packets]
        samples = np.zeros(max(begins) + 2000, dtype=np.int16)
        for begin, (_, _, _, payload) in zip(begins, self._packets, strict=True):
            samples[begin : begin + len(payload)] = tones.alaw_decode(payload)
        # A packet may leave late, never early: what most of them agree on is when the stream began.
        origin = float(np.median([at - begin / 8000 for begin, (at, *_) in zip(begins, self._packets, strict=True)]))
        return [origin + onset for onset in tones.onsets(samples, hz)]
