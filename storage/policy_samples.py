"""How many conversations of a line were held, and how many of them recorded, by day: counts of a sample, no person."""

from datetime import date

from sqlalchemy import case, func, select, text, update

from storage import tables
from storage.errors import Invalid
from storage.tx import Tx

DIRECT = "direct"  # calls that come by no line
_T = tables.policy_samples
_TOUCH = text(
    "INSERT INTO policy_samples (subject, day, held, taken) VALUES (:subject, :day, 0, 0) "
    "ON CONFLICT (subject, day) DO UPDATE SET held = policy_samples.held"
)


async def counts(tx: Tx, subject: str, since: date) -> tuple[int, int]:
    """Held and taken since that day. `subject`: id of a line, or DIRECT."""
    sums = select(func.sum(_T.c.held).label("held"), func.sum(_T.c.taken).label("taken"))
    row = await tx.row(sums.where(_T.c.subject == subject, _T.c.day >= since.isoformat()))
    return (int(row["held"] or 0), int(row["taken"] or 0)) if row is not None else (0, 0)


async def lock(tx: Tx, subject: str, day: date) -> None:
    """Until this transaction ends nobody else counts for that line and day; so two calls do not take the same place."""
    await tx.write(_TOUCH.bindparams(subject=subject, day=day.isoformat()))


async def add(tx: Tx, subject: str, day: date, *, held: int = 0, taken: int = 0) -> None:
    """Count, or give back. Nothing ever falls below zero. Raises `Invalid` for more than one at once."""
    if abs(held) > 1 or abs(taken) > 1:
        raise Invalid("count", "is not one call")
    await lock(tx, subject, day)
    mine = (_T.c.subject == subject) & (_T.c.day == day.isoformat())
    now_held, now_taken = _T.c.held + held, _T.c.taken + taken
    await tx.write(
        update(_T)
        .where(mine)
        .values(
            held=case((now_held > 0, now_held), else_=0),
            taken=case((now_taken > 0, now_taken), else_=0),
        )
    )
