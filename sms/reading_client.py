"""The daemon's end of a reading room (`sms.reading_room`): starts one, gives leave, hands over, hears how it ended."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from recording.room_messages import MAX_LINE_BYTES

ASK_S: Final = 300.0  # two answers and Argon2id
BATCH: Final = 10  # texts in one line


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
    reader, writer = await asyncio.open_connection(sock=ours, limit=16 * MAX_LINE_BYTES)
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
        _send(writer, {"texts": [_text(one) for one in texts[at : at + BATCH]]})
        event = await _event(reader)
        if event.get("event") != "found":
            return _refusal(event, step)
        _send(writer, {"proceed": await reading.shown([str(one) for one in event["ids"]])})
    _send(writer, {"texts": []})
    event = await _event(reader)
    if event.get("event") != "closed":
        return _refusal(event, step)
    return ReadingEnd(None, step, {text_id: b64decode(sealed) for text_id, sealed in event["moved"].items()})


def _wire(job: ReadingJob) -> dict[str, Any]:
    target = job.seal_to
    return {
        "reader_id": job.reader_id,
        "reader_bundle": _b64(job.reader_bundle),
        "last_totp_step": job.last_totp_step,
        "kek_wraps": {kek_id: _b64(wrap) for kek_id, wrap in job.kek_wraps.items()},
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
        "sealed": _b64(one.sealed),
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


def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    writer.write(json.dumps(message).encode() + b"\n")


def _spawn(control: socket.socket, terminal_fd: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-m", "sms.reading_room"]
    return subprocess.Popen(  # noqa: S603
        command, stdin=control.fileno(), stdout=terminal_fd, cwd="/", start_new_session=True
    )


def _b64(raw: bytes) -> str:
    return b64encode(raw).decode("ascii")
