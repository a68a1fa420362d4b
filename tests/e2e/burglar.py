"""Somebody with root, every file and the database, and no passphrase: takes what there is and tries all of it.

He knows the source, so he uses it. `Burglar.open` succeeds with the right secret; what he finds must never be one.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from recording import keys as key_tools
from recording.format import FormatError
from recording.reader_bundle import WrongPassphrase, open_reader
from recording.sealed_reader import SealedReader, SealError
from storage import key_slots
from storage.errors import StorageError
from storage.field_crypto import FieldKeys
from tests.e2e import scene
from tests.peers.product import Product

_SEALED = {  # table -> (column, its row id)
    "access_reasons": ("reason", "id"),
    "accounts": ("display_name", "id"),
    "call_records": ("numbers", "id"),
    "devices": ("ha1", "id"),
    "people": ("display_name", "id"),
    "reader_totp": ("secret", "person_id"),
    "recordings": ("parties", "id"),
}


@dataclass
class Burglar:
    """Works on one recording. Every method that tries gives what it opened: nothing, one hopes."""

    product: Product
    rec_id: str

    # --- what there is ------------------------------------------------------------------------------------------------

    @cached_property
    def rows(self) -> dict[str, list[dict[str, object]]]:
        """The database."""
        with scene.database(self.product) as db:
            tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {table: [dict(row) for row in db.execute(f'SELECT * FROM "{table}"')] for table in tables}  # noqa: S608

    @cached_property
    def files(self) -> dict[str, bytes]:
        """Every file of the data directory but the database and the vault, by its name."""
        found = {}
        for path in self.product.data.rglob("*"):
            if (
                path.is_file()
                and "sqlite" not in path.name
                and "vault" not in path.parts
                and "prompts" not in path.parts
            ):
                found[str(path.relative_to(self.product.data))] = path.read_bytes()
        return found

    @cached_property
    def fields(self) -> list[bytes]:
        """Every sealed field of the database, opened: the key to them lies beside it."""
        keys = FieldKeys.from_json(self.files["keys/field.key"])
        opened = []
        for table, (column, id_column) in _SEALED.items():
            for row in self.rows[table]:
                sealed = row[f"{column}_sealed"]
                if isinstance(sealed, bytes):
                    with contextlib.suppress(StorageError):
                        opened.append(keys.open(table, column, str(row[id_column]), sealed))
        return opened

    @cached_property
    def secrets(self) -> list[bytes]:
        """All that looks like a secret, in every coding: files, their parts, opened fields, cells of the database."""
        blobs = [*self.files.values(), *self.fields]
        blobs += [
            v if isinstance(v, bytes) else v.encode()
            for rows in self.rows.values()
            for row in rows
            for v in row.values()
            if isinstance(v, (bytes, str))
        ]
        found = set(blobs)
        for blob in blobs:
            found.update(_decoded(blob))
            with contextlib.suppress(ValueError, TypeError):
                key = load_pem_private_key(blob, None)
                if isinstance(key, ec.EllipticCurvePrivateKey):
                    found.add(key.private_numbers().private_value.to_bytes(32, "big"))
        return sorted(found)

    # --- what he tries ------------------------------------------------------------------------------------------------

    def open(self, dek: bytes) -> bool:
        """Whether this is the recording's key."""
        [purpose] = [str(row["purpose"]) for row in self.rows["recordings"] if row["id"] == self.rec_id]
        with scene.sealed_file(self.product, self.rec_id).open("rb") as file:
            try:
                return bool(SealedReader(file, dek, self.rec_id, purpose, tolerant=True).read(4))
            except SealError:
                return False

    def as_kek(self, secret: bytes) -> bool:
        """Whether this secret, taken for that of a week's key, leads to the recording."""
        [key] = [row for row in self.rows["rec_keys"] if row["rec_id"] == self.rec_id]
        [kek] = [row for row in self.rows["keks"] if row["id"] == key["kek_id"]]
        [content] = [row["content"] for row in self.rows["key_slots"] if row["slot"] == key["slot"]]
        assert isinstance(content, bytes)
        wrap, purpose = key_slots.unpacked(content), str(kek["purpose"])
        try:
            dek = key_tools.unwrap_dek(wrap, secret, rec_id=self.rec_id, purpose=purpose, kek_id=str(kek["id"]))
        except (key_tools.KeysError, FormatError, ValueError):
            return False
        return self.open(dek)

    def as_reader(self, secret: bytes) -> bool:
        """Whether this secret, taken for that of any reader or of escrow, leads to the recording."""
        for wrap in self.rows["kek_wraps"]:
            blob = wrap["blob"]
            assert isinstance(blob, bytes)
            try:
                kek = key_tools.unwrap_kek(blob, secret, kek_id=str(wrap["kek_id"]), reader_id=str(wrap["reader_id"]))
            except (key_tools.KeysError, FormatError, ValueError):
                continue
            if self.as_kek(kek):
                return True
        return False

    def as_seed(self, seed: bytes) -> bool:
        """Whether these 32 bytes are what is on the escrow sheet."""
        return self.as_reader(key_tools.escrow_pair(seed)[1])

    def windows(self, size: int) -> Iterator[bytes]:
        """Every piece of this size out of every secret, each once."""
        pieces = (secret[n : n + size] for secret in self.secrets for n in range(min(len(secret) - size, 1500) + 1))
        return iter(dict.fromkeys(pieces))

    def exact(self, size: int) -> Iterator[bytes]:
        return (secret for secret in self.secrets if len(secret) == size)

    def passphrases(self, most: int) -> list[str]:
        """What may have been taken for a passphrase: short texts that lie about. Each guess costs 64 MiB and time."""
        texts = (secret.decode() for secret in self.secrets if 12 <= len(secret) <= 64 and secret.isascii())
        printable = [text for text in texts if text.isprintable()]
        return sorted(printable, key=lambda text: (not re.search(r"pass|secret|reader|beffroi", text, re.I), text))[
            :most
        ]

    def bundles(self) -> Iterator[bytes]:
        for row in self.rows["reader_keys"]:
            assert isinstance(row["secret"], bytes)
            yield row["secret"]

    def guess(self, passphrase: str) -> bool:
        """Whether it opens any reader's bundle."""
        for bundle in self.bundles():
            with contextlib.suppress(WrongPassphrase):
                open_reader(bundle, passphrase)
                return True
        return False


def _decoded(blob: bytes) -> Iterator[bytes]:
    """Hexadecimal, base64 and base32 in a text, and the strings of JSON."""
    text = blob.decode("ascii", "ignore")
    for word in re.findall(r"[0-9a-fA-F]{32,}", text):
        with contextlib.suppress(ValueError):
            yield bytes.fromhex(word)
    for word in re.findall(r"[A-Za-z0-9+/=_-]{24,}", text):
        for decode in (base64.b64decode, base64.urlsafe_b64decode, base64.b32decode):
            with contextlib.suppress(ValueError):
                yield decode(word)
    with contextlib.suppress(ValueError):
        yield from (part.encode() for part in _strings(json.loads(text)))


def _strings(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            yield from chain.from_iterable(_strings(part) for part in value.values())
        case list():
            yield from chain.from_iterable(_strings(part) for part in value)
