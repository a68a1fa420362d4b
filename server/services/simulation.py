"""What a version of the policy would have done with the calls of the past: asked by the same decisions as calls ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from config import packs as pack_data
from retention import recording_decision as decisions
from retention.metadata import MetadataClass, pack_of
from retention.policy import PolicyError, Rule, moment
from retention.policy_rules import CallAbout, Governed, govern, longest_kept
from retention.recording_decision import RecordingDecision
from retention.simulation import ALL, Alike, Bundle, Row, Said, Side, compare, leaving
from server import policy_desk
from server.company import company_facts
from server.counters import past_calls
from server.failure import Failure
from server.past_calls import Who
from server.policy_desk import Known
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.policies import refused, version
from server.services.policy_house import known
from sip.calls import planning_policy, planning_terms
from sip.calls.planning_terms import policy as own_policy
from storage import accounts, call_records, history, lines
from storage.accounts import Account
from storage.history import KeptThings
from storage.lines import Line
from storage.tx import Tx

YEAR = timedelta(days=366)
ROWS = 200
_OWN = "the lines speak for themselves: no policy is in force"


@dataclass(frozen=True, slots=True)
class Sums:
    """Fields: see `server.commands.simulation.SUMS`."""

    recorded: int
    asked: int
    may_end: int
    purposes: Mapping[str, int]
    classes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class MonthView:
    """Fields: see `server.commands.simulation.MONTHS`."""

    month: str
    calls: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class RowView:
    """Fields: see `server.commands.simulation.ROWS`."""

    line: str | None
    direction: str
    country: str | None
    calls: int
    changes: bool
    before: str
    after: str
    why: str


@dataclass(frozen=True, slots=True)
class GoneView:
    """Fields: see `server.commands.simulation.GONE`."""

    kind: str
    pack: str
    earlier: int
    at_once: int


@dataclass(frozen=True, slots=True)
class SimulationView:
    """Fields: see `server.commands.simulation.FIELDS`."""

    number: int
    against: int | None
    starts: datetime
    since: datetime
    until: datetime
    calls: int
    talked: int
    recorded: int
    untold: int
    unattributed: int
    before: Sums
    after: Sums
    months: tuple[MonthView, ...]
    rows: tuple[RowView, ...]
    rows_left_out: int
    kept: int
    gone: tuple[GoneView, ...]
    leaving: tuple[MonthView, ...]


@dataclass(frozen=True, slots=True)
class House:
    """What decisions need to know. `told`: accounts that some rule is about, or that have a class of their own."""

    company: decisions.CompanyFacts
    known: Known
    lines: Mapping[str, Line]
    accounts: Mapping[str, Account]
    told: frozenset[str]
    by_number: Mapping[str, str]  # name or extension -> account id


async def simulate(
    services: Services,
    actor: Actor,
    *,
    number: int,
    against: int | None = None,
    since: str | None = None,
    until: str | None = None,
) -> SimulationView:
    """Version `number` on the calls that began between the two days (default: the year up to now), compared with
    version `against` (default: what is in force). Changes nothing. Raises Failure."""
    now = services.clock().astimezone(UTC)
    first, last = _span(since, until, now)
    async with services.db.transaction() as tx:
        found = await known(services, tx)
        wanted, other = version(found, number), version(found, against) if against is not None else None
        house = await _house(services, tx, found, (*wanted.policy.rules, *(other.policy.rules if other else ())), now)
        await note(services, tx, actor, "test", "policy", policy_version=number)
    async with services.db.read() as tx:  # nobody waits for these
        totals = await call_records.totals(tx)
        kept = await history.kept(tx)
    who = Who(house.company.country, house.by_number, house.told)
    counted = await past_calls(services, who, first, last)
    starts = max(now, wanted.policy.valid_from or now)
    before = _asked(house, lambda about: _holding(house, other, about, now), starts)
    after = _asked(house, lambda about: govern(wanted.policy, about, pack_data.load()), starts)
    compared = await asyncio.to_thread(compare, counted.calls, before, after)
    bundles = [_bundle(one) for one in kept]
    goes = leaving(bundles, longest_kept(wanted.policy, pack_data.load()), pack_data.load(), starts)
    in_all = sum(one.calls for one in totals if first.date() <= date.fromisoformat(one.day) < last.date())
    names = {line.id: line.name for line in house.lines.values()}
    holds = other.policy.number if other is not None else _in_force(house, now)
    return SimulationView(
        number=number,
        against=holds,
        starts=starts,
        since=first,
        until=last,
        calls=compared.happened.calls,
        talked=compared.happened.talked,
        recorded=compared.happened.recorded,
        untold=max(0, in_all - compared.happened.calls),
        unattributed=counted.unattributed if _speaks_of_people(wanted.policy.rules) else 0,
        before=_sums(compared.before),
        after=_sums(compared.after),
        months=tuple(
            MonthView(month, calls.calls, round(one.recorded / ALL), round(two.recorded / ALL))
            for month, (calls, one, two) in compared.months.items()
        ),
        rows=tuple(_row(row, names) for row in compared.rows[:ROWS]),
        rows_left_out=max(0, len(compared.rows) - ROWS),
        kept=goes.kept,
        gone=tuple(
            GoneView(kind, pack, count, goes.at_once[kind, pack])
            for (kind, pack), count in sorted(goes.earlier.items())
        ),
        leaving=tuple(MonthView(month, sum(both), *both) for month, both in goes.months.items()),
    )


def _span(since: str | None, until: str | None, now: datetime) -> tuple[datetime, datetime]:
    try:
        last = moment("to", until) if until else now
        first = moment("from", since) if since else last - YEAR
    except PolicyError as error:
        raise refused(error) from None
    if not first < last:
        raise Failure("that time ends before it begins", "Give --from a day before --to", "invalid")
    return first, last


async def _house(services: Services, tx: Tx, found: Known, rules: Sequence[Rule], now: datetime) -> House:
    holding = [one.policy.rules for one in found.versions]
    every = {account.id: account for account in await accounts.list_all(tx)}
    told = {one.id for one in every.values() if one.metadata_class is not None}
    for rule in (*rules, *(rule for of in holding for rule in of)):
        told |= {rule.scope.account} if rule.scope.account else set()
        told |= found.groups.get(rule.scope.group or "", frozenset())
    by_number = {name: one.id for one in every.values() for name in (one.name, one.extension) if name}
    by_line = {line.id: line for line in await lines.list_all(tx)}
    return House(company_facts(services.settings), found, by_line, every, frozenset(told), by_number)


# --- what is said of it -----------------------------------------------------------------------------------------------


def _asked(house: House, ask: Callable[[CallAbout], Governed | None], at: datetime) -> Callable[[Alike], Said]:
    """Each kind of call is asked about once."""
    answers: dict[Alike, Said] = {}

    def said(alike: Alike) -> Said:
        key = replace(alike, month="")
        if key not in answers:
            answers[key] = _said(house, key, ask, at)
        return answers[key]

    return said


def _said(house: House, alike: Alike, ask: Callable[[CallAbout], Governed | None], at: datetime) -> Said:
    line = house.lines.get(alike.line or "")
    present = [house.accounts[each] for each in sorted(alike.accounts)]
    parties = _parties(alike)
    about = planning_policy.about_call(line, alike.accounts, parties, alike.direction, house.company.country)
    groups = frozenset(each for each, members in house.known.groups.items() if members & alike.accounts)
    governed = ask(replace(about, groups=groups))
    if governed is None:
        decision = decisions.decide(own_policy(line), parties, house.company, at)
        return _answer(decision, ALL, planning_terms.metadata_class(present, line), _OWN)
    decision = planning_policy.decide(governed, line, parties, house.company, at)
    share = governed.sampling.per_mille if governed.sampling is not None else ALL
    return _answer(decision, share, planning_policy.class_of(governed, present, line), governed.why)


def _parties(alike: Alike) -> list[decisions.Party]:
    staff, outside = decisions.Party("b", "staff"), decisions.Party("a", "outside", alike.country)
    return [decisions.Party("a", "staff"), staff] if alike.direction == "internal" else [outside, staff]


def _answer(decision: RecordingDecision, share: int, metadata_class: str, why: str) -> Said:
    if not decision.record:
        return Said(0, "", "", metadata_class, False, decision.rule)
    ends = any(leg.on_refusal == "end_call" for leg in decision.legs)
    return Said(share, decision.pack, str(decision.mode), metadata_class, ends, f"{why}; {decision.rule}")


def _holding(house: House, other: Any, about: CallAbout, now: datetime) -> Governed | None:
    if other is not None:
        return govern(other.policy, about, pack_data.load())
    return policy_desk.governed(house.known, about, now)


def _in_force(house: House, now: datetime) -> int | None:
    about = CallAbout(None, frozenset(), frozenset(), "internal")
    holds = policy_desk.governed(house.known, about, now)
    return None if holds is None else holds.policy


def _speaks_of_people(rules: Sequence[Rule]) -> bool:
    return any(rule.scope.account or rule.scope.group for rule in rules)


def _bundle(one: KeptThings) -> Bundle:
    pack = one.label if one.kind == "recording" else pack_of(MetadataClass.parse(one.label))
    return Bundle(one.kind, pack, one.began, one.expires_at, one.count)


# --- for people -------------------------------------------------------------------------------------------------------


def _sums(side: Side) -> Sums:
    purposes = {pack: round(count / ALL) for pack, count in sorted(side.purposes.items())}
    return Sums(
        round(side.recorded / ALL), round(side.asked / ALL), side.may_end, purposes, dict(sorted(side.classes.items()))
    )


def _row(row: Row, names: Mapping[str, str]) -> RowView:
    line = names.get(row.line, row.line) if row.line is not None else None
    return RowView(
        line, row.direction, row.country, row.happened.calls, row.changes, in_words(row.before), in_words(row.after),
        row.after.why,
    )  # fmt: skip


def in_words(said: Said) -> str:
    """Short, for a table: "REC_QUALITY 3 %, opt-out; standard"."""
    if not said.per_mille:
        return f"not recorded; {said.metadata_class}"
    share = "" if said.per_mille == ALL else f" {said.per_mille / 10:g} %"
    return f"{said.pack}{share}, {said.mode}; {said.metadata_class}"
