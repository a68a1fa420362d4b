"""A reader's secret key and TOTP secret, sealed together by a passphrase. docs/recording-format.md section 5."""

import json
import secrets
import unicodedata
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from recording.format import check_name
from recording.keys import KeysError, MalformedKey

MEMORY_KIB: Final = 64 * 1024
PASSES: Final = 3
LANES: Final = 4
MIN_PASSPHRASE_CHARS: Final = 12
_ALG: Final = "argon2id-aes256gcm"
_BOUNDS: Final = {"memory_kib": (19 * 1024, 1024 * 1024), "passes": (2, 16), "lanes": (1, 16)}
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12


class WrongPassphrase(KeysError):
    """The passphrase does not open the bundle, or the bundle was altered: the two cannot be told apart."""


class WeakPassphrase(KeysError):
    """A passphrase that must not be used for sealing; the text says why and never quotes it."""


@dataclass(frozen=True, slots=True)
class ReaderSecret:
    """What a passphrase opens."""

    reader_id: str
    secret: bytes = field(repr=False)  # 97 bytes, recording.keys
    totp_secret: str = field(repr=False)  # base32, RFC 6238


def seal_reader(reader: ReaderSecret, passphrase: str) -> bytes:
    """Seal to a bundle for the key store (500 bytes of canonical JSON). Raises WeakPassphrase. Takes 0.15 s."""
    if len(passphrase) < MIN_PASSPHRASE_CHARS:
        raise WeakPassphrase(f"a passphrase has at least {MIN_PASSPHRASE_CHARS} characters")
    head: dict[str, object] = {
        "alg": _ALG,
        "lanes": LANES,
        "memory_kib": MEMORY_KIB,
        "nonce": _text(secrets.token_bytes(_NONCE_BYTES)),
        "passes": PASSES,
        "reader_id": check_name(reader.reader_id),
        "salt": _text(secrets.token_bytes(_SALT_BYTES)),
        "v": 1,
    }
    plain = _canonical({"secret": _text(reader.secret), "totp": reader.totp_secret})
    box = AESGCM(_key(head, passphrase)).encrypt(_bytes(head, "nonce"), plain, _canonical(head))
    return _canonical(head | {"box": _text(box)})


def open_reader(bundle: bytes, passphrase: str) -> ReaderSecret:
    """Open a bundle. Raises WrongPassphrase, MalformedKey. Takes about 0.15 s."""
    head = _parse(bundle)
    box = _bytes(head, "box")
    del head["box"]
    try:
        plain = AESGCM(_key(head, passphrase)).decrypt(_bytes(head, "nonce"), box, _canonical(head))
    except InvalidTag:
        raise WrongPassphrase("the passphrase does not open this reader's key") from None
    inner = json.loads(plain)
    return ReaderSecret(head["reader_id"], b64decode(inner["secret"]), inner["totp"])


def reader_id_of(bundle: bytes) -> str:
    """Whose bundle it says to be (not authenticated until it is opened). Raises MalformedKey."""
    return str(_parse(bundle)["reader_id"])


def _parse(bundle: bytes) -> dict[str, Any]:
    try:
        head = json.loads(bundle)
        if head["alg"] != _ALG or head["v"] != 1:
            raise MalformedKey("a reader bundle of an unknown version")
        check_name(head["reader_id"])
        for name, (least, most) in _BOUNDS.items():
            if type(head[name]) is not int or not least <= head[name] <= most:
                raise MalformedKey(f"a reader bundle with a {name} out of bounds")
        if len(_bytes(head, "salt")) != _SALT_BYTES or len(_bytes(head, "nonce")) != _NONCE_BYTES:
            raise MalformedKey("a reader bundle with a salt or nonce of a wrong size")
        _bytes(head, "box")
    except (ValueError, KeyError, TypeError):
        raise MalformedKey("not a reader bundle") from None
    return dict(head)


def _key(head: dict[str, Any], passphrase: str) -> bytes:
    kdf = Argon2id(
        salt=_bytes(head, "salt"),
        length=32,
        iterations=head["passes"],
        lanes=head["lanes"],
        memory_cost=head["memory_kib"],
    )
    return kdf.derive(unicodedata.normalize("NFKC", passphrase).encode())


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _bytes(head: dict[str, Any], name: str) -> bytes:
    return b64decode(head[name], validate=True)


def _text(raw: bytes) -> str:
    return b64encode(raw).decode("ascii")
