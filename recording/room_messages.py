"""What a listening room says to the daemon (control) and to the person's terminal.

Control, JSON lines: daemon `{job}`; room `{"event": "opened", "totp_step", "state"}`, daemon
`{"proceed": bool, "rewraps": bool}`; with "rewraps" daemon `{"rewrap": [...]}` (recording.rewrap) and room
`{"event": "rewrapped", "wraps": [...]}` in turn, until daemon `{"rewrap": []}`; room
`{"event": "closed", "spans", "complete"}`; or at any point room `{"event": "refused", "why", "totp_step"}`.
Terminal, JSON lines: room `{"ask": "passphrase" | "totp"}`, terminal `{"answer": text}`; room `{"refused": why}`, or
`{"url", "until", "state"}` (open), or `{"secured": count}` (secure: nothing is opened), or
`{"stream": media type, "state"}` (export), after which come blocks: 4 bytes of
length, big-endian, and so many bytes, up to a block of none. A terminal that says anything more or hangs up
ends it.
"""

import json
import socket
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from recording.format import State
from recording.playable import Format

MAX_LINE_BYTES: Final = 64 * 1024
BLOCK_BYTES: Final = 64 * 1024
LENGTH_BYTES: Final = 4
OPEN_S: Final = 15 * 60
_KEY_BYTES: Final = ("kek_wrap", "dek_wrap")
_BYTES: Final = ("reader_bundle", *_KEY_BYTES)

Why = Literal[
    "credentials",  # passphrase or code: nobody is told which
    "replay",  # the code was used before (to the person: credentials)
    "bundle",  # the reader's sealed bundle is no bundle (to the person: credentials)
    "keys",  # the wraps are not for this reader, KEK, recording or purpose
    "integrity",  # the file is missing or not, byte for byte, what was sealed
    "denied",  # the daemon said no after all
    "hung-up",  # the terminal went away, or did not answer
    "failed",  # the room ended without a word
]


@dataclass(frozen=True, slots=True)
class RoomJob:
    """One opening. Nothing in it opens anything without the reader's passphrase."""

    mode: Literal["open", "export", "secure"]
    rec_id: str
    purpose: str
    kek_id: str
    reader_id: str
    reader_bundle: bytes = field(repr=False)
    kek_wrap: bytes = field(repr=False)
    dek_wrap: bytes = field(repr=False)
    path: str
    sha256: str  # of the sealed file, hexadecimal
    state: State  # as the database has it: a cut one is read tolerantly
    rate_hz: int = 8000  # of WAV
    format: Format = "ogg"  # of an export
    last_totp_step: int = 0  # the last one this reader used
    language: Literal["en", "fr"] = "en"
    open_s: int = OPEN_S  # how long it stays open

    def to_wire(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {name: b64encode(getattr(self, name)).decode("ascii") for name in _BYTES}

    @classmethod
    def from_wire(cls, raw: dict[str, Any]) -> "RoomJob":
        """Raises ValueError, KeyError, TypeError."""
        return cls(**(raw | {name: b64decode(raw[name], validate=True) for name in _BYTES}))


@dataclass(frozen=True, slots=True)
class RecordingJob:
    """One recording, for a reader's room (recording.reader_room). Nothing in it opens without the reader's key."""

    rec_id: str
    purpose: str
    kek_id: str
    kek_wrap: bytes = field(repr=False)
    dek_wrap: bytes = field(repr=False)
    path: str
    sha256: str
    state: State
    duration_ms: int

    def to_wire(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {name: b64encode(getattr(self, name)).decode("ascii") for name in _KEY_BYTES}

    @classmethod
    def from_wire(cls, raw: Mapping[str, Any]) -> "RecordingJob":
        """Raises ValueError, KeyError, TypeError."""
        return cls(**(dict(raw) | {name: b64decode(raw[name], validate=True) for name in _KEY_BYTES}))


def block(data: bytes) -> bytes:
    """As it is sent: what is longer than a line goes so."""
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


class HungUp(Exception):
    """The other end went away, kept silent for too long, or does not speak JSON lines."""


class Lines:
    """JSON lines over a stream socket, blocking with a timeout (so the socket's own mode does not matter)."""

    def __init__(self, sock: socket.socket, timeout_s: float) -> None:
        self._sock = sock
        sock.settimeout(timeout_s)
        self._buffer = b""  # received after the last line

    def fileno(self) -> int:
        """For select, which does not see what was received already: `has_line`."""
        return self._sock.fileno()

    @property
    def has_line(self) -> bool:
        """Whether a whole line has been received already."""
        return b"\n" in self._buffer

    def send(self, message: dict[str, Any]) -> None:
        """Raises HungUp."""
        self.send_raw(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def send_raw(self, data: bytes) -> None:
        """Raises HungUp."""
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise HungUp("the other end went away") from error

    def send_block(self, data: bytes) -> None:
        """One block; an empty one ends a stream. Raises HungUp."""
        self.send_raw(block(data))

    def receive(self) -> dict[str, Any]:
        """The next line. Raises HungUp."""
        while b"\n" not in self._buffer:
            if len(self._buffer) > MAX_LINE_BYTES:
                raise HungUp("a line that does not end")
            self._more()
        line, self._buffer = self._buffer.split(b"\n", 1)
        try:
            message = json.loads(line)
        except ValueError:
            raise HungUp("not a JSON line") from None
        if not isinstance(message, dict):
            raise HungUp("not a JSON object")
        return message

    def receive_block(self) -> bytes:
        """The next block; empty at the end of a stream. Raises HungUp."""
        return self._take(int.from_bytes(self._take(LENGTH_BYTES), "big"))

    def _take(self, size_bytes: int) -> bytes:
        while len(self._buffer) < size_bytes:
            self._more()
        data, self._buffer = self._buffer[:size_bytes], self._buffer[size_bytes:]
        return data

    def _more(self) -> None:
        try:
            data = self._sock.recv(MAX_LINE_BYTES)
        except OSError as error:
            raise HungUp("the other end went away") from error
        if not data:
            raise HungUp("the other end went away")
        self._buffer += data
