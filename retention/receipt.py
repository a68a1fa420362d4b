"""The signed receipt of a destruction (law.md 8; GDPR Art. 5(2), 17): what was destroyed, how it was verified.

A receipt is the canonical JSON of its fields and an Ed25519 signature over PREFIX and these bytes. It holds opaque
ids only: no number, no name.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PREFIX = b"beffroi/erasure-receipt/1\0"


class ReceiptError(Exception):
    """The receipt is not genuine, or not one of ours."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """One destruction. Times are RFC 3339 UTC. `backup_effective_at`: when no backup of the key is left either.

    `object_ids_commitment`: HMAC-SHA-256 of the ids under a key that dies with the ledger's period, so that the
    receipt proves which objects it means to those who know them, and tells nobody else.
    """

    receipt_id: str
    trigger: str
    request_ref: str
    pack: str
    objects: Mapping[str, int]
    object_ids_commitment: str
    method: tuple[str, ...]
    verification: Mapping[str, bool]
    checked_at: str
    live_erased_at: str
    backup_effective_at: str
    exceptions_kept: tuple[str, ...] = ()
    ledger_seq: int | None = None
    signature: str = ""

    def body(self) -> bytes:
        """The bytes that are signed: canonical JSON of everything but the signature."""
        facts = asdict(self)
        del facts["signature"]
        return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()

    def to_json(self) -> str:
        """For storing and handing out; `parse` reads it back."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def parse(text: str) -> Receipt:
    """Read what `to_json` wrote. Raises ReceiptError; the signature is not checked here."""
    try:
        facts: dict[str, Any] = json.loads(text)
        if not isinstance(facts, dict) or facts.keys() != {f.name for f in fields(Receipt)}:
            raise ReceiptError("is not an erasure receipt")
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in facts.items()}
        return Receipt(**values)
    except (ValueError, TypeError) as error:
        raise ReceiptError("is not an erasure receipt") from error


def sign(receipt: Receipt, key: Ed25519PrivateKey) -> Receipt:
    """The receipt with its signature."""
    return replace(receipt, signature=key.sign(PREFIX + receipt.body()).hex())


def verify(receipt: Receipt, public: Ed25519PublicKey) -> None:
    """Raises ReceiptError where one bit of the receipt or its signature is not as it was signed."""
    try:
        public.verify(bytes.fromhex(receipt.signature), PREFIX + receipt.body())
    except (InvalidSignature, ValueError):
        raise ReceiptError("the signature does not fit") from None


def commitment(ids: tuple[str, ...], key: bytes) -> str:
    """Keyed commitment to the objects' opaque ids, in any order. `key`: 32 bytes of the ledger's period."""
    return hmac.new(key, "\n".join(sorted(ids)).encode(), sha256).hexdigest()


def stamp(moment: datetime) -> str:
    """RFC 3339, UTC, seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
