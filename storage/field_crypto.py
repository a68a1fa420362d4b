"""Sealing of single database fields, and the keyed index by which sealed values are found again.

A sealed field is `format (1) ‖ key version (2, big endian) ‖ nonce (12) ‖ AES-256-GCM ciphertext and tag`.
The key is HKDF-SHA256(master key of that version, info = use ‖ table ‖ column), so that no two columns share one;
the associated data binds header, table, column and row id, so that a value moved elsewhere does not open.

An index value is `key version (2) ‖ HMAC-SHA256(key of that version and purpose, value)`. An unkeyed hash of a
telephone number is reversed by trying all of them (facts of law: only a keyed HMAC is pseudonymisation).
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from storage.errors import Invalid, SealBroken

MASTER_BYTES = 32
_FORMAT = 1
_HEADER_BYTES = 3
_NONCE_BYTES = 12
_BODY_AT = _HEADER_BYTES + _NONCE_BYTES
_MAX_VERSION = 0xFFFF


def _framed(*parts: str) -> bytes:
    """Each part with its length before it, so that ("ab", "c") and ("a", "bc") differ."""
    raw = [part.encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in raw)


@dataclass(frozen=True, slots=True, repr=False)
class FieldKeys:
    """Master keys by version (1..65535), 32 bytes each; the highest seals, every one opens.

    Raises `Invalid` when a key has another length or no key is there.
    """

    masters: Mapping[int, bytes]
    # Derived keys by (use, version, place), filled when first used; at most a few dozen places exist.
    _derived: dict[tuple[str, int, bytes], bytes] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if not self.masters:
            raise Invalid("field.key", "holds no key")
        for version, master in self.masters.items():
            if not 1 <= version <= _MAX_VERSION or len(master) != MASTER_BYTES:
                raise Invalid("field.key", f"version {version} is not {MASTER_BYTES} bytes")

    def __repr__(self) -> str:
        return f"FieldKeys(versions={sorted(self.masters)})"

    @classmethod
    def generate(cls) -> Self:
        return cls({1: secrets.token_bytes(MASTER_BYTES)})

    def rotated(self) -> Self:
        """The same keys and a fresh one that seals from now on."""
        return type(self)({**self.masters, self.current + 1: secrets.token_bytes(MASTER_BYTES)})

    @classmethod
    def from_json(cls, blob: bytes) -> Self:
        """`{"keys": {"1": "<base64>", ...}}`, as `to_json` writes it. Raises `Invalid`."""
        try:
            keys = json.loads(blob)["keys"]
            return cls({int(v): base64.b64decode(k, validate=True) for v, k in keys.items()})
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
            raise Invalid("field.key", "is not the JSON of field keys") from error

    def to_json(self) -> bytes:
        keys = {str(v): base64.b64encode(k).decode() for v, k in sorted(self.masters.items())}
        return json.dumps({"keys": keys}).encode()

    @property
    def current(self) -> int:
        return max(self.masters)

    def seal(self, table: str, column: str, row_id: str, plaintext: bytes) -> bytes:
        header = bytes([_FORMAT]) + self.current.to_bytes(2, "big")
        nonce = secrets.token_bytes(_NONCE_BYTES)
        cipher = AESGCM(self._key("field", self.current, _framed(table, column)))
        return header + nonce + cipher.encrypt(nonce, plaintext, header + _framed(table, column, row_id))

    def open(self, table: str, column: str, row_id: str, sealed: bytes) -> bytes:
        """The plaintext; raises `SealBroken` if it was altered, moved, or its key version is gone."""
        return self.opener(table, column)(row_id, sealed)

    def opener(self, table: str, column: str) -> Callable[[str, bytes], bytes]:
        """As `open`, for many rows of one column: row id and sealed value in, plaintext out."""
        place, current = _framed(table, column), bytes([_FORMAT]) + self.current.to_bytes(2, "big")
        ciphers = {current: (AESGCM(self._key("field", self.current, place)).decrypt, current + place)}

        def open_one(row_id: str, sealed: bytes) -> bytes:
            header, raw_id = sealed[:_HEADER_BYTES], row_id.encode()
            found = ciphers.get(header)
            if found is None:
                version = int.from_bytes(header[1:], "big")
                if len(sealed) < _BODY_AT or header[0] != _FORMAT or version not in self.masters:
                    raise SealBroken(f"{table}.{column} of {row_id}: unknown format or key version")
                found = ciphers[header] = AESGCM(self._key("field", version, place)).decrypt, header + place
            decrypt, bound = found
            try:
                return decrypt(
                    sealed[_HEADER_BYTES:_BODY_AT], sealed[_BODY_AT:], bound + len(raw_id).to_bytes(4, "big") + raw_id
                )
            except (InvalidTag, ValueError) as error:  # ValueError: shorter than a nonce
                raise SealBroken(f"{table}.{column} of {row_id}: does not open") from error

        return open_one

    def seal_text(self, table: str, column: str, row_id: str, text: str) -> bytes:
        return self.seal(table, column, row_id, text.encode())

    def open_text(self, table: str, column: str, row_id: str, sealed: bytes) -> str:
        return self.open(table, column, row_id, sealed).decode()

    def blind_index(self, purpose: str, value: str) -> bytes:
        """34 bytes to store beside a sealed value; `value` is already normalised (E.164, lower case...)."""
        return self._index(self.current, purpose, value)

    def blind_index_all_versions(self, purpose: str, value: str) -> tuple[bytes, ...]:
        """What `value` may be stored as under any key that is still kept, newest first: for look-ups."""
        return tuple(self._index(version, purpose, value) for version in sorted(self.masters, reverse=True))

    def _index(self, version: int, purpose: str, value: str) -> bytes:
        key = self._key("index", version, _framed(purpose))
        return version.to_bytes(2, "big") + hmac.digest(key, value.encode(), hashlib.sha256)

    def _key(self, use: str, version: int, place: bytes) -> bytes:
        known = self._derived.get((use, version, place))
        if known is None:
            info = b"beffroi/" + use.encode() + b"/1\0" + place
            known = HKDF(SHA256(), MASTER_BYTES, salt=None, info=info).derive(self.masters[version])
            self._derived[use, version, place] = known
        return known
