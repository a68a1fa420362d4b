"""The listening room: a process that lives for one opening of one recording, then forgets by ending.

Started by recording.room_client: standard input is the control socket, standard output the person's terminal
(recording.room_messages). It asks, opens, checks integrity, tells the daemon, waits for its leave (the entry in the
access log is then written), and gives the audio out: as a stream to the terminal, or on a loopback page.
"""

import contextlib
import hashlib
import hmac
import io
import os
import select
import socket
import sys
import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, Final

from recording.credentials import BadCredentials, check
from recording.format import FormatError
from recording.hardening import harden
from recording.keys import KeysError, unwrap_dek, unwrap_kek
from recording.playable import MEDIA_TYPES, Playable, PlayableError, PlayableFile, as_wav
from recording.rewrap import Rewrap, rewrapped
from recording.room_messages import BLOCK_BYTES, HungUp, Lines, RoomJob, Why
from recording.room_page import RoomPage
from recording.sealed_reader import SealedReader, SealError

ANSWER_S: Final = 120.0  # how long somebody may think about a passphrase
CONTROL_S: Final = 30.0
_HASH_BYTES: Final = 1 << 20


class Refused(Exception):
    """It stays closed."""

    def __init__(self, why: Why, totp_step: int | None = None) -> None:
        super().__init__(why)
        self.why: Final = why
        self.totp_step: Final = totp_step  # if the code was right: it counts as used


def serve(control: Lines, terminal: Lines) -> None:
    """One opening, whatever its end."""
    job = RoomJob.from_wire(control.receive())
    try:
        _open(job, control, terminal)
    except Refused as refusal:
        with contextlib.suppress(HungUp):
            terminal.send({"refused": _told(refusal.why)})
        control.send({"event": "refused", "why": refusal.why, "totp_step": refusal.totp_step})


def _open(job: RoomJob, control: Lines, terminal: Lines) -> None:
    dek, totp_step, secret = _unlock(job, terminal)
    if job.mode == "secure":
        asked = _permitted(control, {"event": "opened", "totp_step": totp_step, "state": job.state}, totp_step)
        terminal.send({"secured": _rewrap(job, secret, control) if asked else 0})
        control.send({"event": "closed", "spans": [], "complete": True})
        return
    try:
        file = open(job.path, "rb")  # noqa: SIM115, PTH123  (closed with the process)
        check_bytes(file, job.sha256)
        reader = SealedReader(file, dek, job.rec_id, job.purpose, tolerant=job.state == "cut")
        reader.authenticate_all()
    except (OSError, SealError):
        raise Refused("integrity", totp_step) from None
    if _permitted(control, {"event": "opened", "totp_step": totp_step, "state": reader.state}, totp_step):
        _rewrap(job, secret, control)
    del secret
    show = _export if job.mode == "export" else _show
    try:
        closing = show(job, reader, control, terminal)
    except PlayableError:
        raise Refused("integrity", totp_step) from None
    control.send({"event": "closed"} | closing)


def _permitted(control: Lines, opened: dict[str, Any], totp_step: int) -> bool:
    """Whether keys of held recordings are to be wrapped first. Raises Refused."""
    control.send(opened)
    answer = control.receive()
    if answer.get("proceed") is not True:
        raise Refused("denied", totp_step)
    return answer.get("rewraps") is True


def _rewrap(job: RoomJob, secret: bytes, control: Lines) -> int:
    """Keys of held recordings, as many as the daemon hands over. How many this reader could open."""
    done = 0
    while items := control.receive().get("rewrap"):
        wraps: list[dict[str, str]] = []
        for one in map(Rewrap.from_wire, items):
            with contextlib.suppress(KeysError, FormatError):
                wrap = b64encode(rewrapped(one, job.reader_id, secret)).decode("ascii")
                wraps.append({"rec_id": one.rec_id, "hold_id": one.hold_id, "wrap": wrap})
        done += len(wraps)
        control.send({"event": "rewrapped", "wraps": wraps})
    return done


def _unlock(job: RoomJob, terminal: Lines) -> tuple[bytes, int, bytes]:
    """The DEK, the TOTP step that was used, the reader's secret key. Both questions are put before either answer is
    looked at."""
    try:
        passphrase, code = _ask(terminal, "passphrase"), _ask(terminal, "totp")
    except HungUp:
        raise Refused("hung-up") from None
    now = datetime.now(UTC)
    try:
        reader, step = check(job.reader_bundle, passphrase, code, last_step=job.last_totp_step, now=now)
    except BadCredentials as bad:
        raise Refused(bad.why) from None
    if reader.reader_id != job.reader_id:
        raise Refused("keys", step)
    try:
        kek_secret = unwrap_kek(job.kek_wrap, reader.secret, kek_id=job.kek_id, reader_id=job.reader_id)
        dek = unwrap_dek(job.dek_wrap, kek_secret, rec_id=job.rec_id, purpose=job.purpose, kek_id=job.kek_id)
    except (KeysError, FormatError):
        raise Refused("keys", step) from None
    return dek, step, reader.secret


def _ask(terminal: Lines, what: str) -> str:
    terminal.send({"ask": what})
    return str(terminal.receive().get("answer", ""))


def _told(why: Why) -> Why:
    return "credentials" if why in ("replay", "bundle") else why


def check_bytes(file: BinaryIO, sha256: str) -> None:
    """Raises SealError, OSError."""
    digest = hashlib.sha256()
    while block := file.read(_HASH_BYTES):
        digest.update(block)
    if not hmac.compare_digest(digest.hexdigest(), sha256):
        raise SealError("the file is not the one that was sealed")


def _export(job: RoomJob, reader: SealedReader, _: Lines, terminal: Lines) -> dict[str, Any]:
    """Stream to the terminal. What does not end with an empty block is not to be kept. Raises PlayableError."""
    source: BinaryIO | io.RawIOBase = as_wav(reader, job.rate_hz) if job.format == "wav" else reader
    complete = False
    try:
        terminal.send({"stream": MEDIA_TYPES[job.format], "state": reader.state})
        source.seek(0)
        while block := source.read(BLOCK_BYTES):
            terminal.send_block(block)
        terminal.send_block(b"")
        complete = True
    except (HungUp, SealError):
        complete = False
    return {"spans": [[0, reader.size_bytes]], "complete": complete}


def _show(job: RoomJob, reader: SealedReader, control: Lines, terminal: Lines) -> dict[str, Any]:
    """A page on loopback until the time is over, the person closes, or the daemon does."""
    until = datetime.now(UTC) + timedelta(seconds=job.open_s)
    ogg = Playable(reader)

    def wav() -> Playable:
        return Playable(as_wav(PlayableFile(ogg), job.rate_hz))

    page = RoomPage({"ogg": lambda: ogg, "wav": wav}, reader.state, job.language, until)
    try:
        terminal.send({"url": page.url, "until": until.isoformat(timespec="seconds"), "state": reader.state})
        _wait(job.open_s, control, terminal)
    except HungUp:
        pass
    finally:
        spans = page.close()
    return {"spans": [list(span) for span in spans], "complete": True}


def _wait(seconds: float, control: Lines, terminal: Lines) -> None:
    """Until the time is over, or either side says or ends anything."""
    deadline_s = time.monotonic() + seconds
    while (left_s := deadline_s - time.monotonic()) > 0:
        if select.select([control, terminal], [], [], left_s)[0]:
            return
    terminal.send({"closed": "time"})


def main() -> int:
    """Entry of `python -I -m recording.room`."""
    harden(dies_with_parent=True)
    with socket.socket(fileno=os.dup(0)) as control, socket.socket(fileno=os.dup(1)) as terminal:
        try:
            serve(Lines(control, CONTROL_S), Lines(terminal, ANSWER_S))
        except HungUp:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
