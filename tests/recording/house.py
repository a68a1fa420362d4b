"""What a daemon has: signing keys, a KEK, captures that grow. For tests that talk to a real recorder."""

from __future__ import annotations

import io
import math
import os
import secrets
import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording import keys
from recording.messages import Begin
from recording.proof import ProofToken, sign
from recording.recorder_client import RecorderClient
from recording.sealed_reader import SealedReader
from recording.vault import growing_path, sealed_path

RATE_HZ = 8000
BITRATE_BPS = 48000
PURPOSE = "quality"
BLOCK_BYTES = 4000  # what pjsua2's writer flushes at a time


@dataclass
class House:
    """Keys and one vault."""

    vault_dir: Path
    proof_signer: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    kek_signer: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    kek_id: str = "kek-1"
    purpose: str = PURPOSE

    def __post_init__(self) -> None:
        self.vault_dir.mkdir(0o700, exist_ok=True)
        self.kek_public, self.kek_secret = keys.generate_kek()
        self.events: list[object] = []

    async def recorder(self, *, min_free_mb: int = 1, bitrate_bps: int = BITRATE_BPS) -> RecorderClient:
        return await RecorderClient.start(
            self.vault_dir,
            self.proof_signer.public_key().public_bytes_raw(),
            self.kek_signer.public_key().public_bytes_raw(),
            bitrate_bps,
            self.events.append,
            min_free_mb=min_free_mb,
        )

    def token(self, rec_id: str, *, lifetime_s: float = 60.0, purpose: str | None = None) -> ProofToken:
        return ProofToken(
            rec_id=rec_id,
            call_id=secrets.token_hex(16),
            purpose=purpose or self.purpose,
            legs=("leg-a", "leg-b"),
            ledger_seqs=(41, 42),
            expires_at=datetime.now(UTC) + timedelta(seconds=lifetime_s),
        )

    def request(self, rec_id: str | None = None, **changes: object) -> Begin:
        rec_id = rec_id or secrets.token_hex(16)
        values: dict[str, object] = {
            "rec_id": rec_id,
            "purpose": self.purpose,
            "proof": sign(self.token(rec_id), self.proof_signer),
            "kek_id": self.kek_id,
            "kek_public": self.kek_public,
            "kek_signature": keys.sign_kek(self.kek_id, self.purpose, self.kek_public, self.kek_signer),
            "rate_hz": RATE_HZ,
            "lossless": False,
        }
        return Begin(**(values | changes))  # type: ignore[arg-type]

    def dek(self, rec_id: str, wrap: bytes) -> bytes:
        return keys.unwrap_dek(wrap, self.kek_secret, rec_id=rec_id, purpose=self.purpose, kek_id=self.kek_id)

    def sealed(self, rec_id: str) -> Path:
        return sealed_path(self.vault_dir, rec_id)

    def growing(self, rec_id: str) -> Path:
        return growing_path(self.vault_dir, rec_id)

    def ogg(self, rec_id: str, wrap: bytes, *, path: Path | None = None, tolerant: bool = False) -> bytes:
        with (path or self.sealed(rec_id)).open("rb") as file:
            reader = SealedReader(file, self.dek(rec_id, wrap), rec_id, self.purpose, tolerant=tolerant)
            return reader.read()


class Leg:
    """A capture: a WAV file in memory that grows as pjsua2 lets it grow."""

    def __init__(self, frequency_hz: float, rate_hz: int = RATE_HZ) -> None:
        self.fd = os.memfd_create("leg", os.MFD_CLOEXEC)
        self.rate_hz = rate_hz
        self.samples = 0
        self._step = 2 * math.pi * frequency_hz / rate_hz
        os.write(
            self.fd,
            struct.pack(
                "<4sI4s4sIHHIIHH4sI", b"RIFF", 0, b"WAVE", b"fmt ", 16, 1, 1, rate_hz, 2 * rate_hz, 2, 16, b"data", 0
            ),
        )

    def grow(self, seconds: float, *, level: Callable[[int], float] = lambda _: 8000.0) -> None:
        first, last = self.samples, self.samples + int(seconds * self.rate_hz)
        tone = array("h", (int(level(n) * math.sin(self._step * n)) for n in range(first, last)))
        self.write(tone.tobytes())

    def write(self, pcm: bytes) -> None:
        for start in range(0, len(pcm), BLOCK_BYTES):
            os.write(self.fd, pcm[start : start + BLOCK_BYTES])
        self.samples += len(pcm) // 2

    def close(self) -> None:
        os.close(self.fd)


def decoded(ogg: bytes, rate_hz: int = RATE_HZ) -> tuple[array[int], array[int]]:
    """Both channels of an Ogg stream, 16 bit."""
    left, right = array("h"), array("h")
    resampler = av.AudioResampler(format="s16p", layout="stereo", rate=rate_hz)
    with av.open(io.BytesIO(ogg)) as container:
        for frame in [*container.decode(audio=0), None]:
            for piece in resampler.resample(frame):
                left.frombytes(bytes(piece.planes[0])[: piece.samples * 2])
                right.frombytes(bytes(piece.planes[1])[: piece.samples * 2])
    return left, right


def strength(channel: array[int], frequency_hz: float, rate_hz: int = RATE_HZ) -> float:
    """Amplitude of one frequency in a channel."""
    step = 2 * math.pi * frequency_hz / rate_hz
    real = sum(value * math.cos(step * n) for n, value in enumerate(channel))
    imaginary = sum(value * math.sin(step * n) for n, value in enumerate(channel))
    return 2 * math.hypot(real, imaginary) / max(1, len(channel))


def onset(channel: array[int], threshold: int = 2000) -> int:
    """First sample that is loud."""
    return next(n for n, value in enumerate(channel) if abs(value) > threshold)
