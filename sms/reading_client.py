"""The daemon's end of a reading room (`sms.reading_room`): starts one, gives leave, hands over, hears how it ended."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from recording.room_messages import LENGTH_BYTES, MAX_LINE_BYTES, block

ASK_S: Final = 300.0  # two answers and Argon2id
BATCH: Final = 10  # texts whose keys go in one line


@dataclass(frozen=True, slots=True)
class Target:
    """Where texts are moved to: the KEK of the other inbox."""

    public: bytes = field(repr=False)
    purpose: str
    kek_id: str


@dataclass(frozen=True, slots=True)
class ReadingJob:
    """One opening. Nothing in it opens anything without the passphrase. `search`: only what has these words."""

    reader_id: str
    reader_bundle: bytes = field(repr=False)
    last_totp_step: int
    kek_wraps: Mapping[str, bytes] = field(repr=False)  # by KEK id
    search: str | None = field(default=None, repr=False)
    seal_to: Target | None = None


@dataclass(frozen=True, slots=True)
class SealedText:
    """`about`: what is shown beside the words. `key_id`, `key_wrap`: of a text that was sent."""

    id: str
    purpose: str
    kek_id: str
    sealed: bytes = field(repr=False)
    about: Mapping[str, Any] = field(repr=False)
    key_id: str | None = None
    key_wrap: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ReadingEnd:
    """How it ended. `refused` None: it was open. `moved`: by id, sealed anew."""

    refused: str | None
    totp_step: int | None
    moved: Mapping[str, bytes] = field(default_factory=dict, repr=False)


class Reading(Protocol):
    """What the daemon decides and writes down. Each commits before it returns."""

    async def allow(self, totp_step: int) -> bool:
        """Passphrase and code were right: the step is used from now on."""

    async def shown(self, ids: Sequence[str]) -> bool:
        """These are about to be shown."""


async def run_reading(job: ReadingJob, texts: Sequence[SealedText], terminal_fd: int, reading: Reading) -> ReadingEnd:
    """One opening for the person at the terminal (a connected stream socket). Cancelling ends the room at once."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = _spawn(theirs, terminal_fd)
    reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_LINE_BYTES)
    try:
        return await _converse(job, texts, reader, writer, reading)
    finally:
        writer.close()
        process.kill()
        await asyncio.to_thread(process.wait)


async def _converse(
    job: ReadingJob,
    texts: Sequence[SealedText],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    reading: Reading,
) -> ReadingEnd:
    _send(writer, _wire(job))
    try:
        async with asyncio.timeout(ASK_S):
            event = await _event(reader)
    except TimeoutError:
        return ReadingEnd("hung-up", None)
    if event.get("event") != "opened":
        return _refusal(event, None)
    step = int(event["totp_step"])
    allowed = await reading.allow(step)
    _send(writer, {"proceed": allowed})
    if not allowed:
        return ReadingEnd("denied", step)
    for at in range(0, len(texts), BATCH):
        some = texts[at : at + BATCH]
        wraps = {one.kek_id: _b64(job.kek_wraps[one.kek_id]) for one in some if one.kek_id in job.kek_wraps}
        _send(writer, {"texts": [_text(one) for one in some], "kek_wraps": wraps}, [one.sealed for one in some])
        event = await _event(reader)
        if event.get("event") != "found":
            return _refusal(event, step)
        _send(writer, {"proceed": await reading.shown([str(one) for one in event["ids"]])})
    _send(writer, {"texts": []})
    event = await _event(reader)
    if event.get("event") != "closed":
        return _refusal(event, step)
    try:
        return ReadingEnd(None, step, {str(text_id): await _block(reader) for text_id in event["moved"]})
    except asyncio.IncompleteReadError:
        return _refusal({}, step)


def _wire(job: ReadingJob) -> dict[str, Any]:
    target = job.seal_to
    return {
        "reader_id": job.reader_id,
        "reader_bundle": _b64(job.reader_bundle),
        "last_totp_step": job.last_totp_step,
        "search": job.search,
        "seal_to": None
        if target is None
        else {"public": _b64(target.public), "purpose": target.purpose, "kek_id": target.kek_id},
    }


def _text(one: SealedText) -> dict[str, Any]:
    return {
        "id": one.id,
        "purpose": one.purpose,
        "kek_id": one.kek_id,
        "about": dict(one.about),
        "key_id": one.key_id,
        "key_wrap": None if one.key_wrap is None else _b64(one.key_wrap),
    }


def _refusal(event: dict[str, Any], totp_step: int | None) -> ReadingEnd:
    step = event.get("totp_step", totp_step)
    return ReadingEnd(str(event.get("why", "failed")), step if step is None else int(step))


async def _event(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The room's next line; {} if it ended without one."""
    line = await reader.readline()
    return dict(json.loads(line)) if line else {}


async def _block(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big"))


def _send(writer: asyncio.StreamWriter, message: dict[str, Any], blocks: Sequence[bytes] = ()) -> None:
    writer.write(json.dumps(message).encode() + b"\n" + b"".join(map(block, blocks)))


def _spawn(control: socket.socket, terminal_fd: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-m", "sms.reading_room"]
    return subprocess.Popen(  # noqa: S603
        command, stdin=control.fileno(), stdout=terminal_fd, cwd="/", start_new_session=True
    )


def _b64(raw: bytes) -> str:
    return b64encode(raw).decode("ascii")
