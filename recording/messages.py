"""What daemon and recorder say to each other: one JSON object a datagram over a SEQPACKET socket pair.

Request `{"seq": n, "op": ..., ...}`, answer `{"seq": n, "ok": {...}}` or `{"seq": n, "refused": code, "why": text}`;
the recorder says `{"event": "cut", ...}` by itself. Byte strings travel in base64. Descriptors ride on "go".
"""

import json
from base64 import b64decode, b64encode
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

MAX_BYTES: Final = 64 * 1024
LEGS: Final = 2

Refusal = Literal[
    "proof",  # no valid proof token for this recording and purpose, or used before
    "kek",  # the KEK is not signed by us for this purpose, or is no key
    "space",  # less than min_free_mb left in the vault
    "exists",  # the vault or the recorder has this recording already
    "unknown",  # no such recording, or not in a state for this request
    "request",  # a request that cannot be understood
    "vault",  # the file cannot be made
    "capture",  # the descriptors are not two captures
]


@dataclass(frozen=True, slots=True)
class Configure:
    """First message: where to write, and whose signatures count."""

    vault_dir: Path
    proof_public: bytes  # Ed25519, 32 bytes
    kek_signing_public: bytes  # Ed25519, 32 bytes
    bitrate_bps: int  # Opus, both channels together
    min_free_mb: int  # below this a begin is refused

    def to_wire(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {
            "vault_dir": str(self.vault_dir),
            "proof_public": text(self.proof_public),
            "kek_signing_public": text(self.kek_signing_public),
        }

    @classmethod
    def from_wire(cls, raw: dict[str, Any]) -> "Configure":
        """Raises ValueError, KeyError, TypeError."""
        return cls(
            vault_dir=Path(raw["vault_dir"]),
            proof_public=raw_bytes(raw["proof_public"]),
            kek_signing_public=raw_bytes(raw["kek_signing_public"]),
            bitrate_bps=int(raw["bitrate_bps"]),
            min_free_mb=int(raw["min_free_mb"]),
        )


@dataclass(frozen=True, slots=True)
class Begin:
    """Asks for a key for one recording; answered by its wrap, before anything is written."""

    rec_id: str
    purpose: str
    proof: bytes  # recording.proof.sign
    kek_id: str
    kek_public: bytes  # recording.keys, 1217 bytes
    kek_signature: bytes  # recording.keys.sign_kek
    rate_hz: int  # of both captures: 8000 or 16000
    lossless: bool = False  # FLAC in Ogg instead of Opus

    def to_wire(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {
            "proof": text(self.proof),
            "kek_public": text(self.kek_public),
            "kek_signature": text(self.kek_signature),
        }

    @classmethod
    def from_wire(cls, raw: dict[str, Any]) -> "Begin":
        """Raises ValueError, KeyError, TypeError."""
        return cls(
            rec_id=str(raw["rec_id"]),
            purpose=str(raw["purpose"]),
            proof=raw_bytes(raw["proof"]),
            kek_id=str(raw["kek_id"]),
            kek_public=raw_bytes(raw["kek_public"]),
            kek_signature=raw_bytes(raw["kek_signature"]),
            rate_hz=int(raw["rate_hz"]),
            lossless=bool(raw["lossless"]),
        )


@dataclass(frozen=True, slots=True)
class Sealed:
    """A recording that has ended and lies in the vault under its final name."""

    rec_id: str
    size_bytes: int
    sha256: str  # hexadecimal, of the sealed file
    duration_ms: int
    complete: bool  # False: cut (docs/recording-format.md section 3)


@dataclass(frozen=True, slots=True)
class Cut:
    """Event: a recording ended before it was told to; what was sealed until then is kept. stop() gives its figures."""

    rec_id: str
    reason: str  # "disk" | "encoder" | "capture"


class RecorderRefused(Exception):
    """The recorder did not do it: no key was made, or nothing was changed."""

    def __init__(self, reason: Refusal, why: str) -> None:
        super().__init__(f"{reason}: {why}")
        self.reason: Final = reason
        self.why: Final = why


class RecorderGone(Exception):
    """The recorder process is not there any more; also given to on_event, once."""


def encode(message: dict[str, Any]) -> bytes:
    """One datagram."""
    return json.dumps(message, separators=(",", ":")).encode()


def decode(datagram: bytes) -> dict[str, Any]:
    """Raises ValueError on anything but a JSON object."""
    message = json.loads(datagram)
    if not isinstance(message, dict):
        raise ValueError("not an object")
    return message


def text(raw: bytes) -> str:
    """Base64."""
    return b64encode(raw).decode("ascii")


def raw_bytes(value: object) -> bytes:
    """Of base64. Raises ValueError, TypeError."""
    if not isinstance(value, str):
        raise TypeError("base64 text expected")
    return b64decode(value, validate=True)
