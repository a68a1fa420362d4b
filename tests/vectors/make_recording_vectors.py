"""Makes tests/vectors/recording: one sealed file for each way of failing, and what may be released of it.

Run by hand when the format changes (never to make a test pass): keys and salts are random, so every run gives other
bytes, and what is committed is the vector. `python tests/vectors/make_recording_vectors.py`.

A vector is NAME.json with the key bundle of docs/recording-format.md section 7, the passphrase or escrow text, and for
the strict reader, the tolerant reader and scripts/open-recording the outcome: "ok" or an error, and how many bytes of
the plaintext may be released before it. Plaintext byte i is (i * 7 + i // 251) % 256. "file" names the sealed bytes.
"""

from __future__ import annotations

import json
import secrets
from base64 import b64encode
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.cobblestone import Cobblestone256Encryptor

from recording import keys
from recording.format import CHUNK_BYTES, HEADER_BYTES, SEALED_CHUNK_BYTES, audio_context
from recording.reader_bundle import ReaderSecret, seal_reader

HERE = Path(__file__).parent / "recording"
REC_ID = "00112233445566778899aabbccddeeff"
OTHER_REC_ID = "ffeeddccbbaa99887766554433221100"
PURPOSE, KEK_ID, READER_ID = "quality", "kek-2026-47-quality", "reader-dpo"
PASSPHRASE = "a passphrase for test vectors"
TOTP = "JBSWY3DPEHPK3PXP"
SIZE = 2 * CHUNK_BYTES + 1000
FULL = 2 * CHUNK_BYTES


def plaintext(size: int) -> bytes:
    """What every vector seals."""
    return bytes((i * 7 + i // 251) % 256 for i in range(size))


def seal(dek: bytes, size: int, rec_id: str = REC_ID, purpose: str = PURPOSE) -> bytes:
    encryptor = Cobblestone256Encryptor(dek, audio_context(rec_id, purpose))
    return encryptor.update(plaintext(size)) + encryptor.finalize()


@dataclass(frozen=True)
class Keys:
    """One reader, one KEK, one DEK."""

    kek_public: bytes
    kek_secret: bytes
    reader_public: bytes
    reader_secret: bytes
    dek: bytes
    reader_bundle: bytes


@dataclass(frozen=True)
class Vector:
    """One file and one bundle."""

    name: str
    says: str
    sealed: bytes
    bundle: dict[str, object]
    strict: tuple[str, int] = ("ok", SIZE)
    tolerant: tuple[str, int] = ("whole", SIZE)
    opener: tuple[int, int] = (0, SIZE)  # exit status, bytes of the output file
    opener_cut: tuple[int, int] = (0, SIZE)
    passphrase: str = PASSPHRASE
    escrow: bool = False
    file: str = ""  # another vector's file: same bytes

    def write(self) -> None:
        file = HERE / f"{self.file or self.name}.rec"
        if not file.exists():
            file.write_bytes(self.sealed)
        record = {
            "file": file.name,
            "says": self.says,
            "keys": self.bundle,
            "typed": self.passphrase,
            "escrow": self.escrow,
            "strict": {"outcome": self.strict[0], "released_bytes": self.strict[1]},
            "tolerant": {"outcome": self.tolerant[0], "released_bytes": self.tolerant[1]},
            "opener": {"status": self.opener[0], "released_bytes": self.opener[1]},
            "opener_cut": {"status": self.opener_cut[0], "released_bytes": self.opener_cut[1]},
        }
        (HERE / f"{self.name}.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def new_keys() -> Keys:
    reader_public, reader_secret = keys.generate_reader()
    sealed = seal_reader(ReaderSecret(READER_ID, reader_secret, TOTP), PASSPHRASE)
    dek = Cobblestone256Encryptor.generate_key()
    return Keys(*keys.generate_kek(), reader_public, reader_secret, dek, sealed)


def bundle(held: Keys, **changes: object) -> dict[str, object]:
    parts: dict[str, object] = {
        "v": 1,
        "rec_id": REC_ID,
        "purpose": PURPOSE,
        "kek_id": KEK_ID,
        "reader_id": READER_ID,
        "dek_wrap": keys.wrap_dek(held.dek, held.kek_public, rec_id=REC_ID, purpose=PURPOSE, kek_id=KEK_ID),
        "kek_wrap": keys.wrap_kek(held.kek_secret, held.reader_public, kek_id=KEK_ID, reader_id=READER_ID),
        "reader_bundle": held.reader_bundle,
    } | changes
    return {name: _text(part) if isinstance(part, bytes) else part for name, part in parts.items()}


def _text(raw: bytes) -> str:
    return b64encode(raw).decode("ascii")


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def file_vectors(held: Keys, good: bytes) -> list[Vector]:
    """What can happen to the file."""
    mine = bundle(held)
    first, second, last = (HEADER_BYTES + number * SEALED_CHUNK_BYTES for number in range(3))
    nothing = {"strict": ("WrongKey", 0), "tolerant": ("WrongKey", 0), "opener": (1, 0), "opener_cut": (1, 0)}

    def cut(name: str, says: str, sealed: bytes, kept: int, strict: tuple[str, int] = ("Truncated", 0)) -> Vector:
        status = (0, kept) if kept else (1, 0)
        return Vector(name, says, sealed, mine, strict, ("cut", kept), (1, 0), status)

    def refused(name: str, says: str, sealed: bytes) -> Vector:
        return Vector(name, says, sealed, mine, **nothing)  # type: ignore[arg-type]

    def sized(name: str, says: str, size: int) -> Vector:
        opener = (0, size) if size else (1, 0)
        return Vector(name, says, seal(held.dek, size), mine, ("ok", size), ("whole", size), opener, opener)

    swapped = good[:first] + good[second:last] + good[first:second] + good[last:]
    other = Cobblestone256Encryptor.generate_key()
    return [
        Vector("good", "Two full chunks and a short one.", good, mine),
        sized("good_last_chunk_empty", "Exactly two chunks of plaintext: the last chunk is empty, and there.", FULL),
        sized("good_one_short_chunk", "Less than a chunk.", 100),
        sized("good_nothing", "Nothing was sealed, and its end is authentic: whole, and empty.", 0),
        refused("header_salt_flipped", "One bit of the salt.", _flip(good, 3)),
        refused("header_commitment_flipped", "One bit of the commitment.", _flip(good, 30)),
        refused("wrong_dek", "Sealed with another key.", seal(other, SIZE)),
        refused("wrong_rec_id", "The file of another recording under this name.", seal(held.dek, SIZE, OTHER_REC_ID)),
        refused("wrong_purpose", "Sealed for another purpose.", seal(held.dek, SIZE, purpose="training")),
        cut(
            "first_chunk_flipped",
            "Damaged at its start: a strict reader releases nothing of the chunk.",
            _flip(good, first + 5),
            0,
            ("Damaged", 0),
        ),
        cut(
            "middle_chunk_flipped",
            "Damaged in the middle: authentic until there.",
            _flip(good, second + 5),
            CHUNK_BYTES,
            ("Damaged", CHUNK_BYTES),
        ),
        cut("last_chunk_flipped", "A damaged end is no end.", _flip(good, last + 5), FULL),
        cut("last_tag_flipped", "A damaged tag at the end is no end.", _flip(good, len(good) - 1), FULL),
        cut("chunks_swapped", "Two authentic chunks in each other's place.", swapped, 0, ("Damaged", 0)),
        cut("chunk_missing", "A chunk taken out: the end is not at its place.", good[:first] + good[second:], 0),
        cut("chunk_repeated", "A chunk twice: the end is not at its place.", good[:second] + good[first:], CHUNK_BYTES),
        cut("cut_at_border", "Ends after the second chunk: a crash, or an end removed.", good[:last], FULL),
        cut("cut_after_first_chunk", "Ends after the first chunk.", good[:second], CHUNK_BYTES),
        cut("cut_in_chunk", "Ends within the second chunk.", good[: second + 9000], CHUNK_BYTES),
        cut("cut_in_last_tag", "The last byte is missing.", good[:-1], FULL),
        cut("cut_shorter_than_tag", "Ends 15 bytes into a chunk: not even a tag.", good[: last + 15], FULL),
        cut("cut_after_header", "Nothing but the header.", good[:HEADER_BYTES], 0),
        Vector("cut_in_header", "Half a header.", good[:40], mine, ("Truncated", 0), ("Truncated", 0), (1, 0), (1, 0)),
        Vector("empty", "An empty file.", b"", mine, ("Truncated", 0), ("Truncated", 0), (1, 0), (1, 0)),
        cut("trailing_byte", "One byte too many.", good + b"\0", FULL),
        cut("trailing_chunk", "A whole chunk too many.", good + good[first:second], FULL),
        cut("second_end", "The end of the same file once more.", good + good[last:], FULL),
    ]


def key_vectors(held: Keys, good: bytes) -> list[Vector]:
    """What can be wrong with the keys: nothing is released, whoever reads."""
    other = new_keys()
    none = {"strict": ("keys", 0), "tolerant": ("keys", 0), "opener": (1, 0), "opener_cut": (1, 0)}

    def refused(name: str, says: str, *, typed: str = PASSPHRASE, **changes: object) -> Vector:
        mine = bundle(held, **changes)
        return Vector(name, says, good, mine, **none, passphrase=typed, file="good")  # type: ignore[arg-type]

    def dek_wrap(public: bytes = held.kek_public, **names: str) -> bytes:
        info = {"rec_id": REC_ID, "purpose": PURPOSE, "kek_id": KEK_ID} | names
        return keys.wrap_dek(held.dek, public, **info)

    def kek_wrap(public: bytes = held.reader_public, **names: str) -> bytes:
        info = {"kek_id": KEK_ID, "reader_id": READER_ID} | names
        return keys.wrap_kek(held.kek_secret, public, **info)

    renamed = json.loads(held.reader_bundle) | {"reader_id": "reader-other"}
    greedy = json.loads(held.reader_bundle) | {"memory_kib": 1 << 30}
    return [
        refused("dek_wrap_other_kek", "DEK wrapped to another KEK.", dek_wrap=dek_wrap(other.kek_public)),
        refused("dek_wrap_other_rec_id", "DEK wrap of another recording.", dek_wrap=dek_wrap(rec_id=OTHER_REC_ID)),
        refused("dek_wrap_other_purpose", "DEK wrap for another purpose.", dek_wrap=dek_wrap(purpose="training")),
        refused("dek_wrap_other_kek_id", "DEK wrap that names another KEK.", dek_wrap=dek_wrap(kek_id="kek-other")),
        refused("dek_wrap_flipped", "One bit of the DEK wrap.", dek_wrap=_flip(dek_wrap(), 600)),
        refused("dek_wrap_cut", "Half a DEK wrap.", dek_wrap=dek_wrap()[:600]),
        refused("dek_wrap_unknown_algorithm", "A wrap of algorithm 2.", dek_wrap=b"\x02" + dek_wrap()[1:]),
        refused("kek_wrap_other_reader", "KEK wrapped to another reader.", kek_wrap=kek_wrap(other.reader_public)),
        refused("kek_wrap_other_reader_id", "KEK wrap naming another reader.", kek_wrap=kek_wrap(reader_id="reader-x")),
        refused("kek_wrap_other_kek_id", "KEK wrap that names another KEK.", kek_wrap=kek_wrap(kek_id="kek-other")),
        refused("kek_wrap_flipped", "One bit of the KEK wrap.", kek_wrap=_flip(kek_wrap(), 1200)),
        refused("reader_wrong_passphrase", "Another passphrase.", typed="another passphrase altogether"),
        refused("reader_passphrase_case", "The passphrase in capitals.", typed=PASSPHRASE.upper()),
        refused("reader_bundle_renamed", "A bundle under another reader's id.", reader_bundle=_canonical(renamed)),
        refused("reader_bundle_greedy", "A bundle that asks for a terabyte.", reader_bundle=_canonical(greedy)),
    ]


def escrow_vectors(held: Keys, good: bytes) -> list[Vector]:
    """A reader on paper."""
    seed = secrets.token_bytes(keys.ESCROW_SEED_BYTES)
    public, secret = keys.escrow_pair(seed)
    paper = bundle(replace(held, reader_public=public, reader_secret=secret), reader_bundle=None)
    text = keys.escrow_text(seed)
    mistyped = text[:7] + ("A" if text[7] != "A" else "C") + text[8:]
    other = keys.escrow_text(secrets.token_bytes(keys.ESCROW_SEED_BYTES))
    sloppy = text.lower().replace("-", " ").replace("o", "0").replace("i", "1").replace("b", "8")

    def opened(name: str, says: str, typed: str) -> Vector:
        return Vector(name, says, good, paper, passphrase=typed, escrow=True, file="good")

    def refused(name: str, says: str, typed: str) -> Vector:
        nothing: tuple[str, int] = ("keys", 0)
        return replace(opened(name, says, typed), strict=nothing, tolerant=nothing, opener=(1, 0), opener_cut=(1, 0))

    return [
        opened("escrow_good", "Opened with the escrow text.", text),
        opened("escrow_sloppy", "Typed small, with 0 for O, 1 for I, 8 for B.", sloppy),
        refused("escrow_mistyped", "One letter wrong.", mistyped),
        refused("escrow_short", "A group missing.", text[:-5]),
        refused("escrow_other", "The sheet of another house.", other),
    ]


def _canonical(value: dict[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def main() -> None:
    HERE.mkdir(exist_ok=True)
    for old in [*HERE.glob("*.rec"), *HERE.glob("*.json")]:
        old.unlink()
    held = new_keys()
    good = seal(held.dek, SIZE)
    for vector in [*file_vectors(held, good), *key_vectors(held, good), *escrow_vectors(held, good)]:
        vector.write()


if __name__ == "__main__":
    main()
