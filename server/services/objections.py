"""What was destroyed because somebody said no, withdrew a consent, or asked for it: by the erasure log."""

from __future__ import annotations

import json
from dataclasses import dataclass

from server.failure import Failure
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from storage import ledger

CAUSES = ("objection", "withdrawal", "request")
MOST = 200
LOOKED_AT = 20_000  # entries of the log: what it costs has an end


@dataclass(frozen=True, slots=True)
class DestroyedView:
    """Fields: see `server.commands.number_requests.DESTROYED_FIELDS`."""

    seq: int
    at: str
    cause: str
    kind: str
    recording: str | None
    count: int
    receipt: str


@dataclass(frozen=True, slots=True)
class ObjectionsView:
    """`older`: what to give as `before` to see what comes before that; None: there is no more."""

    destroyed: tuple[DestroyedView, ...]
    older: int | None


async def destroyed(services: Services, actor: Actor, *, last: int = 50, before: int | None = None) -> ObjectionsView:
    """The newest first, of so many entries of the log as are looked at at once. Raises Failure."""
    if not 0 < last <= MOST:
        raise Failure(f"{last} cannot be shown at once", f"Give at most {MOST}", "invalid")
    async with services.db.transaction() as tx:
        total = {head.log: head.entries for head in await ledger.heads(tx)}["erasure"]
        end = total + 1 if before is None else min(before, total + 1)
        found = await ledger.entries_of_cause(tx, "erasure", CAUSES, before=end, within=LOOKED_AT, limit=last + 1)
        await note(services, tx, actor, "list", "report", count=len(found[-last:]))
    shown = found[-last:]
    views = tuple(view for one in reversed(shown) if (view := _view(one)) is not None)
    if len(found) > last:
        return ObjectionsView(views, shown[0].seq)
    return ObjectionsView(views, end - LOOKED_AT if end > LOOKED_AT + 1 else None)


def _view(entry: ledger.Entry) -> DestroyedView | None:
    """None for an order: that something is to go stands there before it is gone, and has no receipt."""
    said = json.loads(entry.body)
    if not said.get("receipt_id"):
        return None
    return DestroyedView(
        seq=entry.seq,
        at=said["at"],
        cause=said["cause"],
        kind=said.get("object", ""),
        recording=said.get("rec_id"),
        count=said.get("count", 1),
        receipt=said["receipt_id"],
    )
