"""Readers: who can open recordings, of which purpose, and the second factor's memory.

A reader's secret key comes here already sealed by a passphrase; the TOTP secret (RFC 6238) is sealed by the field key,
because the server has to check codes before the passphrase is worth anything.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from sqlalchemy import RowMapping, delete, insert, select, true, update

from storage import tables
from storage.errors import NotFound
from storage.tx import Tx

ESCROW = "escrow"
FREE_FAILURES = 5
FIRST_LOCK_S = 30
LONGEST_LOCK_S = 3600
_KEYS, _RIGHTS, _TOTP, _ESCROW = tables.reader_keys, tables.reader_rights, tables.reader_totp, tables.escrow_key


@dataclass(frozen=True, slots=True)
class ReaderKey:
    person_id: str
    alg: str  # "MLKEM768-X25519"
    public: bytes
    sealed_secret: bytes = field(repr=False)  # opens with the passphrase only
    created_at: datetime


@dataclass(frozen=True, slots=True)
class EscrowKey:
    alg: str
    public: bytes
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Right:
    person_id: str
    purpose: str
    granted_at: datetime
    granted_by: str  # person id, or "quickstart"


@dataclass(frozen=True, slots=True)
class TotpState:
    last_step: int  # -1 before the first success
    failures: int  # since the last success
    locked_until: datetime | None


class TotpOutcome(Enum):
    ACCEPTED = "accepted"
    WRONG = "wrong"
    REPLAYED = "replayed"
    LOCKED = "locked"


async def set_key(tx: Tx, key: ReaderKey) -> None:
    """First key, or a new one in place of the old (new passphrase). Raises `Conflict` if there is no such person."""
    await tx.write(delete(_KEYS).where(_KEYS.c.person_id == key.person_id))
    await tx.write(
        insert(_KEYS).values(
            person_id=key.person_id,
            alg=key.alg,
            public=key.public,
            secret=key.sealed_secret,
            created_at=key.created_at,
        )
    )


async def get_key(tx: Tx, person_id: str) -> ReaderKey:
    """Raises `NotFound`."""
    row = await tx.row(select(_KEYS).where(_KEYS.c.person_id == person_id))
    if row is None:
        raise NotFound("reader key of", person_id)
    return _reader_key(row)


async def remove_key(tx: Tx, person_id: str) -> None:
    """A reader who leaves: key, second factor, rights and every wrap go. Raises `NotFound` if there is no key."""
    await tx.write(delete(_RIGHTS).where(_RIGHTS.c.person_id == person_id))
    if not await drop_key(tx, person_id):
        raise NotFound("reader key of", person_id)


async def drop_key(tx: Tx, person_id: str) -> bool:
    """Key, second factor and every wrap go; rights wait for another key. Whether there was a key."""
    await _retire_keks(tx, person_id)
    await tx.write(delete(tables.kek_wraps).where(tables.kek_wraps.c.reader_id == person_id))
    await tx.write(delete(_TOTP).where(_TOTP.c.person_id == person_id))
    return bool(await tx.write(delete(_KEYS).where(_KEYS.c.person_id == person_id)))


async def wraps_left(tx: Tx, person_id: str) -> int:
    """How many keys are wrapped to this person."""
    return len(await tx.rows(select(tables.kek_wraps.c.kek_id).where(tables.kek_wraps.c.reader_id == person_id)))


async def set_escrow(tx: Tx, key: EscrowKey) -> None:
    """Once and for all. Raises `Duplicate` when there is one: replacing it would orphan what it escrows."""
    await tx.write(insert(_ESCROW).values(id=1, alg=key.alg, public=key.public, created_at=key.created_at))


async def get_escrow(tx: Tx) -> EscrowKey:
    """Raises `NotFound`."""
    row = await tx.row(select(_ESCROW))
    if row is None:
        raise NotFound("escrow key")
    return EscrowKey(row["alg"], row["public"], row["created_at"])


async def grant(tx: Tx, person_id: str, purpose: str, granted_by: str, now: datetime) -> Right:
    """The right to open recordings of that purpose; granting twice keeps the first."""
    held = await tx.row(select(_RIGHTS).where(_RIGHTS.c.person_id == person_id, _RIGHTS.c.purpose == purpose))
    if held is not None:
        return Right(**held)
    right = Right(person_id, purpose, now, granted_by)
    await tx.write(insert(_RIGHTS).values(person_id=person_id, purpose=purpose, granted_at=now, granted_by=granted_by))
    return right


async def revoke(tx: Tx, person_id: str, purpose: str) -> None:
    """Takes the right and this reader's wraps of that purpose's KEKs. Raises `NotFound`."""
    keks, wraps = tables.keks, tables.kek_wraps
    await _retire_keks(tx, person_id, purpose)
    of_purpose = select(keks.c.id).where(keks.c.purpose == purpose)
    await tx.write(delete(wraps).where(wraps.c.reader_id == person_id, wraps.c.kek_id.in_(of_purpose)))
    gone = delete(_RIGHTS).where(_RIGHTS.c.person_id == person_id, _RIGHTS.c.purpose == purpose)
    if not await tx.write(gone):
        raise NotFound("right of", person_id)


async def rights(tx: Tx, person_id: str | None = None) -> tuple[Right, ...]:
    """Of one person or of all, by person and purpose."""
    wanted = select(_RIGHTS).order_by(_RIGHTS.c.person_id, _RIGHTS.c.purpose)
    if person_id is not None:
        wanted = wanted.where(_RIGHTS.c.person_id == person_id)
    return tuple(Right(**row) for row in await tx.rows(wanted))


async def has_right(tx: Tx, person_id: str, purpose: str) -> bool:
    """Whether an enabled person who is a reader, with a key, holds the right for exactly that purpose."""
    return purpose in await purposes(tx, person_id)


async def purposes(tx: Tx, person_id: str) -> frozenset[str]:
    """All that `has_right` is so for."""
    people = tables.people
    wanted = (
        select(_RIGHTS.c.purpose, people.c.roles)
        .join(_KEYS, _KEYS.c.person_id == _RIGHTS.c.person_id)
        .join(people, people.c.id == _RIGHTS.c.person_id)
        .where(_RIGHTS.c.person_id == person_id, people.c.disabled_at.is_(None))
    )
    return frozenset(row["purpose"] for row in await tx.rows(wanted) if "reader" in row["roles"])


async def with_right(tx: Tx, purpose: str) -> tuple[str, ...]:
    """Ids of the persons who have it, with a key or not."""
    wanted = select(_RIGHTS.c.person_id).where(_RIGHTS.c.purpose == purpose).order_by(_RIGHTS.c.person_id)
    return tuple(row["person_id"] for row in await tx.rows(wanted))


async def for_purpose(tx: Tx, purpose: str) -> tuple[ReaderKey, ...]:
    """To whom a new KEK of that purpose is wrapped: enabled persons with the role, the right and a key."""
    people = tables.people
    wanted = (
        select(_KEYS, people.c.roles)
        .join(_RIGHTS, _RIGHTS.c.person_id == _KEYS.c.person_id)
        .join(people, people.c.id == _KEYS.c.person_id)
        .where(_RIGHTS.c.purpose == purpose, people.c.disabled_at.is_(None))
        .order_by(_KEYS.c.person_id)
    )
    return tuple(_reader_key(row) for row in await tx.rows(wanted) if "reader" in row["roles"])


async def set_totp(tx: Tx, person_id: str, secret: bytes) -> None:
    """A new second factor; forgets the old one's state. Raises `Conflict` if there is no such person."""
    await tx.write(delete(_TOTP).where(_TOTP.c.person_id == person_id))
    sealed = tx.keys.seal("reader_totp", "secret", person_id, secret)
    await tx.write(insert(_TOTP).values(person_id=person_id, secret_sealed=sealed, last_step=-1, failures=0))


async def totp_secret(tx: Tx, person_id: str) -> bytes:
    """Raises `NotFound`."""
    row = await tx.row(select(_TOTP).where(_TOTP.c.person_id == person_id))
    if row is None:
        raise NotFound("second factor of", person_id)
    return tx.keys.open("reader_totp", "secret", person_id, row["secret_sealed"])


async def totp_state(tx: Tx, person_id: str) -> TotpState:
    """Raises `NotFound`."""
    row = await tx.row(select(_TOTP).where(_TOTP.c.person_id == person_id))
    if row is None:
        raise NotFound("second factor of", person_id)
    return TotpState(row["last_step"], row["failures"], row["locked_until"])


async def try_totp(tx: Tx, person_id: str, matched_step: int | None, now: datetime) -> TotpOutcome:
    """Spend one attempt. `matched_step`: the time step (Unix time // 30) whose code was given, None if no code fits.

    A step is accepted once, and none before it ever again (RFC 6238 §5.2). After FREE_FAILURES wrong or replayed
    codes in a row every further attempt is refused for FIRST_LOCK_S, twice as long after each next failure, up to
    LONGEST_LOCK_S; while locked, even the right code is refused and nothing is counted.
    The verdict is returned, not raised: the caller must let the transaction commit. Raises `NotFound`.
    """
    row = await tx.row(select(_TOTP).where(_TOTP.c.person_id == person_id).with_for_update())
    if row is None:
        raise NotFound("second factor of", person_id)
    if row["locked_until"] is not None and now < row["locked_until"]:
        return TotpOutcome.LOCKED
    mine = update(_TOTP).where(_TOTP.c.person_id == person_id)
    if matched_step is not None and matched_step > row["last_step"]:
        await tx.write(mine.values(last_step=matched_step, failures=0, locked_until=None))
        return TotpOutcome.ACCEPTED
    failures = row["failures"] + 1
    await tx.write(mine.values(failures=failures, locked_until=_locked_until(failures, now)))
    return TotpOutcome.WRONG if matched_step is None else TotpOutcome.REPLAYED


async def _retire_keks(tx: Tx, person_id: str, purpose: str | None = None) -> None:
    """No new recording under a KEK that this reader has had: a copy of its wrap may be in a backup."""
    keks, wraps = tables.keks, tables.kek_wraps
    had = keks.c.id.in_(select(wraps.c.kek_id).where(wraps.c.reader_id == person_id))
    of_purpose = keks.c.purpose == purpose if purpose is not None else true()
    await tx.write(update(keks).where(had, of_purpose).values(not_after=keks.c.created_at))


def _locked_until(failures: int, now: datetime) -> datetime | None:
    if failures < FREE_FAILURES:
        return None
    doublings = min(failures - FREE_FAILURES, 16)
    return now + timedelta(seconds=min(FIRST_LOCK_S << doublings, LONGEST_LOCK_S))


def _reader_key(row: RowMapping) -> ReaderKey:
    return ReaderKey(
        person_id=row["person_id"],
        alg=row["alg"],
        public=row["public"],
        sealed_secret=row["secret"],
        created_at=row["created_at"],
    )
