"""A reader's room: a process in which one person listens for as long as they have unlocked, then forgets by ending.

Started by `recording.reader_room_client`; standard input is the control socket. Unlike `recording.room` it is spoken to
by the daemon alone, for a browser: it opens several recordings one after the other and gives out spans of their Ogg
streams. The reader's key, the recordings' keys and whatever is decoded stay in here.

JSON lines; each request has a number `n` and says what to `do`, and how many `blocks` follow it where some do; each
answer has the same number, and `bytes` of what follows it:

    unlock    reader_id, reader_bundle, last_totp_step, passphrase, code, open_s -> totp_step
    open      rec (RecordingJob) -> state, size_bytes, webm_bytes (0: it has no such form)
    read      rec_id, start, size, form (ogg, webm) -> what is there of it, as bytes
    waveform  rec_id -> as far as it is known (recording.waveform)
    seal      rec_id, note_id, words -> sealed        unseal  rec_id, note_id, sealed -> words
    texts     kek_wraps, texts (recording.text_opening), and what is sealed of each as a block (recording.room_messages)
              -> what each holds, or null, as a JSON list in the bytes
    rewrap    items (recording.rewrap) -> wraps       close   rec_id

or `refused` with a Why of recording.room_messages. It ends with the socket, and by itself after `open_s`.
"""

import contextlib
import json
import os
import select
import socket
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final

from recording.credentials import BadCredentials, check
from recording.format import FormatError
from recording.hardening import harden
from recording.keys import KeysError, unwrap_dek, unwrap_kek
from recording.note_seal import open_note, seal_note
from recording.playable import Playable
from recording.reader_bundle import ReaderSecret
from recording.rewrap import Rewrap, rewrapped
from recording.room import check_bytes
from recording.room_messages import BLOCK_BYTES, HungUp, Lines, RecordingJob, Why
from recording.sealed_reader import SealedReader, SealError
from recording.text_opening import TextRing
from recording.waveform import WaveformMaker
from recording.webm import NoWebm, Webm

CONTROL_S: Final = 30.0


class Refused(Exception):
    """It stays closed."""

    def __init__(self, why: Why, totp_step: int | None = None) -> None:
        super().__init__(why)
        self.why: Final = why
        self.totp_step: Final = totp_step


class _Opened:
    """A recording that is open."""

    def __init__(self, job: RecordingJob, dek: bytes, file: BinaryIO, reader: SealedReader) -> None:
        self.job: Final = job
        self.dek: Final = dek
        self.playable: Final = Playable(reader)
        self.webm: Webm | None = None
        with contextlib.suppress(NoWebm):
            self.webm = Webm(self.playable)
        self._file = file
        self._waveform: WaveformMaker | None = None

    def waveform(self) -> dict[str, Any]:
        if self._waveform is None:
            self._waveform = WaveformMaker(self.playable, self.job.duration_ms)
        return self._waveform.look().to_wire()

    def close(self) -> None:
        if self._waveform is not None:
            self._waveform.end()
        else:
            self._file.close()  # else the thread may still read: the process's end closes it


class ReaderRoom:
    """State of the process."""

    def __init__(self, reader: ReaderSecret) -> None:
        self._reader = reader
        self._opened: dict[str, _Opened] = {}
        self._acts: Final[Mapping[str, Callable[[dict[str, Any]], tuple[dict[str, Any], bytes]]]] = {
            "open": self._open,
            "read": self._read,
            "waveform": lambda asked: (self._of(asked).waveform(), b""),
            "seal": self._seal,
            "unseal": self._unseal,
            "rewrap": self._rewrap,
            "texts": self._texts,
            "close": self._close,
        }

    def answer(self, asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Raises Refused."""
        act = self._acts.get(str(asked.get("do")))
        if act is None:
            raise Refused("failed")
        return act(asked)

    def _open(self, asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        job = RecordingJob.from_wire(asked["rec"])
        self._close({"rec_id": job.rec_id})
        try:
            kek = unwrap_kek(job.kek_wrap, self._reader.secret, kek_id=job.kek_id, reader_id=self._reader.reader_id)
            dek = unwrap_dek(job.dek_wrap, kek, rec_id=job.rec_id, purpose=job.purpose, kek_id=job.kek_id)
        except (KeysError, FormatError):
            raise Refused("keys") from None
        try:
            file = open(job.path, "rb")  # noqa: SIM115, PTH123  (closed with the recording)
            check_bytes(file, job.sha256)
            reader = SealedReader(file, dek, job.rec_id, job.purpose, tolerant=job.state == "cut")
            reader.authenticate_all()
        except (OSError, SealError):
            raise Refused("integrity") from None
        self._opened[job.rec_id] = opened = _Opened(job, dek, file, reader)
        webm_bytes = opened.webm.size_bytes if opened.webm is not None else 0
        return {"state": reader.state, "size_bytes": reader.size_bytes, "webm_bytes": webm_bytes}, b""

    def _read(self, asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """As much as was asked for, a block at most: a sealed chunk ends where it ends, the next one is read too."""
        opened, at = self._of(asked), int(asked["start"])
        playable = opened.webm if asked["form"] == "webm" else opened.playable
        if playable is None:
            raise Refused("failed")
        left = max(0, min(int(asked["size"]), BLOCK_BYTES))
        found = bytearray()
        try:
            while left and (block := playable.read_at(at, left)):
                found += block
                at, left = at + len(block), left - len(block)
        except (OSError, SealError):
            raise Refused("integrity") from None
        return {}, bytes(found)

    def _seal(self, asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        opened, note_id = self._of(asked), str(asked["note_id"])
        job = opened.job
        sealed = seal_note(str(asked["words"]), opened.dek, rec_id=job.rec_id, purpose=job.purpose, note_id=note_id)
        return {"sealed": b64encode(sealed).decode("ascii")}, b""

    def _unseal(self, asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        opened, sealed, note_id = self._of(asked), b64decode(asked["sealed"]), str(asked["note_id"])
        job = opened.job
        try:
            return {
                "words": open_note(sealed, opened.dek, rec_id=job.rec_id, purpose=job.purpose, note_id=note_id)
            }, b""
        except KeysError:
            raise Refused("keys") from None

    def _texts(self, asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        ring = TextRing(self._reader.reader_id, self._reader.secret)
        ring.add(asked["kek_wraps"])
        opened = [ring.open(one, sealed) for one, sealed in zip(asked["texts"], asked["blocks"], strict=True)]
        found = [None if plain is None else plain.decode(errors="replace") for plain in opened]
        return {}, json.dumps(found, ensure_ascii=False).encode()

    def _rewrap(self, asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        wraps: list[dict[str, str]] = []
        for one in map(Rewrap.from_wire, asked["items"]):
            with contextlib.suppress(KeysError, FormatError):
                wrap = b64encode(rewrapped(one, self._reader.reader_id, self._reader.secret)).decode("ascii")
                wraps.append({"rec_id": one.rec_id, "hold_id": one.hold_id, "wrap": wrap})
        return {"wraps": wraps}, b""

    def _close(self, asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        opened = self._opened.pop(str(asked["rec_id"]), None)
        if opened is not None:
            opened.close()
        return {}, b""

    def _of(self, asked: dict[str, Any]) -> _Opened:
        opened = self._opened.get(str(asked.get("rec_id")))
        if opened is None:
            raise Refused("denied")
        return opened


def serve(control: Lines) -> None:
    """From the unlocking until the socket or the time ends. Raises HungUp."""
    first = control.receive()
    try:
        reader, step = _unlock(first)
    except Refused as refusal:
        _say(control, first, {"refused": refusal.why, "totp_step": refusal.totp_step})
        return
    ends_s = time.monotonic() + float(first["open_s"])
    room = ReaderRoom(reader)
    _say(control, first, {"totp_step": step})
    del first, reader
    while (left_s := ends_s - time.monotonic()) > 0 and _is_asked(control, left_s):
        asked = control.receive()
        asked["blocks"] = [control.receive_block() for _ in range(int(asked.get("blocks", 0)))]
        try:
            said, body = room.answer(asked)
        except Refused as refusal:
            said, body = {"refused": refusal.why}, b""
        except (KeyError, ValueError, TypeError):
            said, body = {"refused": "failed"}, b""
        _say(control, asked, said, body)


def _is_asked(control: Lines, wait_s: float) -> bool:
    """Whether something comes in that time, or has come: two requests may have arrived in one piece."""
    return control.has_line or bool(select.select([control], [], [], wait_s)[0])


def _unlock(asked: Mapping[str, Any]) -> tuple[ReaderSecret, int]:
    bundle = b64decode(asked["reader_bundle"])
    try:
        reader, step = check(
            bundle, asked["passphrase"], asked["code"], last_step=asked["last_totp_step"], now=datetime.now(UTC)
        )
    except BadCredentials as bad:
        raise Refused(bad.why) from None
    if reader.reader_id != asked["reader_id"]:
        raise Refused("keys", step)
    return reader, step


def _say(control: Lines, asked: Mapping[str, Any], said: Mapping[str, Any], body: bytes = b"") -> None:
    control.send({**said, "n": asked.get("n"), "bytes": len(body)})
    if body:
        control.send_raw(body)


def main() -> int:
    """Entry of `python -I -m recording.reader_room`."""
    harden(dies_with_parent=True)
    with socket.socket(fileno=os.dup(0)) as control:
        try:
            serve(Lines(control, CONTROL_S))
        except HungUp:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
