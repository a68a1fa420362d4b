"""What a reader's own process opens of texts: words that were sealed to an inbox (`sms.sealing`), under the KEKs that
were wrapped to this reader."""

from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from recording.format import FormatError
from recording.keys import KeysError, open_text, unwrap_kek

_NONCE_BYTES: Final = 12


def open_received(kek_secret: bytes, text_id: str, purpose: str, kek_id: str, sealed: bytes) -> bytes:
    """What was sealed of a text that came in. Raises recording.keys.KeysError."""
    return open_text(sealed, kek_secret, text_id=text_id, purpose=purpose, kek_id=kek_id)


def open_sent(kek_secret: bytes, key_id: str, purpose: str, kek_id: str, wrap: bytes, message_id: str,
              sealed: bytes) -> bytes:  # fmt: skip
    """As `open_received`, of one that was sent. Raises recording.keys.KeysError, InvalidTag."""
    key = open_text(wrap, kek_secret, text_id=key_id, purpose=purpose, kek_id=kek_id)
    return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], message_id.encode())


class TextRing:
    """The KEKs of one reader, by their ids, opened as they are needed."""

    def __init__(self, reader_id: str, secret: bytes) -> None:
        self._reader_id = reader_id
        self._secret = secret
        self._wraps: dict[str, str] = {}
        self._open: dict[str, bytes] = {}
        self.closed = 0  # texts whose key was never given to this reader

    def add(self, kek_wraps: Mapping[str, str]) -> None:
        """By KEK id, in base64."""
        self._wraps |= kek_wraps

    def open(self, one: Mapping[str, Any], sealed: bytes) -> bytes | None:
        """`one`: id, purpose, kek_id, and of one that was sent key_id, key_wrap. None: this reader cannot."""
        try:
            kek = self._kek(one["kek_id"])
            if one["key_id"] is None:
                return open_received(kek, one["id"], one["purpose"], one["kek_id"], sealed)
            wrap = b64decode(one["key_wrap"])
            return open_sent(kek, one["key_id"], one["purpose"], one["kek_id"], wrap, one["id"], sealed)
        except (KeyError, ValueError, KeysError, FormatError, InvalidTag):
            self.closed += 1
            return None

    def _kek(self, kek_id: str) -> bytes:
        if kek_id not in self._open:
            wrap = b64decode(self._wraps[kek_id])
            self._open[kek_id] = unwrap_kek(wrap, self._secret, kek_id=kek_id, reader_id=self._reader_id)
        return self._open[kek_id]
