"""Names and byte strings of the sealed format; docs/recording-format.md is the authority.

Pure: no I/O, no keys. Everything that has to be equal on both sides of a seal is built here.
"""

import re
from typing import Final, Literal

VERSION: Final = 1
SALT_BYTES: Final = 24
COMMITMENT_BYTES: Final = 32
HEADER_BYTES: Final = SALT_BYTES + COMMITMENT_BYTES
CHUNK_BYTES: Final = 16384
TAG_BYTES: Final = 16
SEALED_CHUNK_BYTES: Final = CHUNK_BYTES + TAG_BYTES

State = Literal["whole", "cut"]

_REC_ID = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class FormatError(ValueError):
    """An identifier that the format does not allow."""


def check_rec_id(rec_id: str) -> str:
    """Return rec_id if it is 32 lower-case hexadecimal digits (so it is safe as a file name); else FormatError."""
    if not _REC_ID.fullmatch(rec_id):
        raise FormatError("a recording's id is 32 lower-case hexadecimal digits")
    return rec_id


def check_name(name: str) -> str:
    """Return a purpose, kek_id or reader_id if the format allows it; else FormatError."""
    if not _NAME.fullmatch(name):
        raise FormatError("a name is 1 to 64 of A-Z a-z 0-9 . _ : -")
    return name


def audio_context(rec_id: str, purpose: str) -> bytes:
    """Cobblestone context of a recording's audio (section 2)."""
    return _join("beffroi/recording/1", check_rec_id(rec_id), check_name(purpose), "audio")


def note_context(rec_id: str, purpose: str, note_id: str) -> bytes:
    """Key and associated data of a note on a recording (section 8)."""
    return _join("beffroi/note/1", check_rec_id(rec_id), check_name(purpose), check_rec_id(note_id))


def dek_info(rec_id: str, purpose: str, kek_id: str) -> bytes:
    """HPKE info of a DEK wrap (section 4)."""
    return _join("beffroi/dek-wrap/1", check_rec_id(rec_id), check_name(purpose), check_name(kek_id))


def text_info(text_id: str, purpose: str, kek_id: str) -> bytes:
    """HPKE info of a message, or of a key of messages, that is sealed to the KEK of its inbox (section 4)."""
    return _join("beffroi/text/1", check_rec_id(text_id), check_name(purpose), check_name(kek_id))


def kek_info(kek_id: str, reader_id: str) -> bytes:
    """HPKE info of a KEK wrap (section 4)."""
    return _join("beffroi/kek-wrap/1", check_name(kek_id), check_name(reader_id))


def kek_statement(kek_id: str, purpose: str, public: bytes) -> bytes:
    """What is signed to say that a KEK is ours (section 4)."""
    return _join("beffroi/kek/1", check_name(kek_id), check_name(purpose), "") + public


def state_by_length(size_bytes: int) -> State:
    """Whole or cut, as far as the length of a finished .rec tells (section 3); opening it is what proves it."""
    last_bytes = (size_bytes - HEADER_BYTES) % SEALED_CHUNK_BYTES
    return "whole" if size_bytes > HEADER_BYTES and last_bytes >= TAG_BYTES else "cut"


def full_chunks(size_bytes: int) -> int:
    """How many full chunks fit into a file of this size: what a cut file can release at most."""
    return max(0, size_bytes - HEADER_BYTES) // SEALED_CHUNK_BYTES


def _join(*parts: str) -> bytes:
    return b"\0".join(part.encode("ascii") for part in parts)
