"""The proof token: without it the recorder makes no key. docs/recording-format.md section 6."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from recording.format import FormatError, check_name, check_rec_id

MAX_AHEAD: Final = timedelta(hours=1)
_DOMAIN: Final = b"beffroi/proof/1\0"
_SIGNATURE_BYTES: Final = 64
_MAX_BYTES: Final = 16 * 1024


class ProofError(Exception):
    """The token proves nothing; the text says why."""


@dataclass(frozen=True, slots=True)
class ProofToken:
    """Says that the consent log permits this one recording, of these legs, for this purpose."""

    rec_id: str
    call_id: str
    purpose: str
    legs: tuple[str, ...]  # opaque leg ids, at least one
    ledger_seqs: tuple[int, ...]  # entries of the consent log, at least one
    expires_at: datetime  # aware; when the right to make the key ends, not the recording; kept to the millisecond


def sign(token: ProofToken, signer: Ed25519PrivateKey) -> bytes:
    """Signed token, about 400 bytes. Raises ProofError if it could never be accepted."""
    payload = json.dumps(
        {
            "call_id": token.call_id,
            "expires_at_ms": _to_ms(token.expires_at),
            "leg_ids": list(token.legs),
            "ledger_seqs": list(token.ledger_seqs),
            "purpose": token.purpose,
            "rec_id": token.rec_id,
            "v": 1,
        },
        sort_keys=True,
        separators=(",", ":"),
    ).encode()
    _parse(payload)
    return signer.sign(_DOMAIN + payload) + payload


def verify(blob: bytes, verifier: Ed25519PublicKey, now: datetime) -> ProofToken:
    """The token of a blob, if its signature is ours and it has not expired. Raises ProofError."""
    if not _SIGNATURE_BYTES < len(blob) <= _MAX_BYTES:
        raise ProofError("not a proof token")
    signature, payload = blob[:_SIGNATURE_BYTES], blob[_SIGNATURE_BYTES:]
    try:
        verifier.verify(signature, _DOMAIN + payload)
    except InvalidSignature:
        raise ProofError("the proof's signature is not ours") from None
    token = _parse(payload)
    if now >= token.expires_at:
        raise ProofError("the proof has expired")
    if token.expires_at - now > MAX_AHEAD:
        raise ProofError("the proof would be valid for too long")
    return token


def _parse(payload: bytes) -> ProofToken:
    try:
        raw: dict[str, Any] = json.loads(payload)
        if raw["v"] != 1:
            raise ProofError("a proof of an unknown version")
        token = ProofToken(
            rec_id=check_rec_id(raw["rec_id"]),
            call_id=check_name(raw["call_id"]),
            purpose=check_name(raw["purpose"]),
            legs=tuple(check_name(leg) for leg in raw["leg_ids"]),
            ledger_seqs=tuple(_seq(seq) for seq in raw["ledger_seqs"]),
            expires_at=datetime.fromtimestamp(int(raw["expires_at_ms"]) / 1000, UTC),
        )
    except (ValueError, KeyError, TypeError, OverflowError, FormatError):
        raise ProofError("not a proof token") from None
    if not token.legs or not token.ledger_seqs:
        raise ProofError("a proof names at least one leg and one ledger entry")
    return token


def _seq(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ProofError("a ledger sequence is a whole number")
    return value


def _to_ms(when: datetime) -> int:
    if when.tzinfo is None:
        raise ProofError("an expiry has a zone")
    return int(when.timestamp() * 1000)
