"""Secrets made for people to type, and what is derived from them."""

from __future__ import annotations

import hashlib
import secrets

# No letter or digit that looks like another: 31 of them, 4.95 bits each.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_GROUPS = (5, 5, 5, 5, 6)  # 26 characters: 128.8 bits


def new_secret() -> str:
    """At least 128 random bits in lower-case letters and digits, in groups: a SIP password, or a passphrase."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(size)) for size in _GROUPS)


def new_auth_user(account: str) -> str:
    """A user name for one device of an account: `alice-k3f9`."""
    return f"{account[:48]}-{''.join(secrets.choice(_ALPHABET) for _ in range(4))}"


def ha1(auth_user: str, realm: str, password: str) -> str:
    """RFC 7616 section 3.4.2 in its MD5 form, which is what phones can do. 32 hexadecimal digits."""
    return hashlib.md5(f"{auth_user}:{realm}:{password}".encode(), usedforsecurity=False).hexdigest()
