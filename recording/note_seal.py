"""Notes on a recording, sealed under its own key: whoever opens the recording reads them, and nobody once it is gone.

docs/recording-format.md section 8.
"""

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from recording.format import note_context
from recording.keys import KeysError

MAX_BYTES: Final = 8000  # of what a note says, UTF-8
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class BrokenNote(KeysError):
    """Another key, another recording or note, or altered: the three cannot be told apart."""


def seal_note(words: str, dek: bytes, *, rec_id: str, purpose: str, note_id: str) -> bytes:
    """Raises FormatError for ids that the format does not allow."""
    nonce, context = secrets.token_bytes(_NONCE_BYTES), note_context(rec_id, purpose, note_id)
    return nonce + AESGCM(_key(dek, context)).encrypt(nonce, words.encode(), context)


def open_note(sealed: bytes, dek: bytes, *, rec_id: str, purpose: str, note_id: str) -> str:
    """Raises BrokenNote, FormatError."""
    context = note_context(rec_id, purpose, note_id)
    try:
        plain = AESGCM(_key(dek, context)).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
        return plain.decode()
    except (InvalidTag, ValueError):
        raise BrokenNote("the note does not open with this recording's key") from None


def _key(dek: bytes, context: bytes) -> bytes:
    """Another one for each note, and none that opens audio."""
    return HKDFExpand(SHA512(), _KEY_BYTES, context).derive(dek)
