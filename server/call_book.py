"""What a call leaves in writing: acts of consent in the ledger, and one record with just the fields of its class."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from config import metadata_ages
from config import packs as pack_data
from config.packs import Pack
from retention import metadata
from retention.ageing import Aging, next_at
from retention.metadata import CallFacts, MetadataClass
from sip.calls.plan import CallPlan, Evidence
from sip.calls.ports import ClosedCall
from storage import call_records, contact_attempts, evidence, policy_samples
from storage.call_records import CallRecord
from storage.database import Database
from storage.evidence import ConsentEvidence
from storage.tx import Tx

log = logging.getLogger(__name__)

_NOT_MADE = frozenset({"trunk-failed", "failed", "engine-lost"})
_RECORDED = frozenset({"recorded", "cut", "objected"})  # also what an objection destroyed was recorded once
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
            policy_version=decision.policy,
            rec_id=rec_id,
        )
        async with self._database.transaction() as tx:
            return (await evidence.record(tx, entry, now)).seq

    async def close(self, closed: ClosedCall) -> None:
        """Write the record. Its number is found again only where the class keeps it."""
        plan = closed.plan
        class_ = MetadataClass.parse(closed.outcome.metadata_class or plan.metadata_class)
        kept = metadata.reduce(_facts(closed), class_, packs=_packs(plan, class_))
        async with self._database.transaction() as tx:
            if plan.contact is not None:
                await contact_attempts.ended(tx, plan.contact.attempt_id, _outcome(closed))
            await _count(tx, closed)
            await call_records.count(tx, kept.totals.day, kept.totals.direction, kept.totals.minutes)
            if kept.at is None or kept.expires_at is None:
                return  # class none: nothing that leads to a call or a person
            fields = {**kept.fields, **_how(closed), **_permission(plan, kept.metadata_class), **_policy(plan)}
            written = Aging(plan.call_id, str(kept.metadata_class), kept.at, kept.expires_at, fields, kept.numbers)
            record = CallRecord(
                id=plan.call_id,
                line_id=plan.line_id if kept.metadata_class is MetadataClass.STANDARD else None,
                metadata_class=str(kept.metadata_class),
                purpose=kept.pack,
                legal_basis=kept.legal_basis,
                at=kept.at,
                expires_at=kept.expires_at,
                fields=fields,
                recording_id=closed.rec_id,
                ages_at=next_at(written, metadata_ages.load(), kept.at) or kept.expires_at,
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


def _permission(plan: CallPlan, metadata_class: MetadataClass) -> dict[str, object]:
    """By which rule somebody was contacted; on which evidence only where the record holds their number anyway, because
    the evidence leads to it."""
    if plan.contact is None:
        return {}
    said: dict[str, object] = {"contact_rule": plan.contact.rule}
    if metadata_class is MetadataClass.STANDARD and plan.contact.evidence:
        said["contact_evidence"] = plan.contact.evidence
    return said


def _policy(plan: CallPlan) -> dict[str, object]:
    return {} if plan.policy is None else {"policy": plan.policy.version}


def _packs(plan: CallPlan, class_: MetadataClass) -> Mapping[str, Pack]:
    """The policy's own period of its own pack; one that is stricter than the policy is kept no longer than either."""
    every = pack_data.load()
    mark, pack = plan.policy, every[metadata.pack_of(class_)]
    if mark is None or mark.records_kept is None or pack.retention is None:
        return every
    longer = pack.retention.at_least_as_long_as(mark.records_kept)
    if pack.id != mark.records and not longer:
        return every
    return {**every, pack.id: replace(pack, retention=mark.records_kept)}


async def _count(tx: Tx, closed: ClosedCall) -> None:
    """A sampled line's conversation is counted; a place that was drawn and not used is given back."""
    sample = closed.plan.policy.sample if closed.plan.policy is not None else None
    if sample is None:
        return
    recorded = bool(closed.rec_ids) or closed.outcome.recording in _RECORDED
    held = closed.talk_s > 0 or recorded
    await policy_samples.add(
        tx, sample.subject, sample.day, held=int(held), taken=-1 if sample.drawn and not recorded else 0
    )


def _outcome(closed: ClosedCall) -> str:
    if closed.talk_s > 0:
        return "answered"
    return "failed" if closed.outcome.cause in _NOT_MADE else "not_answered"


def _how(closed: ClosedCall) -> dict[str, object]:
    """What became of the conversation: no more than a word and two counts."""
    how: dict[str, object] = {"recording": closed.outcome.recording}
    if closed.outcome.transferred:
        how["transferred"] = True
    if len(closed.rec_ids) > 1:
        how["recordings"] = len(closed.rec_ids)
    return how
