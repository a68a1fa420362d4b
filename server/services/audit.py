"""One entry in the access log for every look and every change, in the transaction of the look or change itself."""

from __future__ import annotations

from datetime import UTC

from server.alerting.access_rules import shows_in_clear
from server.failure import Failure
from server.services.actor import Actor, ledger_id, workstation_id
from server.services.context import Services
from storage import access, alerts, recording_openings
from storage.ledger_payload import Value
from storage.tx import Tx

MAX_REASON_CHARS = 500
OPENINGS = frozenset({"open", "export", "listen"})


class TooMuch(Failure):
    """More numbers and names in clear than one person is shown in a day. What was to be shown is not."""

    def __init__(self, action: str, subject: str, limit: int) -> None:
        super().__init__(
            f"more than {limit} numbers and names in clear today",
            "Leave --reason out to see them masked, or have alerts.clear_per_day raised",
            "denied",
        )
        self.action, self.subject = action, subject


async def note(
    services: Services,
    tx: Tx,
    actor: Actor,
    action: str,
    subject: str,
    *,
    outcome: str = "done",
    **details: Value | None,
) -> int:
    """Write it; the entry's sequence number. `action`, `subject`, `details`: `storage.ledger_payload.ALLOWED`.

    Reason and case are free text: they are sealed beside the ledger, which holds their digest. Raises TooMuch where it
    would show more in clear than one person may see in a day: the look is rolled back with the transaction.
    """
    key = services.keys.ledger
    if outcome == "done":
        await _count(services, tx, actor, action, subject, details.get("count"))
    said: dict[str, Value | None] = {
        "workstation": workstation_id(actor.workstation, key),
        "object": subject,
        "outcome": outcome,
        **details,
    }
    entry = await access.record(
        tx,
        actor_id=ledger_id(actor.who, key),
        action=action,
        now=services.clock(),
        reason=_reason(actor),
        details=said,
    )
    rec_id = details.get("rec_id")
    if subject == "recording" and action in OPENINGS and outcome == "done" and isinstance(rec_id, str):
        await recording_openings.add(tx, rec_id, entry.seq)
    return entry.seq


def _reason(actor: Actor) -> str | None:
    parts = [text.strip() for text in (actor.reason, actor.case and f"[case {actor.case}]") if text and text.strip()]
    return " ".join(parts)[:MAX_REASON_CHARS] or None


async def _count(services: Services, tx: Tx, actor: Actor, action: str, subject: str, count: Value | None) -> None:
    """What is shown in clear is counted, in the transaction that shows it."""
    if not shows_in_clear(action, subject, reasoned=_reason(actor) is not None):
        return
    much = count if isinstance(count, int) else 1
    day = services.clock().astimezone(UTC).date().isoformat()
    shown = await alerts.shown_in_clear(tx, ledger_id(actor.who, services.keys.ledger), day, much)
    limit = services.settings.alerts.clear_per_day
    if much and 0 < limit < shown:
        raise TooMuch(action, subject, limit)


async def note_refused(services: Services, actor: Actor, refused: TooMuch) -> None:
    """That somebody wanted more than the limit is written down by itself."""
    async with services.db.transaction() as tx:
        await note(services, tx, actor, refused.action, refused.subject, outcome="denied")
