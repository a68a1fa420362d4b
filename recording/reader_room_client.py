"""The daemon's end of a reader's room (recording.reader_room): starts one, asks it, ends it."""

import asyncio
import json
import socket
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from recording.format import State
from recording.rewrap import Rewrap
from recording.room_messages import BLOCK_BYTES, MAX_LINE_BYTES, OPEN_S, RecordingJob, Why, block

__all__ = [
    "BLOCK_BYTES",
    "OPEN_S",
    "Form",
    "ReaderRoomClient",
    "RecordingJob",
    "RoomGone",
    "RoomRefused",
    "SealedText",
    "Unlock",
]

Form = Literal["ogg", "webm"]
"""In which a recording is given out: as it was sealed, or with an index for players (recording.webm)."""

ASK_S: Final = 60.0  # the reading of a long file


class RoomGone(Exception):
    """The process has ended: its time is over, or it was ended."""


class RoomRefused(Exception):
    """It stays closed."""

    def __init__(self, why: Why, totp_step: int | None = None) -> None:
        super().__init__(why)
        self.why: Final = why
        self.totp_step: Final = totp_step


@dataclass(frozen=True, slots=True)
class Unlock:
    """What somebody typed, and what it is compared with."""

    reader_id: str
    reader_bundle: bytes = field(repr=False)
    passphrase: str = field(repr=False)
    code: str = field(repr=False)
    last_totp_step: int
    open_s: float = OPEN_S


@dataclass(frozen=True, slots=True)
class SealedText:
    """`key_id`, `key_wrap`: of a text that was sent."""

    id: str
    purpose: str
    kek_id: str
    sealed: bytes = field(repr=False)
    key_id: str | None = None
    key_wrap: bytes | None = field(default=None, repr=False)


class ReaderRoomClient:
    """One process. Requests are answered one after the other; a caller that gives up spoils nothing for the next."""

    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self._number = 0
        self._header: dict[str, Any] | None = None  # of an answer whose bytes have not been taken yet
        self.totp_step = 0

    @classmethod
    async def start(cls, unlock: Unlock) -> "ReaderRoomClient":
        """Raises RoomRefused, RoomGone. Takes some tenths of a second."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-I", "-m", "recording.reader_room"]
            process = subprocess.Popen(  # noqa: S603, ASYNC220 - some milliseconds
                command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, cwd="/", start_new_session=True
            )
        reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_LINE_BYTES)
        client = cls(process, reader, writer)
        try:
            said, _ = await client._ask(
                "unlock",
                reader_id=unlock.reader_id,
                reader_bundle=b64encode(unlock.reader_bundle).decode("ascii"),
                passphrase=unlock.passphrase,
                code=unlock.code,
                last_totp_step=unlock.last_totp_step,
                open_s=unlock.open_s,
            )
        except BaseException:  # cancelled too: a process that knows a key must not stay
            await client.close()
            raise
        client.totp_step = int(said["totp_step"])
        return client

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> None:
        """At once; what it knew is gone with it."""
        self._process.kill()

    async def close(self) -> None:
        """Kill, and wait until it is gone."""
        self.kill()
        self._writer.close()
        await asyncio.to_thread(self._process.wait)

    async def open(self, job: RecordingJob) -> tuple[State, Mapping[Form, int]]:
        """What the file itself says, and how large each form is that it can be given out in. Raises RoomRefused,
        RoomGone."""
        said, _ = await self._ask("open", rec=job.to_wire())
        sizes: dict[Form, int] = {"ogg": int(said["size_bytes"])}
        if said["webm_bytes"]:
            sizes["webm"] = int(said["webm_bytes"])
        return said["state"], sizes

    async def read(self, rec_id: str, start: int, size: int, form: Form = "ogg") -> bytes:
        """At most BLOCK_BYTES of that form; empty at its end. Raises RoomRefused, RoomGone."""
        return (await self._ask("read", rec_id=rec_id, start=start, size=size, form=form))[1]

    async def waveform(self, rec_id: str) -> Mapping[str, Any]:
        """As `recording.waveform.Waveform.to_wire`. Raises RoomRefused, RoomGone."""
        said, _ = await self._ask("waveform", rec_id=rec_id)
        return {name: said[name] for name in ("piece_ms", "left", "right", "complete")}

    async def seal_note(self, rec_id: str, note_id: str, words: str) -> bytes:
        """Raises RoomRefused, RoomGone."""
        return b64decode((await self._ask("seal", rec_id=rec_id, note_id=note_id, words=words))[0]["sealed"])

    async def open_note(self, rec_id: str, note_id: str, sealed: bytes) -> str:
        """Raises RoomRefused, RoomGone."""
        text = b64encode(sealed).decode("ascii")
        return str((await self._ask("unseal", rec_id=rec_id, note_id=note_id, sealed=text))[0]["words"])

    async def rewrap(self, items: Sequence[Rewrap]) -> Mapping[tuple[str, str], bytes]:
        """By (recording, hold). Raises RoomRefused, RoomGone."""
        said, _ = await self._ask("rewrap", items=[one.to_wire() for one in items])
        return {(one["rec_id"], one["hold_id"]): b64decode(one["wrap"]) for one in said["wraps"]}

    async def texts(self, kek_wraps: Mapping[str, bytes], texts: Sequence[SealedText]) -> list[str | None]:
        """What was sealed of each (`sms.sealing.words`), however long it is; None: this reader cannot open it. A few at
        a time: their keys go in one line. Raises RoomRefused, RoomGone."""
        wire = [
            {"id": one.id, "purpose": one.purpose, "kek_id": one.kek_id,
             "key_id": one.key_id, "key_wrap": None if one.key_wrap is None else _b64(one.key_wrap)}
            for one in texts
        ]  # fmt: skip
        wraps = {kek_id: _b64(wrap) for kek_id, wrap in kek_wraps.items()}
        blocks = [one.sealed for one in texts]
        _, opened = await self._ask("texts", blocks, kek_wraps=wraps, texts=wire)
        found: list[str | None] = json.loads(opened)
        return found

    async def close_recording(self, rec_id: str) -> None:
        """Raises RoomGone."""
        await self._ask("close", rec_id=rec_id)

    async def _ask(self, do: str, blocks: Sequence[bytes] = (), **more: Any) -> tuple[dict[str, Any], bytes]:
        async with self._turn:
            self._number += 1
            try:
                async with asyncio.timeout(ASK_S):
                    asked = {"do": do, "n": self._number, "blocks": len(blocks), **more}
                    self._writer.write(json.dumps(asked).encode() + b"\n" + b"".join(map(block, blocks)))
                    await self._writer.drain()
                    said, body = await self._answer()
                    while said.get("n") != self._number:  # to somebody who did not wait for it
                        said, body = await self._answer()
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                self.kill()
                raise RoomGone("the room has ended") from None
            except ValueError:  # a line that is too long, or none: where the next one begins nobody knows
                self.kill()
                raise RoomGone("the room answered what cannot be read") from None
        if "refused" in said:
            raise RoomRefused(said["refused"], said.get("totp_step"))
        return said, body

    async def _answer(self) -> tuple[dict[str, Any], bytes]:
        if self._header is None:
            line = await self._reader.readline()
            if not line:
                raise RoomGone("the room has ended")
            self._header = json.loads(line)
        said = self._header
        body = await self._reader.readexactly(int(said.get("bytes", 0)))
        self._header = None
        return said, body


def _b64(data: bytes) -> str:
    return b64encode(data).decode("ascii")
