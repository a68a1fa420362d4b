"""What a call leaves in writing: acts of consent in the ledger, and one record with just the fields of its class."""

from __future__ import annotations

import logging
from datetime import datetime

from retention import metadata
from retention.metadata import CallFacts, MetadataClass
from sip.calls.plan import CallPlan, Evidence
from sip.calls.ports import ClosedCall
from storage import call_records, evidence
from storage.call_records import CallRecord
from storage.database import Database
from storage.evidence import ConsentEvidence

log = logging.getLogger(__name__)

DIRECT = "direct"  # pseudonym of a call that came by no line


class DatabaseCallBook:
    """Fills ``sip.calls.ports.CallBook``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, plan: CallPlan, act: Evidence, now: datetime, rec_id: str | None = None) -> int:
        """Raises StorageError; then there is no evidence, and no recording."""
        decision = plan.recording
        entry = ConsentEvidence(
            call_id=plan.call_id,
            leg_id=plan.leg_id(act.leg),
            purpose=decision.pack,
            act=act.act,
            rule=decision.rule_id,
            media_ms=act.media_ms,
            prompt_id=act.prompt_id or None,
            prompt_version=act.prompt_version or None,
            prompt_sha256=act.prompt_sha256 or None,
            language=act.language or None,
            key=act.key or None,
            pack=decision.pack,
            pack_version=decision.pack_version,
            rec_id=rec_id,
        )
        async with self._database.transaction() as tx:
            return (await evidence.record(tx, entry, now)).seq

    async def close(self, closed: ClosedCall) -> None:
        """Write the record. Its number is found again only where the class keeps it."""
        plan = closed.plan
        kept = metadata.reduce(
            _facts(closed), MetadataClass.parse(closed.outcome.metadata_class or plan.metadata_class)
        )
        async with self._database.transaction() as tx:
            await call_records.count(tx, kept.totals.day, kept.totals.direction, kept.totals.minutes)
            if kept.at is None or kept.expires_at is None:
                return  # class none: nothing that leads to a call or a person
            record = CallRecord(
                id=plan.call_id,
                line_id=plan.line_id if kept.metadata_class is MetadataClass.STANDARD else None,
                metadata_class=str(kept.metadata_class),
                purpose=kept.pack,
                legal_basis=kept.legal_basis,
                at=kept.at,
                expires_at=kept.expires_at,
                fields={**kept.fields, **_how(closed)},
                recording_id=closed.rec_id,
            )
            await call_records.add(tx, record, kept.numbers)


def _facts(closed: ClosedCall) -> CallFacts:
    plan = closed.plan
    return CallFacts(
        call_id=plan.call_id,
        line_id=plan.line_id,
        line_pseudonym=plan.line_id or DIRECT,
        direction=plan.direction,
        started_at=closed.began_at,
        ended_at=closed.ended_at,
        talk_s=closed.talk_s,
        cause=closed.outcome.cause,
        numbers={"caller": plan.caller.number, "callee": plan.callee.number},
        peer_role="callee" if plan.direction == "outbound" else "caller",
        peer_country=(plan.callee if plan.direction == "outbound" else plan.caller).country,
        trunk=plan.trunk_id,
    )


def _how(closed: ClosedCall) -> dict[str, object]:
    """What became of the conversation: no more than a word and two counts."""
    how: dict[str, object] = {"recording": closed.outcome.recording}
    if closed.outcome.transferred:
        how["transferred"] = True
    if len(closed.rec_ids) > 1:
        how["recordings"] = len(closed.rec_ids)
    return how
