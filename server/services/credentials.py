"""Secrets made for people to type, and what is derived from them."""

from __future__ import annotations

import hashlib
import hmac
import secrets

# No letter or digit that looks like another: 31 of them, 4.95 bits each.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_N, _R, _P, _SALT_BYTES, _MAX_BYTES = 1 << 14, 8, 1, 16, 64 * 1024 * 1024
_GROUPS = (5, 5, 5, 5, 6)  # 26 characters: 128.8 bits


def new_secret() -> str:
    """At least 128 random bits in lower-case letters and digits, in groups: a SIP password, or a passphrase."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(size)) for size in _GROUPS)


def new_recovery_code() -> str:
    """79 random bits in four groups of four, for somebody who has lost their second factor."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4))


def new_auth_user(account: str) -> str:
    """A user name for one device of an account: `alice-k3f9`."""
    return f"{account[:48]}-{''.join(secrets.choice(_ALPHABET) for _ in range(4))}"


def ha1(auth_user: str, realm: str, password: str) -> str:
    """RFC 7616 section 3.4.2 in its MD5 form, which is what phones can do. 32 hexadecimal digits."""
    return hashlib.md5(f"{auth_user}:{realm}:{password}".encode(), usedforsecurity=False).hexdigest()


def verifier(secret: str) -> bytes:
    """What a password that people do not choose is checked against: `scrypt$n$r$p$salt$hash` (RFC 7914), 16 MiB.

    Takes 50 ms: call it in a thread.
    """
    salt = secrets.token_bytes(_SALT_BYTES)
    return f"scrypt${_N}${_R}${_P}${salt.hex()}${_scrypt(secret, salt, _N, _R, _P).hex()}".encode()


def proves(secret: str, stored: bytes) -> bool:
    """Whether it is that password. Takes 50 ms: call it in a thread. Raises ValueError for what is no verifier."""
    name, n, r, p, salt, known = stored.decode().split("$")
    if name != "scrypt":
        raise ValueError("an unknown way to check a password")
    return hmac.compare_digest(_scrypt(secret, bytes.fromhex(salt), int(n), int(r), int(p)), bytes.fromhex(known))


def _scrypt(secret: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MAX_BYTES, dklen=32)
