"""Opening by hand, step by step as docs/recording-format.md says."""

import hashlib
import hmac
import json
import unicodedata
from base64 import b32decode, b64decode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

HEADER, FULL = 56, 16400
SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def info(*parts):
    return b"\0".join(part.encode() for part in parts)


def of_escrow(text):
    raw = b32decode(text.replace("-", ""))
    assert hashlib.sha256(b"beffroi/escrow/1\0" + raw[:32]).digest()[:3] == raw[32:]
    return b"\x01" + HKDF(SHA256(), 96, salt=None, info=b"beffroi/escrow/1").derive(raw[:32])


def of_reader(bundle, passphrase):
    head = json.loads(bundle)
    box = b64decode(head.pop("box"))
    kdf = Argon2id(salt=b64decode(head["salt"]), length=32, iterations=head["passes"], lanes=head["lanes"],
                   memory_cost=head["memory_kib"])  # fmt: skip
    key = kdf.derive(unicodedata.normalize("NFKC", passphrase).encode())
    aad = json.dumps(head, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return b64decode(json.loads(AESGCM(key).decrypt(b64decode(head["nonce"]), box, aad))["secret"])


def unwrap(wrap, secret, context):
    """None where it is not for this secret, or not for this purpose."""
    if wrap[:1] != b"\x01":
        return None
    mlkem = MLKEM768PrivateKey.from_seed_bytes(secret[1:65])
    private = MLKEM768X25519PrivateKey(mlkem, X25519PrivateKey.from_private_bytes(secret[65:]))
    try:
        return SUITE.decrypt(wrap[1:], private, info=context)
    except (InvalidTag, ValueError):
        return None


def open_kek(blob, secret, kek, reader):
    return unwrap(blob, secret, info("beffroi/kek-wrap/1", kek, reader))


def open_dek(wrap, kek_secret, rec, purpose, kek):
    return unwrap(wrap, kek_secret, info("beffroi/dek-wrap/1", rec, purpose, kek))


def plain(sealed, dek, rec, purpose):
    """What a whole file holds; None where it does not open, is cut or was changed."""
    header, body = sealed[:HEADER], sealed[HEADER:]
    label = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"
    context = info("beffroi/recording/1", rec, purpose, "audio")
    material = HKDFExpand(SHA512(), 76, label + header[:24] + context).derive(dek)
    if len(header) != HEADER or not hmac.compare_digest(header[24:], material[44:]):
        return None
    aead, base, opened = AESGCM(material[:32]), int.from_bytes(material[32:44], "big"), []
    for number in range(len(body) // FULL + 1):
        chunk = body[number * FULL : (number + 1) * FULL]
        try:
            opened.append(aead.decrypt((base ^ number).to_bytes(12, "big"), chunk, None))
        except (InvalidTag, ValueError):
            return None
    return b"".join(opened)
