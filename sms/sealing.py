"""Words of texts, sealed to the readers of their inbox. Nothing here opens what it has sealed.

What comes in is sealed by itself to the inbox's KEK of the week. What goes out is sealed under a key of some hours,
which is wrapped to the same KEK and lives in memory for as long: a thousand texts a second would cost a quarter of a
core otherwise.

    received   HPKE(KEK, JSON)                                       info: "beffroi/text/1" text id, purpose, KEK id
    sent       nonce (12) ‖ AES-256-GCM(key, JSON), AAD: message id  and the key once: HPKE(KEK, key), info: key id
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from recording import keys as key_tools
from recording.text_opening import open_received, open_sent
from storage import sms_keys
from storage.keys import Kek
from storage.tx import Tx

__all__ = ["KEY_LIFE", "SentKeys", "open_received", "open_sent", "received", "said", "words"]

KEY_LIFE = timedelta(hours=6)
_NONCE_BYTES = 12


def words(text: str | None, raw: bytes = b"") -> bytes:
    """What is sealed of a text: its words, or the bytes of what is none."""
    return json.dumps({"text": text} if text is not None else {"raw": raw.hex()}, ensure_ascii=False).encode()


def received(kek: Kek, text_id: str, said: bytes) -> bytes:
    """For `storage.sms_received`."""
    return key_tools.seal_text(said, kek.public, text_id=text_id, purpose=kek.purpose, kek_id=kek.id)


@dataclass(slots=True)
class _Key:
    id: str
    kek_id: str
    until: datetime
    cipher: AESGCM = field(repr=False)


class SentKeys:
    """Keys of what is sent, one for each inbox and some hours. Its own: nobody else holds them."""

    def __init__(self) -> None:
        self._keys: dict[str, _Key] = {}

    async def seal(self, tx: Tx, kek: Kek, now: datetime, message_id: str, said: bytes) -> tuple[str, bytes]:
        """(key id, sealed). A key that is made for it is written in this transaction, wrapped."""
        key = self._keys.get(kek.purpose)
        if key is None or key.kek_id != kek.id or key.until <= now:
            key = await self._make(tx, kek, now)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return key.id, nonce + key.cipher.encrypt(nonce, said, message_id.encode())

    def forget(self) -> None:
        """After a transaction that failed: the key may not have been written."""
        self._keys.clear()

    async def _make(self, tx: Tx, kek: Kek, now: datetime) -> _Key:
        secret, key_id = AESGCM.generate_key(256), secrets.token_hex(16)
        wrap = key_tools.seal_text(secret, kek.public, text_id=key_id, purpose=kek.purpose, kek_id=kek.id)
        await sms_keys.add(tx, sms_keys.SentKey(key_id, kek.purpose, kek.id, wrap, now))
        made = _Key(key_id, kek.id, min(now + KEY_LIFE, kek.not_after), AESGCM(secret))
        self._keys[kek.purpose] = made
        return made


def said(plain: bytes) -> str:
    """For people. Raises ValueError, KeyError."""
    read = json.loads(plain)
    return str(read["text"]) if "text" in read else f"[{len(read['raw']) // 2} bytes that are no text]"
