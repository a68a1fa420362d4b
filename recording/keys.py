"""The keys: DEK (one recording), KEK (one purpose and week), reader, escrow. docs/recording-format.md sections 4 and 5.

Every public key, secret key and wrap is bytes beginning with the byte of its algorithm. Whoever makes a KEK wraps its
secret to the readers of the purpose and to escrow, and then forgets it: no function here stores anything.
"""

import hashlib
import hmac
import secrets
from base64 import b32decode, b32encode
from typing import Final

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from recording.format import dek_info, kek_info, kek_statement, text_info

ALG_HYBRID: Final = b"\x01"  # HPKE MLKEM768-X25519, HKDF-SHA256, AES-256-GCM
ALG_NAMES: Final = {ALG_HYBRID: "hpke-mlkem768x25519-hkdfsha256-aes256gcm"}
DEK_BYTES: Final = 32
PUBLIC_BYTES: Final = 1 + 1184 + 32
SECRET_BYTES: Final = 1 + 64 + 32
DEK_WRAP_BYTES: Final = 1 + 1120 + DEK_BYTES + 16
ESCROW_SEED_BYTES: Final = 32
_ESCROW_INFO: Final = b"beffroi/escrow/1"
_ESCROW_CHECK_BYTES: Final = 3
_MLKEM_PUBLIC_BYTES: Final = 1184
_MLKEM_SEED_BYTES: Final = 64

_SUITE: Final = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class KeysError(Exception):
    """Base of what can go wrong with keys."""


class UnwrapError(KeysError):
    """The wrap is not for this key, or not for this recording, purpose, KEK or reader, or was altered."""


class MalformedKey(KeysError):
    """Bytes that are no key or wrap of an algorithm this program knows."""


class UnsignedKek(KeysError):
    """A KEK whose signature does not say that it is ours, for this purpose."""


class EscrowTextError(KeysError):
    """A mistyped escrow text: wrong length, letter or checksum."""


def algorithm(blob: bytes) -> str:
    """Name of the algorithm of a key or wrap. Raises MalformedKey."""
    name = ALG_NAMES.get(blob[:1])
    if name is None:
        raise MalformedKey("unknown algorithm")
    return name


def generate_kek() -> tuple[bytes, bytes]:
    """A new KEK pair: (public of 1217 bytes, secret of 97 bytes)."""
    return _generate()


def generate_reader() -> tuple[bytes, bytes]:
    """A new reader pair: (public of 1217 bytes, secret of 97 bytes). Seal the secret with recording.reader_bundle."""
    return _generate()


def sign_kek(kek_id: str, purpose: str, public: bytes, signer: Ed25519PrivateKey) -> bytes:
    """Signature (64 bytes) that makes a KEK acceptable to the recorder, for this purpose only."""
    return signer.sign(kek_statement(kek_id, purpose, public))


def verify_kek(kek_id: str, purpose: str, public: bytes, signature: bytes, verifier: Ed25519PublicKey) -> None:
    """Raise UnsignedKek unless the signature is ours over exactly this KEK and purpose."""
    try:
        verifier.verify(signature, kek_statement(kek_id, purpose, public))
    except InvalidSignature:
        raise UnsignedKek("the KEK's signature is not ours") from None


def wrap_dek(dek: bytes, kek_public: bytes, *, rec_id: str, purpose: str, kek_id: str) -> bytes:
    """Wrap a recording's key to its KEK (1169 bytes). Raises MalformedKey."""
    return _wrap(dek, kek_public, dek_info(rec_id, purpose, kek_id))


def unwrap_dek(wrap: bytes, kek_secret: bytes, *, rec_id: str, purpose: str, kek_id: str) -> bytes:
    """The recording's key (32 bytes). Raises UnwrapError, MalformedKey."""
    dek = _unwrap(wrap, kek_secret, dek_info(rec_id, purpose, kek_id))
    if len(dek) != DEK_BYTES:
        raise MalformedKey("a DEK has 32 bytes")
    return dek


def seal_text(plain: bytes, kek_public: bytes, *, text_id: str, purpose: str, kek_id: str) -> bytes:
    """Seal a message, or a key of messages, to the KEK of its inbox: as long as it is, and 1137 bytes.

    Raises MalformedKey.
    """
    return _wrap(plain, kek_public, text_info(text_id, purpose, kek_id))


def open_text(sealed: bytes, kek_secret: bytes, *, text_id: str, purpose: str, kek_id: str) -> bytes:
    """What was sealed. Raises UnwrapError, MalformedKey."""
    return _unwrap(sealed, kek_secret, text_info(text_id, purpose, kek_id))


def wrap_kek(kek_secret: bytes, reader_public: bytes, *, kek_id: str, reader_id: str) -> bytes:
    """Wrap a KEK's secret to one reader (1234 bytes). Raises MalformedKey."""
    return _wrap(kek_secret, reader_public, kek_info(kek_id, reader_id))


def unwrap_kek(wrap: bytes, reader_secret: bytes, *, kek_id: str, reader_id: str) -> bytes:
    """The KEK's secret (97 bytes). Raises UnwrapError, MalformedKey."""
    return _unwrap(wrap, reader_secret, kek_info(kek_id, reader_id))


def public_of(secret: bytes) -> bytes:
    """The public key that belongs to a secret key. Raises MalformedKey."""
    mlkem, x25519 = _secret_parts(secret)
    return ALG_HYBRID + mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()


def new_escrow_seed() -> bytes:
    """32 random bytes to be written on paper (escrow_text) and kept nowhere else."""
    return secrets.token_bytes(ESCROW_SEED_BYTES)


def escrow_pair(seed: bytes) -> tuple[bytes, bytes]:
    """The escrow's reader pair (public, secret) of a seed."""
    if len(seed) != ESCROW_SEED_BYTES:
        raise MalformedKey("an escrow seed has 32 bytes")
    size_bytes = SECRET_BYTES - 1
    secret = ALG_HYBRID + HKDF(SHA256(), size_bytes, salt=None, info=_ESCROW_INFO).derive(seed)
    return public_of(secret), secret


def escrow_text(seed: bytes) -> str:
    """The seed as 14 groups of four letters and digits, checksum included."""
    text = b32encode(seed + _escrow_check(seed)).decode("ascii")
    return "-".join(text[i : i + 4] for i in range(0, len(text), 4))


def escrow_seed(text: str) -> bytes:
    """The seed of what somebody typed from paper. Raises EscrowTextError, which never quotes the text."""
    letters = "".join(text.upper().replace("-", " ").split()).translate(str.maketrans("018", "OIB"))
    try:
        raw = b32decode(letters)
    except ValueError:
        raise EscrowTextError("not an escrow text: 14 groups of four letters A-Z or digits 2-7") from None
    seed, check = raw[:ESCROW_SEED_BYTES], raw[ESCROW_SEED_BYTES:]
    if len(raw) != ESCROW_SEED_BYTES + _ESCROW_CHECK_BYTES or not hmac.compare_digest(check, _escrow_check(seed)):
        raise EscrowTextError("the escrow text has a typing mistake: its checksum does not fit")
    return seed


def _escrow_check(seed: bytes) -> bytes:
    return hashlib.sha256(_ESCROW_INFO + b"\0" + seed).digest()[:_ESCROW_CHECK_BYTES]


def _generate() -> tuple[bytes, bytes]:
    mlkem, x25519 = secrets.token_bytes(_MLKEM_SEED_BYTES), X25519PrivateKey.generate().private_bytes_raw()
    secret = ALG_HYBRID + mlkem + x25519
    return public_of(secret), secret


def _secret_parts(secret: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    if len(secret) != SECRET_BYTES or secret[:1] != ALG_HYBRID:
        raise MalformedKey("not a secret key of a known algorithm")
    split = 1 + _MLKEM_SEED_BYTES
    return (
        MLKEM768PrivateKey.from_seed_bytes(secret[1:split]),
        X25519PrivateKey.from_private_bytes(secret[split:]),
    )


def _public_key(public: bytes) -> MLKEM768X25519PublicKey:
    if len(public) != PUBLIC_BYTES or public[:1] != ALG_HYBRID:
        raise MalformedKey("not a public key of a known algorithm")
    split = 1 + _MLKEM_PUBLIC_BYTES
    try:
        return MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(public[1:split]),
            X25519PublicKey.from_public_bytes(public[split:]),
        )
    except ValueError:
        raise MalformedKey("not a public key of a known algorithm") from None


def _wrap(plain: bytes, public: bytes, info: bytes) -> bytes:
    return ALG_HYBRID + _SUITE.encrypt(plain, _public_key(public), info=info)


def _unwrap(wrap: bytes, secret: bytes, info: bytes) -> bytes:
    if wrap[:1] != ALG_HYBRID:
        raise MalformedKey("not a wrap of a known algorithm")
    private = MLKEM768X25519PrivateKey(*_secret_parts(secret))
    try:
        return _SUITE.decrypt(wrap[1:], private, info=info)
    except (InvalidTag, ValueError):
        raise UnwrapError("this key does not open this wrap") from None
