"""The recorder process: takes the captures of many calls, encodes, seals, writes. It can seal and cannot open.

Started by recording.recorder_client with one end of a SEQPACKET pair as its standard input. It makes a key only on a
proof token and for a KEK whose signatures it has checked itself, hands out the wrap, and writes nothing before it is
told to go. When the socket ends (the daemon is gone, however) it finishes everything that is open and exits; it does
not listen to the signals that stop a daemon, so that this also happens when the machine goes down.

One thread, one wake a second for all recordings together, none while there is nothing to record.
"""

import contextlib
import hashlib
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from cryptography.cobblestone import Cobblestone256Encryptor
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from recording.capture import Capture, CaptureError
from recording.encoder import RATES_HZ, EncoderError
from recording.format import FormatError
from recording.hardening import harden
from recording.keys import MalformedKey, UnsignedKek, verify_kek, wrap_dek
from recording.messages import LEGS, MAX_BYTES, Begin, Configure, RecorderRefused, decode, encode, text
from recording.one_recording import OneRecording
from recording.proof import ProofError, ProofToken, verify
from recording.vault import growing_path, sealed_path

log = logging.getLogger(__name__)

TICK_S: Final = 1.0
_LAST_WORDS_S: Final = 0.3  # a worker that dies with the daemon may still be writing its last block


@dataclass(frozen=True, slots=True)
class _Keyed:
    """Between begin and go."""

    begin: Begin
    expires_at: datetime
    dek: bytes = field(repr=False)


class Recorder:
    """State of the process."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._settings: Configure | None = None  # set by the first message
        self._keyed: dict[str, _Keyed] = {}
        self._recordings: dict[str, OneRecording] = {}  # rec_id -> from go until stop or destroy
        self._used: dict[bytes, datetime] = {}  # SHA-256 of each proof used -> when it expires by itself
        self._due_s = 0.0  # monotonic time of the next tick; kept while something runs

    def run(self) -> None:
        """Until the socket ends."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        there = True
        while there:
            wait_s = self._due_s - time.monotonic() if self._running() else None
            if wait_s is not None and wait_s <= 0:
                there = self._tick(poll)
            elif poll.poll(None if wait_s is None else wait_s * 1000):
                there = self._serve_one()
        self._finish_all()

    def _running(self) -> list[OneRecording]:
        return [recording for recording in self._recordings.values() if recording.state == "running"]

    def _tick(self, poll: select.poll) -> bool:
        self._due_s = time.monotonic() + TICK_S
        for recording in self._running():
            if recording.state == "running" and (cut := recording.step()) is not None:
                self._say({"event": "cut", "rec_id": cut.rec_id, "reason": cut.reason})
            # Who waits for an answer does not wait for forty recordings.
            if poll.poll(0) and not self._serve_one():
                return False
        return True

    def _finish_all(self) -> None:
        self._keyed.clear()
        if self._running():
            time.sleep(_LAST_WORDS_S)
        for recording in self._running():
            recording.finish()

    def _serve_one(self) -> bool:
        """Answer one datagram; False at the end of the socket."""
        try:
            datagram, fds, _, _ = socket.recv_fds(self._control, MAX_BYTES, LEGS, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            return False
        if not datagram:
            return False
        try:
            message = decode(datagram)
            seq = int(message["seq"])
        except (ValueError, KeyError, TypeError):
            log.error("a message that cannot be understood")
            return True
        try:
            self._say({"seq": seq, "ok": self._handle(message, fds)})
        except RecorderRefused as refusal:
            self._say({"seq": seq, "refused": refusal.reason, "why": refusal.why})
        finally:
            for fd in fds:  # what go kept was taken out of the list
                os.close(fd)
        return True

    def _say(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # nobody there: the next read says so
            self._control.send(encode(message))

    def _handle(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        try:
            op = message["op"]
            if op == "configure":
                return self._configure(Configure.from_wire(message))
            if self._settings is None:
                raise RecorderRefused("request", "not configured")
            if op == "begin":
                return self._begin(Begin.from_wire(message), self._settings, datetime.now(UTC))
            rec_id = str(message["rec_id"])
            if op == "go":
                return self._go(rec_id, fds, self._settings, datetime.now(UTC))
            handlers: dict[str, Callable[[str], dict[str, Any]]] = {"stop": self._stop, "destroy": self._destroy}
            return handlers[op](rec_id)
        except (ValueError, KeyError, TypeError):
            raise RecorderRefused("request", "a request that cannot be understood") from None

    def _configure(self, settings: Configure) -> dict[str, Any]:
        for public in (settings.proof_public, settings.kek_signing_public):
            Ed25519PublicKey.from_public_bytes(public)
        self._settings = settings
        return {}

    def _begin(self, begin: Begin, settings: Configure, now: datetime) -> dict[str, Any]:
        token = self._check_proof(begin, settings, now)
        _check_kek(begin, settings)
        if begin.rate_hz not in RATES_HZ:
            raise RecorderRefused("request", "a capture has 8000 or 16000 samples a second")
        self._check_room(begin.rec_id, settings)
        dek = Cobblestone256Encryptor.generate_key()
        try:
            wrap = wrap_dek(dek, begin.kek_public, rec_id=begin.rec_id, purpose=begin.purpose, kek_id=begin.kek_id)
        except MalformedKey as error:
            raise RecorderRefused("kek", str(error)) from None
        self._used[_digest(begin.proof)] = token.expires_at
        self._keyed[begin.rec_id] = _Keyed(begin, token.expires_at, dek)
        return {"dek_wrap": text(wrap)}

    def _check_proof(self, begin: Begin, settings: Configure, now: datetime) -> ProofToken:
        """No proof, no key."""
        self._used = {digest: expires for digest, expires in self._used.items() if expires > now}
        try:
            token = verify(begin.proof, Ed25519PublicKey.from_public_bytes(settings.proof_public), now)
        except ProofError as error:
            raise RecorderRefused("proof", str(error)) from None
        if (token.rec_id, token.purpose) != (begin.rec_id, begin.purpose):
            raise RecorderRefused("proof", "the proof is for another recording or purpose")
        if _digest(begin.proof) in self._used:
            raise RecorderRefused("proof", "the proof was used before")
        return token

    def _check_room(self, rec_id: str, settings: Configure) -> None:
        if rec_id in self._keyed or rec_id in self._recordings:
            raise RecorderRefused("exists", "the recorder has this recording already")
        try:
            if sealed_path(settings.vault_dir, rec_id).exists() or growing_path(settings.vault_dir, rec_id).exists():
                raise RecorderRefused("exists", "the vault has this recording already")
            vault = os.statvfs(settings.vault_dir)
        except OSError as error:
            raise RecorderRefused("vault", str(error.strerror)) from None
        if vault.f_bavail * vault.f_frsize < settings.min_free_mb * 1_000_000:
            raise RecorderRefused("space", f"less than {settings.min_free_mb} MB are free")

    def _go(self, rec_id: str, fds: list[int], settings: Configure, now: datetime) -> dict[str, Any]:
        keyed = self._keyed.pop(rec_id, None)
        if keyed is None:
            raise RecorderRefused("unknown", "no key was made for this recording")
        if now >= keyed.expires_at:
            raise RecorderRefused("proof", "the proof has expired")
        if len(fds) != LEGS:
            raise RecorderRefused("capture", "a recording has two captures")
        try:
            captures = Capture(fds[0]), Capture(fds[1])
            recording = OneRecording(keyed.begin, keyed.dek, captures, settings.vault_dir, settings.bitrate_bps)
        except CaptureError as error:
            raise RecorderRefused("capture", str(error)) from None
        except OSError as error:
            raise RecorderRefused("vault", str(error.strerror)) from None
        except EncoderError as error:
            raise RecorderRefused("request", f"no encoder: {error}") from None
        fds.clear()
        if not self._running():
            self._due_s = time.monotonic() + TICK_S
        self._recordings[rec_id] = recording
        return {}

    def _stop(self, rec_id: str) -> dict[str, Any]:
        recording = self._recordings.pop(rec_id, None)
        if recording is None:
            raise RecorderRefused("unknown", "no such recording")
        return asdict(recording.finish())

    def _destroy(self, rec_id: str) -> dict[str, Any]:
        """Of what is not there is no error: whoever destroys wants it gone."""
        self._keyed.pop(rec_id, None)
        recording = self._recordings.get(rec_id)
        if recording is not None:
            try:
                recording.destroy()
            except OSError as error:
                raise RecorderRefused("vault", str(error.strerror)) from None
            del self._recordings[rec_id]
        return {}


def _check_kek(begin: Begin, settings: Configure) -> None:
    verifier = Ed25519PublicKey.from_public_bytes(settings.kek_signing_public)
    try:
        verify_kek(begin.kek_id, begin.purpose, begin.kek_public, begin.kek_signature, verifier)
    except (UnsignedKek, FormatError) as error:
        raise RecorderRefused("kek", str(error)) from None


def _digest(proof: bytes) -> bytes:
    return hashlib.sha256(proof).digest()


def main() -> int:
    """Entry of `python -I -m recording.recorder`; standard input is the control socket."""
    harden(dies_with_parent=False)
    for stopping in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stopping, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, format="recorder: %(message)s")
    with socket.socket(fileno=os.dup(0)) as control:
        Recorder(control).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
