"""One entry in the access log for every look and every change, in the transaction of the look or change itself."""

from __future__ import annotations

from server.services.actor import Actor, ledger_id, workstation_id
from server.services.context import Services
from storage import access
from storage.ledger_payload import Value
from storage.tx import Tx

MAX_REASON_CHARS = 500


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

    Reason and case are free text: they are sealed beside the ledger, which holds their digest.
    """
    key = services.keys.ledger
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
    return entry.seq


def _reason(actor: Actor) -> str | None:
    parts = [text.strip() for text in (actor.reason, actor.case and f"[case {actor.case}]") if text and text.strip()]
    return " ".join(parts)[:MAX_REASON_CHARS] or None
