"""Netstrings, the framing of Kamailio's event socket: ``<length>:<payload>,``. Pure: bytes in, payloads out."""

from __future__ import annotations

MAX_FRAME_BYTES = 30_000  # Kamailio's evapi drops the connection above 32 kB; we keep well below
MAX_INCOMING_BYTES = 131_072  # a MESSAGE with its body in base64 is the largest that the edge sends
_MAX_LENGTH_DIGITS = 6


class FrameError(Exception):
    """The peer sent something that is no netstring, or one too large. The stream cannot be read any further."""


def encode(payload: bytes) -> bytes:
    """One frame. Write it in one piece: evapi loses a frame that is split inside its length. Raises FrameError."""
    if len(payload) > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {len(payload)} bytes is too large")
    return b"%d:%b," % (len(payload), payload)


class Decoder:
    """Takes the stream apart. After a FrameError the decoder must not be used again."""

    def __init__(self, max_bytes: int = MAX_INCOMING_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()  # what has arrived and is not yet a whole frame

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads completed by `data`, in order. Raises FrameError."""
        self._buffer += data
        payloads = []
        while (payload := self._next()) is not None:
            payloads.append(payload)
        return payloads

    def _next(self) -> bytes | None:
        colon = self._buffer.find(b":", 0, _MAX_LENGTH_DIGITS + 1)
        if colon < 0:
            if len(self._buffer) > _MAX_LENGTH_DIGITS:
                raise FrameError("no length where a frame should begin")
            return None
        digits = bytes(self._buffer[:colon])
        if not digits.isdigit():
            raise FrameError("no length where a frame should begin")
        length = int(digits)
        if length > self._max_bytes:
            raise FrameError(f"a frame of {length} bytes is too large")
        end = colon + 1 + length
        if len(self._buffer) <= end:
            return None
        if self._buffer[end : end + 1] != b",":
            raise FrameError("a frame does not end where its length says")
        payload = bytes(self._buffer[colon + 1 : end])
        del self._buffer[: end + 1]
        return payload
