"""Alerts: one row for a kind and its subject, however often it happens. Opaque ids, counts, times; a note is sealed.

A row is written before anybody is told, and says which channels have still to take it: a crash loses nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import RowMapping, func, insert, select, text, update

from storage import tables
from storage.errors import Conflict, Invalid, NotFound
from storage.ids import new_id, require_in
from storage.tx import Tx

VERDICTS = frozenset({"false_alarm", "real_danger", "misuse"})
_T, _CURSORS = tables.alerts, tables.alert_cursors
_SHOWN = text(
    "INSERT INTO clear_looks (actor_id, day, count) VALUES (:actor_id, :day, :count) "
    "ON CONFLICT (actor_id) DO UPDATE SET "
    "count = CASE WHEN clear_looks.day = excluded.day THEN clear_looks.count ELSE 0 END + excluded.count, "
    "day = excluded.day"
)


@dataclass(frozen=True, slots=True)
class Alert:
    """`state`: open or acknowledged. `waiting`: channels that have not taken it; `due_at`: when they are tried."""

    id: str
    kind: str
    subject: str
    severity: str
    state: str
    count: int
    first_at: datetime
    last_at: datetime
    lasts: bool
    episode: int
    verdict: str | None
    judged_by: str | None
    judged_at: datetime | None
    note: str | None = field(repr=False)
    waiting: tuple[str, ...]
    tries: int
    due_at: datetime | None
    kept_until: datetime


async def happened(
    tx: Tx,
    kind: str,
    subject: str,
    severity: str,
    now: datetime,
    *,
    kept_until: datetime,
    channels: Sequence[str],
    count: int = 1,
    lasts: bool = False,
) -> Alert:
    """A new alert; or one more of an open one; or one that was acknowledged, opened again and delivered again.

    Raises `Duplicate` where another node has just written the same: the caller begins anew.
    """
    same = select(_T).where(_T.c.kind == kind, _T.c.subject == subject).with_for_update()
    row = await tx.row(same)
    delivery = {"waiting": list(channels), "tries": 0, "due_at": now if channels else None}
    seen = {"severity": severity, "last_at": now, "lasts": lasts, "kept_until": kept_until}
    if row is None:
        alert_id = new_id()
        new = {"id": alert_id, "kind": kind, "subject": subject, "first_at": now, "count": count, "episode": 1}
        await tx.write(insert(_T).values(**new, **seen, **delivery, state="open"))
        return await get(tx, alert_id)
    again = {"state": "open", "episode": row["episode"] + 1, **delivery} if row["state"] != "open" else {}
    changed = update(_T).where(_T.c.id == row["id"])
    await tx.write(changed.values(count=row["count"] + count, **seen, **again))
    return await get(tx, row["id"])


async def over(tx: Tx, kind: str, subject: str) -> None:
    """The condition holds no longer; the alert stays until somebody has judged it."""
    await tx.write(update(_T).where(_T.c.kind == kind, _T.c.subject == subject).values(lasts=False))


async def lasting(tx: Tx) -> frozenset[tuple[str, str]]:
    """(kind, subject) of every condition that held when it was last looked at."""
    rows = await tx.rows(select(_T.c.kind, _T.c.subject).where(_T.c.lasts))
    return frozenset((row["kind"], row["subject"]) for row in rows)


async def get(tx: Tx, alert_id: str) -> Alert:
    """Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.id == alert_id))
    if row is None:
        raise NotFound("alert", alert_id)
    return _alert(tx, row)


async def list_all(tx: Tx, *, open_only: bool = False, limit: int | None = None) -> tuple[Alert, ...]:
    """What happened last comes first."""
    wanted = select(_T).order_by(_T.c.last_at.desc(), _T.c.id).limit(limit)
    if open_only:
        wanted = wanted.where(_T.c.state == "open")
    return tuple(_alert(tx, row) for row in await tx.rows(wanted))


async def open_by_severity(tx: Tx) -> dict[str, int]:
    rows = await tx.rows(
        select(_T.c.severity, func.count().label("n")).where(_T.c.state == "open").group_by(_T.c.severity)
    )
    return {row["severity"]: int(row["n"]) for row in rows}


async def judge(tx: Tx, alert_id: str, verdict: str, judged_by: str, note: str | None, now: datetime) -> Alert:
    """Acknowledge it; once more to correct a verdict. Nobody is told of it any more. Raises `NotFound`, `Invalid`."""
    sealed = None if note is None else tx.keys.seal_text("alerts", "note", alert_id, note)
    values = {
        "state": "acknowledged",
        "verdict": require_in("verdict", verdict, VERDICTS),
        "judged_by": judged_by,
        "judged_at": now,
        "note_sealed": sealed,
        "waiting": [],
        "due_at": None,
    }
    if not await tx.write(update(_T).where(_T.c.id == alert_id).values(**values)):
        raise NotFound("alert", alert_id)
    return await get(tx, alert_id)


# --- delivery ---------------------------------------------------------------------------------------------------------


async def due(tx: Tx, now: datetime, *, limit: int) -> tuple[Alert, ...]:
    """What has still to be told, the longest waiting first."""
    wanted = select(_T).where(_T.c.due_at <= now).order_by(_T.c.due_at, _T.c.id).limit(limit)
    return tuple(_alert(tx, row) for row in await tx.rows(wanted))


async def next_due(tx: Tx) -> datetime | None:
    row = await tx.row(select(func.min(_T.c.due_at).label("at")))
    return None if row is None else row["at"]


async def tried(tx: Tx, alert: Alert, left: Sequence[str], due_at: datetime | None) -> None:
    """`left` did not take it and are tried again at `due_at`. Nothing changes where it was opened again or judged
    meanwhile."""
    same = (_T.c.id == alert.id, _T.c.episode == alert.episode, _T.c.state == "open")
    await tx.write(update(_T).where(*same).values(waiting=list(left), tries=alert.tries + 1, due_at=due_at))


# --- how far the access log was read ----------------------------------------------------------------------------------


async def cursor(tx: Tx, log: str) -> int | None:
    """The entry that was read last; None: none was ever."""
    row = await tx.row(select(_CURSORS.c.seq).where(_CURSORS.c.log == log))
    return None if row is None else int(row["seq"])


async def move_cursor(tx: Tx, log: str, before: int | None, seq: int) -> None:
    """Raises `Conflict`, `Duplicate` where another node has read on meanwhile."""
    if before is None:
        await tx.write(insert(_CURSORS).values(log=log, seq=seq))
        return
    mine = update(_CURSORS).where(_CURSORS.c.log == log, _CURSORS.c.seq == before)
    if not await tx.write(mine.values(seq=seq)):
        raise Conflict(f"another node reads the {log} log")


# --- what is shown in clear -------------------------------------------------------------------------------------------


async def shown_in_clear(tx: Tx, actor_id: str, day: str, count: int) -> int:
    """Count it; how much this person was shown on that day, these included. Raises `Invalid`."""
    if count < 0:
        raise Invalid("count", "is negative")
    await tx.write(_SHOWN.bindparams(actor_id=actor_id, day=day, count=count))
    row = await tx.row(select(tables.clear_looks.c.count).where(tables.clear_looks.c.actor_id == actor_id))
    return int(row["count"]) if row is not None else count


def _alert(tx: Tx, row: RowMapping) -> Alert:
    sealed = row["note_sealed"]
    fields = {name: row[name] for name in Alert.__slots__ if name not in ("note", "waiting")}
    note = None if sealed is None else tx.keys.open_text("alerts", "note", row["id"], sealed)
    return Alert(note=note, waiting=tuple(row["waiting"]), **fields)
