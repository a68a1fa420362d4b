"""Passphrase and code of a reader, checked together so that a refusal does not say which was wrong."""

import hmac
from datetime import datetime
from typing import Final, Literal

import pyotp

from recording.keys import MalformedKey
from recording.reader_bundle import ReaderSecret, WrongPassphrase, open_reader

STEP_S: Final = 30  # RFC 6238 section 4.1
_TOLERATED_STEPS: Final = (0, -1, 1)


class BadCredentials(Exception):
    """Why is for the parent's alarm only; the person hears the same in each case."""

    def __init__(self, why: Literal["credentials", "replay", "bundle"]) -> None:
        super().__init__(why)
        self.why: Final = why


def check(bundle: bytes, passphrase: str, code: str, *, last_step: int, now: datetime) -> tuple[ReaderSecret, int]:
    """Open a reader's bundle; also the TOTP step (seconds since 1970 / 30) that was used, to be kept by the caller.

    A step not after last_step is refused (RFC 6238 section 5.2: a code counts once). Raises BadCredentials.
    """
    try:
        reader = open_reader(bundle, passphrase)
    except WrongPassphrase:
        raise BadCredentials("credentials") from None
    except MalformedKey:
        raise BadCredentials("bundle") from None
    step = matching_step(reader.totp_secret, code, now)
    if step is None:
        raise BadCredentials("credentials")
    if step <= last_step:
        raise BadCredentials("replay")
    return reader, step


def matching_step(totp_secret: str, code: str, now: datetime) -> int | None:
    """The step within one of now whose code this is."""
    current = int(now.timestamp()) // STEP_S
    totp = pyotp.TOTP(totp_secret)
    typed = "".join(code.split()).encode()
    for offset in _TOLERATED_STEPS:
        if hmac.compare_digest(totp.generate_otp(current + offset).encode(), typed):
            return current + offset
    return None
