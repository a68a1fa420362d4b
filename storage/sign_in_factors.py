"""By what somebody proves who they are to the portal: a password, and a second factor.

Passwords are hashed, compared and judged elsewhere; here lies what they are checked against. A code of an
authenticator program counts once (RFC 6238 section 5.2), and so does a recovery code.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import RowMapping, delete, func, insert, select, update

from storage import tables
from storage.errors import NotFound
from storage.ids import new_id
from storage.tx import Tx

_P, _T, _K, _R = tables.passwords, tables.sign_in_totp, tables.passkeys, tables.recovery_codes


@dataclass(frozen=True, slots=True)
class Passkey:
    """`credential`: attested credential data (WebAuthn section 6.5.1): its id and its public key."""

    id: str
    person_id: str
    name: str = field(repr=False)
    credential: bytes = field(repr=False)
    sign_count: int
    created_at: datetime
    last_used_at: datetime | None


async def set_password(tx: Tx, person_id: str, verifier: bytes, now: datetime) -> None:
    """Raises `Conflict` if there is no such person."""
    await tx.write(delete(_P).where(_P.c.person_id == person_id))
    sealed = tx.keys.seal("passwords", "verifier", person_id, verifier)
    await tx.write(insert(_P).values(person_id=person_id, verifier_sealed=sealed, changed_at=now))


async def lock(tx: Tx, person_id: str) -> None:
    """Nobody else changes this person's factors until this transaction ends."""
    await tx.row(select(_P.c.person_id).where(_P.c.person_id == person_id).with_for_update())


async def password(tx: Tx, person_id: str) -> bytes | None:
    row = await tx.row(select(_P.c.verifier_sealed).where(_P.c.person_id == person_id))
    return None if row is None else tx.keys.open("passwords", "verifier", person_id, row["verifier_sealed"])


# --- authenticator programs -------------------------------------------------------------------------------------------


async def set_totp(tx: Tx, person_id: str, secret: str, now: datetime, *, last_step: int = -1) -> None:
    """In place of an older one. `last_step`: that of the code by which it was confirmed. Raises `Conflict`."""
    await drop_totp(tx, person_id)
    sealed = tx.keys.seal_text("sign_in_totp", "secret", person_id, secret)
    await tx.write(insert(_T).values(person_id=person_id, secret_sealed=sealed, last_step=last_step, created_at=now))


async def totp_secret(tx: Tx, person_id: str) -> str | None:
    row = await tx.row(select(_T.c.secret_sealed).where(_T.c.person_id == person_id))
    return None if row is None else tx.keys.open_text("sign_in_totp", "secret", person_id, row["secret_sealed"])


async def use_totp(tx: Tx, person_id: str, step: int) -> bool:
    """Whether neither this step nor a later one has been used; from now on it has."""
    unused = update(_T).where(_T.c.person_id == person_id, _T.c.last_step < step)
    return bool(await tx.write(unused.values(last_step=step)))


async def drop_totp(tx: Tx, person_id: str) -> None:
    await tx.write(delete(_T).where(_T.c.person_id == person_id))


# --- passkeys ---------------------------------------------------------------------------------------------------------


async def add_passkey(tx: Tx, person_id: str, name: str, credential: bytes, sign_count: int, now: datetime) -> Passkey:
    """Raises `Conflict` if there is no such person."""
    passkey_id = new_id()
    await tx.write(
        insert(_K).values(
            id=passkey_id,
            person_id=person_id,
            name_sealed=tx.keys.seal_text("passkeys", "name", passkey_id, name),
            credential_sealed=tx.keys.seal("passkeys", "credential", passkey_id, credential),
            sign_count=sign_count,
            created_at=now,
        )
    )
    return Passkey(passkey_id, person_id, name, credential, sign_count, now, None)


async def passkeys(tx: Tx, person_id: str) -> tuple[Passkey, ...]:
    """The oldest first."""
    wanted = select(_K).where(_K.c.person_id == person_id).order_by(_K.c.created_at, _K.c.id)
    return tuple(_passkey(tx, row) for row in await tx.rows(wanted))


async def use_passkey(tx: Tx, passkey_id: str, sign_count: int, now: datetime) -> None:
    """Raises `NotFound`."""
    used = update(_K).where(_K.c.id == passkey_id).values(sign_count=sign_count, last_used_at=now)
    if not await tx.write(used):
        raise NotFound("passkey", passkey_id)


async def rename_passkey(tx: Tx, person_id: str, passkey_id: str, name: str) -> bool:
    """Whether there is such a passkey of theirs."""
    sealed = tx.keys.seal_text("passkeys", "name", passkey_id, name)
    mine = update(_K).where(_K.c.id == passkey_id, _K.c.person_id == person_id)
    return bool(await tx.write(mine.values(name_sealed=sealed)))


async def drop_passkey(tx: Tx, person_id: str, passkey_id: str) -> bool:
    """Whether there was such a passkey of theirs."""
    return bool(await tx.write(delete(_K).where(_K.c.id == passkey_id, _K.c.person_id == person_id)))


# --- recovery codes ---------------------------------------------------------------------------------------------------


async def set_recovery(tx: Tx, person_id: str, codes_sha256: Sequence[bytes]) -> None:
    """In place of all older ones. Raises `Conflict` if there is no such person."""
    await tx.write(delete(_R).where(_R.c.person_id == person_id))
    await tx.write_each(
        insert(_R), [{"id": new_id(), "person_id": person_id, "code_sha256": one} for one in codes_sha256]
    )


async def use_recovery(tx: Tx, person_id: str, code_sha256: bytes) -> bool:
    """Whether it was one of theirs; it is no more."""
    return bool(await tx.write(delete(_R).where(_R.c.person_id == person_id, _R.c.code_sha256 == code_sha256)))


async def recovery_left(tx: Tx, person_id: str) -> int:
    row = await tx.row(select(func.count().label("n")).where(_R.c.person_id == person_id))
    return int(row["n"]) if row is not None else 0


async def drop_all(tx: Tx, person_id: str) -> None:
    """Password and second factors: a first sign-in begins anew, or there is none any more."""
    for table in (_P, _T, _K, _R):
        await tx.write(delete(table).where(table.c.person_id == person_id))


def _passkey(tx: Tx, row: RowMapping) -> Passkey:
    return Passkey(
        id=row["id"],
        person_id=row["person_id"],
        name=tx.keys.open_text("passkeys", "name", row["id"], row["name_sealed"]),
        credential=tx.keys.open("passkeys", "credential", row["id"], row["credential_sealed"]),
        sign_count=row["sign_count"],
        created_at=row["created_at"],
        last_used_at=row["last_used_at"],
    )
