"""Why somebody was not heard: what is known of a call, in plain words, while it goes on and for some days after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from config import verdicts as texts
from server import diagnoses as kept
from server.failure import Failure
from server.services.actor import Actor
from server.services.audit import note
from server.services.belonging import theirs
from server.services.context import Services
from sip.calls.diagnosis import Verdict, judge
from storage import diagnoses
from storage.diagnoses import CallDiagnosis
from storage.errors import NotFound
from storage.tx import Tx

Language = Literal["fr", "en"]
LEAST_ID = 6  # characters of an id that name a call
US = "Beffroi"
_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class VerdictView:
    """One verdict, in words."""

    id: str
    kind: str
    leg: str
    says: str
    remedy: str
    values: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RungView:
    """One line of the ladder."""

    ms: int | None
    sender: str
    receiver: str
    what: str


@dataclass(frozen=True, slots=True)
class WhyView:
    """Fields: see `server.commands.why.FIELDS`."""

    id: str
    at: datetime | None
    live: bool
    verdict: str
    says: str
    remedy: str
    mos: float | None
    verdicts: Sequence[VerdictView]
    legs: Sequence[Mapping[str, Any]]
    ladder: Sequence[RungView]
    left_out: int
    transfers: int
    troubles: Sequence[str]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class TroubleView:
    """Fields: see `server.commands.why.LIST_FIELDS`."""

    id: str
    at: datetime | None
    live: bool
    mos: float | None
    verdict: str
    says: str


async def why(services: Services, actor: Actor, *, call_id: str, language: Language = "en") -> WhyView:
    """Of a call that goes on, or that is over. Raises Failure."""
    if len(call_id) < LEAST_ID:
        raise Failure(f"{call_id} may be any call", f"Give {LEAST_ID} characters of its id at least", "misuse")
    return await _going(services, actor, call_id, language) or await _over(services, actor, call_id, language)


async def whys(
    services: Services, actor: Actor, *, language: Language = "en", limit: int = 20, problems: bool = False
) -> list[TroubleView]:
    """The newest first; ``problems``: only calls in which something was wrong."""
    async with services.db.transaction() as tx:
        found = await _newest(services, tx, actor, limit, problems=problems)
        await note(services, tx, actor, "list", "call", count=len(found))
    listed = []
    for each in found:
        view = _verdict(kept.verdicts_of(each.facts)[0], kept.trunk_legs(each.facts), language)
        listed.append(TroubleView(each.call_id, each.at, False, _mos(each.mos_centi), view.id, view.says))
    return listed


async def _newest(services: Services, tx: Tx, actor: Actor, limit: int, *, problems: bool) -> list[CallDiagnosis]:
    now, own = services.clock(), await theirs(tx, actor)
    if own is None:
        every = await diagnoses.list_all(tx, now, limit=None if problems else limit)
        return [one for one in every if _wanted(one, problems=problems)][:limit]
    found: list[CallDiagnosis] = []
    oldest, before = await diagnoses.oldest(tx, now), None
    while oldest is not None and len(found) < limit:
        records = await own.calls.newest(limit=_AT_ONCE, before=before)
        known = await diagnoses.of_calls(tx, [record.id for record in records], now)
        found += [one for one in known if _wanted(one, problems=problems)]
        if len(records) < _AT_ONCE or records[-1].at < oldest:
            break
        before = records[-1].at, records[-1].id
    return found[:limit]


def _wanted(one: CallDiagnosis, *, problems: bool) -> bool:
    return not problems or texts.load().verdicts[kept.verdicts_of(one.facts)[0].id].kind == "problem"


async def _going(services: Services, actor: Actor, call_id: str, language: str) -> WhyView | None:
    if services.observatory is None:
        return None
    seen = await _seen_live(services, actor)
    matching = [
        one for one in services.observatory.going() if one.startswith(call_id) and (seen is None or one in seen)
    ]
    if len(matching) != 1 or (history := await services.observatory.look(matching[0])) is None:
        return None
    diagnosis = judge(history)
    async with services.db.transaction() as tx:  # it may be a protected call: its id goes nowhere
        await note(services, tx, actor, "show", "call")
    return _view(matching[0], kept.facts(history, diagnosis, exact=True), language, at=None, expires_at=None, live=True)


async def _seen_live(services: Services, actor: Actor) -> set[str] | None:
    """Ids of the calls that go on and are the actor's to see; None: all."""
    async with services.db.read() as tx:
        own = await theirs(tx, actor)
    return (
        None
        if own is None
        else {call.call_id for call in (services.calls.live() if services.calls else ()) if own.live(call)}
    )


async def _over(services: Services, actor: Actor, call_id: str, language: str) -> WhyView:
    now = services.clock()
    async with services.db.transaction() as tx:
        full = await _full_id(services, tx, actor, call_id)
        try:
            found = await diagnoses.get(tx, full, now)
        except NotFound:
            raise _unknown(services, call_id) from None
        await note(services, tx, actor, "show", "call", call_id=found.call_id)
    return _view(found.call_id, found.facts, language, at=found.at, expires_at=found.expires_at, live=False)


async def _full_id(services: Services, tx: Tx, actor: Actor, call_id: str) -> str:
    matching = await diagnoses.beginning_with(tx, call_id, services.clock())
    own = await theirs(tx, actor)
    if own is not None:
        matching = tuple(await own.calls.among(matching))
    if len(matching) > 1:
        raise Failure(f"several calls begin with {call_id[:32]}", "Give more of the id", "misuse")
    if not matching:
        raise _unknown(services, call_id)
    return matching[0]


def _unknown(services: Services, call_id: str) -> Failure:
    days = services.settings.calls.diagnosis_days
    remedy = f"Calls are explained for {days} days (calls.diagnosis_days), protected ones never: beffroi calls why"
    if days == 0:
        remedy = "Nothing is kept of how calls went: set calls.diagnosis_days above 0"
    return Failure(f"nothing is known of how call {call_id[:32]} went", remedy, "not_found")


# --- in words -----------------------------------------------------------------------------------------------------


def _view(
    call_id: str,
    facts: Mapping[str, Any],
    language: str,
    *,
    at: datetime | None,
    expires_at: datetime | None,
    live: bool,
) -> WhyView:
    trunks = kept.trunk_legs(facts)
    views = [_verdict(verdict, trunks, language) for verdict in kept.verdicts_of(facts)]
    legs = [{**leg, "name": _leg_name(leg["leg"], trunk=leg["trunk"]), **_scores(leg)} for leg in facts["legs"]]
    return WhyView(
        id=call_id,
        at=at,
        live=live,
        verdict=views[0].id,
        says=views[0].says,
        remedy=views[0].remedy,
        mos=_mos(facts["mos_centi"]),
        verdicts=views,
        legs=legs,
        ladder=[_rung(rung, trunks) for rung in facts["ladder"]],
        left_out=facts["left_out"],
        transfers=facts["transfers"],
        troubles=[" ".join(part for part in trouble if part) for trouble in facts["troubles"]],
        expires_at=expires_at,
    )


def _verdict(verdict: Verdict, trunks: Iterable[str], language: str) -> VerdictView:
    shipped = texts.load()
    return VerdictView(
        verdict.id,
        shipped.verdicts[verdict.id].kind,
        verdict.leg,
        shipped.says(verdict.id, language, verdict.values, verdict.leg, trunk=verdict.leg in trunks),
        shipped.remedy(verdict.id, language),
        verdict.values,
    )


def _rung(rung: Sequence[Any], trunks: Iterable[str]) -> RungView:
    at_ms, leg, inward, what = rung
    name = _leg_name(leg, trunk=leg in trunks)
    return RungView(at_ms, name if inward else US, US if inward else name, what)


def _leg_name(leg: str, *, trunk: bool) -> str:
    """A leg j leads to another of our workers, where the other half of a transferred call is."""
    kind = "relay" if leg.startswith("j") else "trunk" if trunk else "phone"
    return f"{kind} {leg.upper()}"


def _scores(leg: Mapping[str, Any]) -> dict[str, float | None]:
    return {"mos_in": _mos(leg["mos_in_centi"]), "mos_out": _mos(leg["mos_out_centi"])}


def _mos(centi: int | None) -> float | None:
    return None if centi is None else centi / 100
