"""How much may be on its way to the edge at once. Pure: payloads go in, what may be written now comes out.

Kamailio's evapi reads into a buffer of 32 kB and loses a frame whose length prefix falls on the end of that buffer.
As long as everything unread fits into the buffer at once, no frame can be cut. What has been read is known from
pings: the pong of a ping proves that all before it was read.
"""

from __future__ import annotations

from collections import deque

from sip.edge import netstring, protocol

UNREAD_MAX_BYTES = 24_000
_PING_ROOM_BYTES = 64  # a ping always fits on top


class SendWindow:
    """The sending side of one control connection."""

    def __init__(self) -> None:
        self._queue: deque[bytes] = deque()  # frames that do not fit yet
        self._unread = 0  # bytes written and not known to be read
        self._unmarked = 0  # of these, bytes written after the last ping
        self._marks: deque[tuple[int, int]] = deque()  # (ping number, bytes it vouches for), oldest first
        self._number = 0

    @property
    def waiting(self) -> int:
        """Frames that are held back."""
        return len(self._queue)

    def send(self, payload: bytes) -> bytes:
        """Queues one payload. Returns the bytes to write now, perhaps none. Raises netstring.FrameError."""
        self._queue.append(netstring.encode(payload))
        return self._flush()

    def ping(self) -> bytes:
        """A ping to write now. It also tells the edge that the daemon lives."""
        self._number += 1
        frame = netstring.encode(protocol.ping(self._number))
        self._unread += len(frame)
        self._marks.append((self._number, self._unmarked + len(frame)))
        self._unmarked = 0
        return frame

    def pong(self, number: int) -> bytes:
        """The edge has read up to this ping. Returns the bytes to write now, perhaps none."""
        while self._marks and self._marks[0][0] <= number:
            self._unread -= self._marks.popleft()[1]
        return self._flush()

    def _flush(self) -> bytes:
        frames = []
        while self._queue and self._fits(len(self._queue[0])):
            frame = self._queue.popleft()
            self._unread += len(frame)
            self._unmarked += len(frame)
            frames.append(frame)
        if self._unmarked and (self._queue or self._unread > UNREAD_MAX_BYTES // 2):
            frames.append(self.ping())
        return b"".join(frames)

    def _fits(self, size: int) -> bool:
        return self._unread == 0 or self._unread + size + _PING_ROOM_BYTES <= UNREAD_MAX_BYTES
