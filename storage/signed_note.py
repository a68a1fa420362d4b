"""Signed notes as in C2SP `signed-note.md`, with one Ed25519 signature: text, blank line, signature line.

beffroi/consent/2026-11-21
3
<base64 of the root>

— beffroi/ledger <base64 of key hash (4) ‖ signature (64)>
"""

import base64
import binascii
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_NAME = "beffroi/ledger"
_ED25519 = b"\x01"


def key_hash(public: Ed25519PublicKey) -> bytes:
    """4 bytes that tell keys of one name apart."""
    return hashlib.sha256(KEY_NAME.encode() + b"\n" + _ED25519 + public.public_bytes_raw()).digest()[:4]


def sign(text: str, key: Ed25519PrivateKey) -> str:
    """`text` ends with a newline and holds no blank line."""
    signature = key_hash(key.public_key()) + key.sign(text.encode())
    return f"{text}\n— {KEY_NAME} {base64.b64encode(signature).decode()}\n"


def verified_text(note: str, public: Ed25519PublicKey) -> str | None:
    """The text, None unless exactly our one signature is there, well written, and true."""
    text, separator, tail = note.partition("\n\n")
    text += "\n"
    prefix = f"— {KEY_NAME} "
    if not separator or not tail.startswith(prefix) or not tail.endswith("\n"):
        return None
    encoded = tail[len(prefix) : -1]
    try:
        signature = base64.b64decode(encoded, validate=True)
        if base64.b64encode(signature).decode() != encoded or signature[:4] != key_hash(public):
            return None
        public.verify(signature[4:], text.encode())
    except (InvalidSignature, binascii.Error, ValueError):
        return None
    return text
