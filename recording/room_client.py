"""The daemon's end of a listening room (recording.room): starts one, gives leave, hears how it ended."""

import asyncio
import json
import socket
import subprocess
import sys
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from recording.format import State
from recording.rewrap import Rewrap
from recording.room_messages import MAX_LINE_BYTES, RoomJob, Why

__all__ = ["Opened", "Rewraps", "RoomEnd", "RoomJob", "run_room"]

ASK_S: Final = 300.0  # two answers, Argon2id, and the reading of a long file


@dataclass(frozen=True, slots=True)
class Opened:
    """Passphrase and code were right, the file is intact; nothing has been given out yet."""

    totp_step: int  # to be kept: the same or an older one never opens again
    state: State  # what the file itself says


@dataclass(frozen=True, slots=True)
class RoomEnd:
    """How it ended."""

    refused: Why | None  # None: it was open
    totp_step: int | None  # if the code was right, whatever came after
    spans: tuple[tuple[int, int], ...] = ()  # bytes of the Ogg stream that were given out
    complete: bool = False  # an export that reached its end


class Rewraps(Protocol):
    """Held recordings whose keys the reader wraps once more, while the room is open anyway."""

    async def batch(self) -> Sequence[Rewrap]:
        """The next few; none: that is all."""

    async def keep(self, wraps: Mapping[tuple[str, str], bytes]) -> None:
        """By (recording, hold); those that the reader could not open are missing."""


async def run_room(
    job: RoomJob, terminal_fd: int, allow: Callable[[Opened], Awaitable[bool]], rewraps: Rewraps | None = None
) -> RoomEnd:
    """One opening for the person at the terminal (a connected stream socket that nobody else reads meanwhile).

    `allow` is awaited before any audio leaves the room: commit the used step and the entry in the access log there, and
    return False to refuse. Cancelling ends the room at once. The descriptor stays the caller's.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        process = _spawn(theirs, terminal_fd)
    reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_LINE_BYTES)
    try:
        return await _converse(job, reader, writer, allow, rewraps)
    finally:
        writer.close()
        process.kill()
        await asyncio.to_thread(process.wait)


async def _converse(
    job: RoomJob,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    allow: Callable[[Opened], Awaitable[bool]],
    rewraps: Rewraps | None,
) -> RoomEnd:
    _send(writer, job.to_wire())
    try:
        async with asyncio.timeout(ASK_S):
            event = await _event(reader)
    except TimeoutError:
        return RoomEnd("hung-up", None)
    if event.get("event") != "opened":
        return _refusal(event, None)
    opened = Opened(int(event["totp_step"]), event["state"])
    allowed = await allow(opened)
    _send(writer, {"proceed": allowed, "rewraps": rewraps is not None})
    if allowed and rewraps is not None and not await _rewrapped(reader, writer, rewraps):
        return RoomEnd("failed", opened.totp_step)
    event = await _event(reader)
    if event.get("event") != "closed":
        return _refusal(event, opened.totp_step)
    spans = tuple((int(start), int(end)) for start, end in event["spans"])
    return RoomEnd(None, opened.totp_step, spans, bool(event["complete"]))


async def _rewrapped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rewraps: Rewraps) -> bool:
    """Whether the room is still there."""
    while items := await rewraps.batch():
        _send(writer, {"rewrap": [one.to_wire() for one in items]})
        event = await _event(reader)
        if event.get("event") != "rewrapped":
            return False
        await rewraps.keep({(one["rec_id"], one["hold_id"]): b64decode(one["wrap"]) for one in event["wraps"]})
    _send(writer, {"rewrap": []})
    return True


def _refusal(event: dict[str, Any], totp_step: int | None) -> RoomEnd:
    step = event.get("totp_step", totp_step)
    return RoomEnd(event.get("why", "failed"), step if step is None else int(step))


async def _event(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The room's next line; {} if it ended without one."""
    line = await reader.readline()
    return dict(json.loads(line)) if line else {}


def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    writer.write(json.dumps(message).encode() + b"\n")


def _spawn(control: socket.socket, terminal_fd: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-m", "recording.room"]
    # A session of its own: Ctrl-C at the terminal is for the person's program, which then closes the connection.
    return subprocess.Popen(  # noqa: S603
        command, stdin=control.fileno(), stdout=terminal_fd, cwd="/", start_new_session=True
    )
