"""What is kept of how a call went: verdicts, figures, the ladder, with just what the call's metadata class allows.

Class none leaves nothing. Class minimal keeps the hour of the call, and tells no more about its length than its record
does: no time on the ladder from the moment of the answer on, and no count of packets that would tell it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, timedelta
from typing import Any

from retention.metadata import MetadataClass, class_asked_by, strictest_class
from sip.calls.diagnosis import Diagnosis, LegFigures, Verdict
from sip.calls.history import CallHistory, Step
from sip.calls.observatory import Judged
from sip.edge.protocol import EdgeRequest
from storage import accounts, devices, diagnoses, lines
from storage.database import Database
from storage.diagnoses import CallDiagnosis
from storage.errors import NotFound
from storage.tx import Tx

MINIMAL_PACKETS = 500  # ten seconds: more is not counted where the length of a call is not kept


class DatabaseKeeper:
    """Fills ``sip.calls.observatory.Keeper``. ``days`` may change at any time; 0: nothing is kept."""

    def __init__(self, database: Database, days: int) -> None:
        self._database = database
        self.days = days

    async def keep(self, judged: Judged) -> None:
        """Raises StorageError."""
        if self.days <= 0:
            return
        async with self._database.transaction() as tx:
            class_ = await _class_of(tx, judged)
            if class_ is MetadataClass.NONE:
                return
            at = judged.began_at.astimezone(UTC)
            if class_ is not MetadataClass.STANDARD:
                at = at.replace(minute=0, second=0, microsecond=0)
            await diagnoses.add(
                tx,
                CallDiagnosis(
                    call_id=judged.call_id,
                    at=at,
                    expires_at=at + timedelta(days=self.days),
                    verdict=judged.diagnosis.verdicts[0].id,
                    mos_centi=judged.diagnosis.mos_centi,
                    facts=facts(judged.history, judged.diagnosis, exact=class_ is MetadataClass.STANDARD),
                ),
            )


async def _class_of(tx: Tx, judged: Judged) -> MetadataClass:
    if judged.request is None:
        return MetadataClass.parse(judged.metadata_class)
    return await _class_of_refused(tx, judged.request)


async def _class_of_refused(tx: Tx, request: EdgeRequest) -> MetadataClass:
    """Never exact; nothing at all where somebody protected is concerned, or where nobody can tell."""
    if request.trunk:
        return MetadataClass.NONE
    try:
        caller = await accounts.get(tx, (await devices.by_auth_user(tx, request.auth_user)).account_id)
    except NotFound:
        return MetadataClass.NONE
    named = [caller.metadata_class]
    line = await lines.by_number(tx, request.request_user)
    by_purpose = class_asked_by(line.pack) if line is not None else None
    if line is not None:
        named.append(line.metadata_class)
        named += [(await accounts.get(tx, member)).metadata_class for member in line.members]
    elif (called := await accounts.by_dialled(tx, request.request_user)) is not None:
        named.append(called.metadata_class)
    known = [MetadataClass.parse(each) for each in named if each is not None]
    return strictest_class([MetadataClass.MINIMAL, *known, *([by_purpose] if by_purpose is not None else [])])


# --- as JSON ------------------------------------------------------------------------------------------------------


def facts(history: CallHistory, diagnosis: Diagnosis, *, exact: bool) -> dict[str, Any]:
    """What is kept; whole numbers, kinds and ids only. Not ``exact``: without what tells how long was talked."""
    return {
        "cause": history.cause,
        "code": history.code,
        "transfers": history.transfers,
        "troubles": [list(trouble) for trouble in history.troubles],
        "verdicts": [asdict(verdict) for verdict in diagnosis.verdicts],
        "legs": [asdict(leg if exact else _short(leg)) for leg in diagnosis.legs],
        "ladder": [list(_untimed(step, history, exact=exact)) for step in history.ladder],
        "left_out": history.left_out if exact else min(history.left_out, 1),
        "mos_centi": diagnosis.mos_centi,
    }


def _short(leg: LegFigures) -> LegFigures:
    return replace(
        leg, rx_packets=min(leg.rx_packets, MINIMAL_PACKETS), tx_packets=min(leg.tx_packets, MINIMAL_PACKETS)
    )


def _untimed(step: Step, history: CallHistory, *, exact: bool) -> tuple[int | None, str, bool, str]:
    answered = [leg.up_ms for leg in history.legs if leg.up_ms is not None]
    shown = exact or step.at_ms is None or not answered or step.at_ms <= min(answered)
    return (step.at_ms if shown else None, step.leg, step.inward, step.what)


def verdicts_of(kept: Mapping[str, Any]) -> tuple[Verdict, ...]:
    """Of facts that were kept."""
    return tuple(Verdict(each["id"], each["leg"], each["values"]) for each in kept["verdicts"])


def trunk_legs(kept: Mapping[str, Any]) -> frozenset[str]:
    """Legs that lead to a provider."""
    legs: Iterable[Mapping[str, Any]] = kept["legs"]
    return frozenset(each["leg"] for each in legs if each["trunk"])
