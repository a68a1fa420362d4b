"""What a password has to be, and what it is checked against: Argon2id with its parameters (RFC 9106). Pure."""

from __future__ import annotations

import base64
import functools
import re
import secrets
import unicodedata

from config.shipped import read

MIN_CHARS, MAX_CHARS = 12, 256
_LONGEST = 1000  # as typed; decomposed letters are several characters each
MEMORY_KIB, PASSES, LANES = 19 * 1024, 2, 1  # OWASP, Password Storage: the least; one thread, a tenth of a second
_SALT_BYTES, _HASH_BYTES = 16, 32
_PARAMETERS = f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$"
_LEAST_DIFFERENT = 5  # characters
_LEAST_LEFT = 8  # characters besides the login


def verifier(password: str) -> bytes:
    """In the PHC string format, which holds the parameters. Takes a tenth of a second: call it in a thread."""
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    kdf = Argon2id(
        salt=secrets.token_bytes(_SALT_BYTES),
        length=_HASH_BYTES,
        iterations=PASSES,
        lanes=LANES,
        memory_cost=MEMORY_KIB,
    )
    return kdf.derive_phc_encoded(_canonical(password)).encode()


def proves(password: str, known: bytes | None) -> bool:
    """Whether it is that password; of a login that there is not (None) it takes as long, and never is. As long as
    `verifier`: call it in a thread. Raises ValueError for no verifier."""
    from cryptography.exceptions import InvalidKey
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    given = password if len(password) <= _LONGEST else ""
    try:
        Argon2id.verify_phc_encoded(_canonical(given), (known or _nobody()).decode())
    except InvalidKey:
        return False
    return known is not None


def is_outdated(known: bytes) -> bool:
    """Whether it was made with other parameters than those of today."""
    return not known.decode().startswith(_PARAMETERS)


@functools.cache
def _nobody() -> bytes:
    """Of no password; with today's parameters."""
    salt, hashed = (
        base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (_SALT_BYTES, _HASH_BYTES)
    )
    return f"{_PARAMETERS}{salt}${hashed}".encode()


def weakness(password: str, login: str) -> str:
    """Why it will not do; "" where it does (NIST SP 800-63B section 5.1.1.2: length and lists, no composition)."""
    said = unicodedata.normalize("NFKC", password)
    if len(said) < MIN_CHARS:
        return f"a password has at least {MIN_CHARS} characters"
    if len(said) > MAX_CHARS:
        return f"a password has at most {MAX_CHARS} characters"
    if not _storable(said):
        return "a password is made of letters, digits and signs"
    folded = said.casefold()
    if len(set(folded)) < _LEAST_DIFFERENT:
        return "a password is not the same few characters again and again"
    if len(folded.replace(login.casefold(), "")) < _LEAST_LEFT:
        return "a password is not the login"
    if _is_common(folded):
        return "that password is one of the first that are tried"
    return ""


def _is_common(folded: str) -> bool:
    """Nothing but common words, digits and signs, or one step after the other ("abcdefghijkl", "123456789012")."""
    steps = {ord(after) - ord(before) for before, after in zip(folded, folded[1:], strict=False)}
    if len(steps) == 1:
        return True
    rest = folded
    for word in _words():
        rest = rest.replace(word, "")
    return re.search(r"[^\W\d_]", rest) is None and len(re.sub(r"\s", "", rest)) < MIN_CHARS


@functools.cache
def _words() -> tuple[str, ...]:
    """The longest first, so that none hides another."""
    return tuple(sorted((str(word) for word in read("weak_passwords.toml")["words"]), key=len, reverse=True))


def _storable(text: str) -> bool:
    return not any(unicodedata.category(char) in ("Cc", "Cs") for char in text)


def _canonical(password: str) -> bytes:
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
