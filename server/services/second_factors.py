"""Second factors, tried: a code of an authenticator program, a code that was written down, a passkey.

Each try is spent in the transaction that says whether it was right, so that none counts twice.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recording.credentials import matching_step
from server.failure import Failure
from server.services import passkey_protocol as protocol
from server.services.context import Services
from server.services.credentials import new_recovery_code
from server.shown_once import otpauth_uri
from storage import sign_in_factors
from storage.people import Person
from storage.tx import Tx

RECOVERY_CODES = 10
_TOTP_BYTES = 20  # RFC 4226 section 4: 160 bits
_LONGEST_CODE = 64


@dataclass(frozen=True, slots=True)
class TotpOffer:
    """What an authenticator program is told. `token`: names the offer where it is not the challenge itself."""

    token: str
    uri: str = field(repr=False)
    secret: str = field(repr=False)


def wrong_code() -> Failure:
    return Failure("that code is not right", "Type the one that is shown now", "denied")


def wrong_passkey() -> Failure:
    return Failure("that passkey was not accepted", "Try again, or take another way", "denied")


def new_totp() -> str:
    """Base32, as authenticator programs want it."""
    return base64.b32encode(secrets.token_bytes(_TOTP_BYTES)).decode()


def offer(services: Services, person: Person, token: str, secret: str) -> TotpOffer:
    return TotpOffer(token, otpauth_uri(person.login, secret, services.settings.company.name), secret)


def step_of(services: Services, secret: str, code: str) -> int | None:
    """The time step whose code that is."""
    return matching_step(secret, code[:_LONGEST_CODE], services.clock()) if code.isascii() else None


async def try_totp(services: Services, tx: Tx, person_id: str, code: str) -> str:
    """done, wrong or replayed."""
    secret = await sign_in_factors.totp_secret(tx, person_id)
    step = None if secret is None else step_of(services, secret, code)
    if step is None:
        return "wrong"
    return "done" if await sign_in_factors.use_totp(tx, person_id, step) else "replayed"


async def try_recovery(tx: Tx, person_id: str, code: str) -> str:
    """done or wrong. A code that was right is gone."""
    used = await sign_in_factors.use_recovery(tx, person_id, _hashed(code))
    return "done" if used else "wrong"


async def new_recovery(tx: Tx, person_id: str) -> list[str]:
    """In place of all older ones."""
    codes = [new_recovery_code() for _ in range(RECOVERY_CODES)]
    await sign_in_factors.set_recovery(tx, person_id, [_hashed(code) for code in codes])
    return codes


async def passkey_request(services: Services, tx: Tx, person_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """For the browser, and what is to be held until it answers. Raises Failure where there is none."""
    known = await sign_in_factors.passkeys(tx, person_id)
    if not known:
        raise Failure("there is no passkey", "Take another way", "not_found")
    return protocol.request(services.settings, known)


async def try_passkey(
    services: Services, tx: Tx, person_id: str, state: Mapping[str, Any], answer: Mapping[str, Any]
) -> str:
    """done or wrong. A counter that does not go on is that of a copy (WebAuthn section 6.1.1)."""
    known = await sign_in_factors.passkeys(tx, person_id)
    found = protocol.answered(services.settings, known, state, answer)
    if found is None:
        return "wrong"
    passkey, count = found
    if (count or passkey.sign_count) and count <= passkey.sign_count:
        return "replayed"
    await sign_in_factors.use_passkey(tx, passkey.id, count, services.clock())
    return "done"


def _hashed(code: str) -> bytes:
    plain = re.sub(r"[\s-]", "", code[:_LONGEST_CODE]).lower()
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).digest()
