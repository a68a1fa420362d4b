"""An Ogg/Opus stream as WebM with an index (RFC 9559, RFC 7845), made while it is read: so a player finds any moment by
one request. Ogg has no index, and a browser looks for a moment by halves, each a request.

Packets stay as they are; nothing is decoded. Only the index is held, and the cluster that was made last.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from recording.playable import Playable

CLUSTER_MS: Final = 5000  # of audio at most in one, but for a page that is longer
_MS_MAX: Final = 30_000  # a block's time within its cluster has 16 bits
_SAMPLES_MS: Final = 48  # Opus counts in 48 kHz, whatever was sampled
_PAGE_BYTES: Final = 27  # of an Ogg page's header, before its lacing values (RFC 3533 section 6)
_CONTINUED: Final = 1
_LACED: Final = 255
_CLUSTER_HEAD_BYTES: Final = 4 + 8 + 6
_BLOCK_HEAD_BYTES: Final = 1 + 4 + 4
_APP: Final = b"beffroi"
_UNKNOWN_GRANULE: Final = (1 << 64) - 1


class NoWebm(Exception):
    """It is no Opus stream, or none as our recorder writes them."""


@dataclass(frozen=True, slots=True)
class _Page:
    at: int
    granule: int
    sizes: tuple[int, ...]  # of its packets

    @property
    def body(self) -> int:
        return self.at + _PAGE_BYTES + _lacing(self.sizes)

    @property
    def end(self) -> int:
        return self.body + sum(self.sizes)


@dataclass(frozen=True, slots=True)
class _Cluster:
    begins_ms: int
    first: int  # place of its pages in the Ogg stream
    end: int
    size_bytes: int  # as WebM


class Webm:
    """Random access to the WebM form of an opened recording."""

    def __init__(self, ogg: Playable) -> None:
        """Raises NoWebm, and what the source raises. Looks at each page's header once."""
        self._ogg = ogg
        pages = self._pages(0)
        head = next(pages, None)
        opus = self._exactly(head.body, head.sizes[0]) if head is not None and len(head.sizes) == 1 else b""
        if len(opus) < 19 or opus[:8] != b"OpusHead" or opus[9] != 2 or opus[18] != 0:  # two channels, family 0
            raise NoWebm("no Opus stream of two channels")
        tags = next(pages, None)
        if tags is None or self._exactly(tags.body, 8) != b"OpusTags":
            raise NoWebm("no tags")
        self._clusters, end = self._found(pages)
        if not self._clusters:
            raise NoWebm("nothing to hear")
        skipped = int.from_bytes(opus[10:12], "little")
        self._head: Final = _head(opus, skipped, max(0, end - skipped) / _SAMPLES_MS, self._clusters)
        self._starts: list[int] = []
        at = len(self._head)
        for cluster in self._clusters:
            self._starts.append(at)
            at += cluster.size_bytes
        self.size_bytes: Final = at
        self._made: tuple[int, bytes] = (-1, b"")

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """At most size_bytes from offset, to the end of a cluster; empty at the end. Raises what the source raises."""
        if offset < len(self._head):
            return self._head[offset : offset + size_bytes]
        number = bisect_right(self._starts, offset) - 1
        if number < 0 or offset >= self.size_bytes:
            return b""
        if self._made[0] != number:
            self._made = number, self._cluster(self._clusters[number])
        within = offset - self._starts[number]
        return self._made[1][within : within + size_bytes]

    # --- what there is

    def _pages(self, at: int) -> Iterator[_Page]:
        """Whole pages from there on. Raises NoWebm for a packet that does not end with its page."""
        while True:
            head = self._some(at, _PAGE_BYTES)
            if len(head) < _PAGE_BYTES or head[:5] != b"OggS\0":
                return
            laced = self._some(at + _PAGE_BYTES, head[26])
            sizes, size = list[int](), 0
            for value in laced:
                size += value
                if value < _LACED:
                    sizes.append(size)
                    size = 0
            page = _Page(at, int.from_bytes(head[6:14], "little"), tuple(sizes))
            if len(laced) < head[26] or page.end > self._ogg.size_bytes:  # cut
                return
            if size or head[5] & _CONTINUED or not sizes or page.granule == _UNKNOWN_GRANULE:
                raise NoWebm("a packet on two pages")
            yield page
            at = page.end

    def _found(self, pages: Iterator[_Page]) -> tuple[list[_Cluster], int]:
        """Clusters, and the sample at which the last one ends."""
        clusters, now = list[_Cluster](), 0
        begins = first = size = 0
        end = -1
        for page in pages:
            if end >= 0 and (page.granule - begins) // _SAMPLES_MS > CLUSTER_MS:
                clusters.append(_Cluster(begins // _SAMPLES_MS, first, end, size))
                end = -1
            if end < 0:
                begins, first, size = now, page.at, _CLUSTER_HEAD_BYTES
            if page.granule < now or (page.granule - begins) // _SAMPLES_MS > _MS_MAX:
                raise NoWebm("its times are not in order")
            size += sum(_BLOCK_HEAD_BYTES + each for each in page.sizes)
            now, end = page.granule, page.end
        if end >= 0:
            clusters.append(_Cluster(begins // _SAMPLES_MS, first, end, size))
        return clusters, now

    def _cluster(self, cluster: _Cluster) -> bytes:
        made = bytearray(b"\x1f\x43\xb6\x75" + _size8(cluster.size_bytes - 12) + b"\xe7\x84")
        made += struct.pack(">I", cluster.begins_ms)
        samples = 0
        for page in self._pages(cluster.first):
            if page.at >= cluster.end:
                break
            body, at = self._exactly(page.body, sum(page.sizes)), 0
            for size in page.sizes:
                packet = body[at : at + size]
                at += size
                made += b"\xa3" + struct.pack(">I", 0x10000000 | (4 + size))
                made += b"\x81" + struct.pack(">h", min(samples // _SAMPLES_MS, 0x7FFF)) + b"\x80" + packet
                samples += _samples(packet)
        return bytes(made)

    # --- reading

    def _some(self, at: int, size: int) -> bytes:
        found = bytearray()
        while size > len(found) and (block := self._ogg.read_at(at + len(found), size - len(found))):
            found += block
        return bytes(found)

    def _exactly(self, at: int, size: int) -> bytes:
        found = self._some(at, size)
        if len(found) < size:
            raise NoWebm("the stream ends within a page")
        return found


def _lacing(sizes: tuple[int, ...]) -> int:
    return sum(size // _LACED + 1 for size in sizes)


def _samples(packet: bytes) -> int:
    """How long a packet lasts, at 48 kHz (RFC 6716 sections 3.1 and 3.2)."""
    if not packet:
        return 0
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        frame = (480, 960, 1920, 2880)[config & 3]
    elif config < 16:
        frame = (480, 960)[config & 1]
    else:
        frame = (120, 240, 480, 960)[config & 3]
    frames = (1, 2, 2, packet[1] & 63 if len(packet) > 1 else 0)[code]
    return frame * frames


# --- EBML (RFC 8794) -------------------------------------------------------------------------------------------------


def _size8(size: int) -> bytes:
    return struct.pack(">Q", (1 << 56) | size)


def _element(name: str, content: bytes) -> bytes:
    size = bytes([0x80 | len(content)]) if len(content) < 0x7F else _size8(len(content))
    return bytes.fromhex(name) + size + content


def _number(name: str, value: int) -> bytes:
    return _element(name, struct.pack(">Q", value))


def _head(opus: bytes, skipped: int, duration_ms: float, clusters: list[_Cluster]) -> bytes:
    """Everything before the first cluster. Every number has eight bytes, so the length hangs on how many cues there are
    alone."""
    ebml = _element(
        "1a45dfa3",
        _number("4286", 1) + _number("42f7", 1) + _number("42f2", 4) + _number("42f3", 8)
        + _element("4282", b"webm") + _number("4287", 4) + _number("4285", 2),
    )  # fmt: skip
    info = _element(
        "1549a966",
        _number("2ad7b1", 1_000_000) + _element("4489", struct.pack(">d", duration_ms))
        + _element("4d80", _APP) + _element("5741", _APP),
    )  # fmt: skip
    audio = _element("e1", _element("b5", struct.pack(">d", 48000.0)) + _number("9f", 2))
    track = _element(
        "ae",
        _number("d7", 1) + _number("73c5", 1) + _number("83", 2) + _number("9c", 0) + _element("86", b"A_OPUS")
        + _number("56aa", skipped * 1_000_000 // _SAMPLES_MS) + _number("56bb", 80_000_000) + audio
        + _element("63a2", opus),
    )  # fmt: skip
    tracks = _element("1654ae6b", track)
    begin = len(info) + len(tracks) + len(_cues(b"".join(_cue(0, 0) for _ in clusters)))
    cues, at = bytearray(), begin
    for cluster in clusters:
        cues += _cue(cluster.begins_ms, at)
        at += cluster.size_bytes
    segment = info + tracks + _cues(bytes(cues))
    return ebml + bytes.fromhex("18538067") + _size8(at) + segment


def _cues(every: bytes) -> bytes:
    return _element("1c53bb6b", every)


def _cue(at_ms: int, place: int) -> bytes:
    return _element("bb", _number("b3", at_ms) + _element("b7", _number("f7", 1) + _number("f1", place)))
