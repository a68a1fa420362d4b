"""On which terms a call is held under the company's policy: before it begins, when somebody joins, and for help.

Before the first version of a policy is in force, lines speak for themselves, and all of this asks them.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from config import packs as pack_data
from retention import recording_decision as decisions
from retention.consent import ConsentMode, strictest
from retention.metadata import Direction, MetadataClass, strictest_class
from retention.policy import share
from retention.policy_rules import CallAbout, Governed
from retention.recording_decision import LinePolicy, RecordingDecision
from sip.calls.plan import CallPlan, PolicyMark
from sip.calls.planning_terms import NO_TRACE, Terms, metadata_class, policy
from storage.accounts import Account
from storage.lines import Line

PRIVATE = "private, or a number that is never written down"


@dataclass(frozen=True, slots=True)
class Settled:
    """What holds for one call. The sample hangs on the call's id, so the id is chosen here."""

    call_id: str
    recording: RecordingDecision
    metadata_class: str
    policy: PolicyMark | None
    duty: bool = False  # a statute obliges to record it

    def fields(self) -> dict[str, Any]:
        """For a ``CallPlan``."""
        return {
            "call_id": self.call_id,
            "recording": self.recording,
            "metadata_class": self.metadata_class,
            "policy": self.policy,
        }


async def settle(
    terms: Terms,
    line: Line | None,
    accounts: Sequence[Account],
    parties: Sequence[decisions.Party],
    direction: Direction,
    now: datetime,
    *,
    traceless: bool = False,
) -> Settled:
    """``accounts``: of the house, on either side, whoever of several will answer. ``traceless``: a private call, or one
    to a help line: neither recorded nor written down, whatever the policy says. Raises StorageError."""
    call_id = secrets.token_hex(16)
    about = about_call(line, [one.id for one in accounts], parties, direction, terms.company.country)
    governed = await terms.policies.govern(about, now)
    if governed is None:
        own = None if traceless else line
        class_ = NO_TRACE if traceless else metadata_class(accounts, line)
        return Settled(call_id, terms.decide(own, parties, now), class_, None, _own_duty(line))
    duty = governed.recording is not None and governed.recording.needs_statute
    if traceless:
        decision = replace(decisions.not_recorded(None, PRIVATE), policy=governed.policy)
        return Settled(call_id, decision, NO_TRACE, mark(governed), duty)
    decision, sample = decide(governed, line, parties, terms.company, now), None
    if decision.record and governed.sampling is not None:
        sample = await terms.policies.draw(governed, about, call_id, now)
        if not sample.drawn:
            decision = not_drawn(governed, decision)
    return Settled(call_id, decision, class_of(governed, accounts, line), replace(mark(governed), sample=sample), duty)


def about_call(
    line: Line | None, account_ids: Iterable[str], parties: Sequence[decisions.Party], direction: Direction, home: str
) -> CallAbout:
    """The facts that a policy looks at. The other party of an internal call is whoever is called."""
    role = "staff" if direction == "internal" else "outside"
    countries = frozenset(one.country or (home if one.role == "staff" else None) for one in parties if one.role == role)
    return CallAbout(line.id if line is not None else None, frozenset(account_ids), frozenset(), direction, countries)


def decide(
    governed: Governed,
    line: Line | None,
    parties: Sequence[decisions.Party],
    company: decisions.CompanyFacts,
    now: datetime,
) -> RecordingDecision:
    """The decision under the policy. A line's own choices count where they are stricter."""
    if governed.recording is None:
        decision = decisions.not_recorded(None, governed.why, "policy")
    else:
        own = line_policy(governed, line)
        decision = decisions.decide(own, parties, company, now, packs={own.pack: governed.recording})
        decision = replace(decision, rule=f"{decision.rule}; {governed.why}")
    return replace(decision, policy=governed.policy)


def line_policy(governed: Governed, line: Line | None) -> LinePolicy:
    """What the rule says, with what the line adds."""
    assert governed.recording is not None
    own = policy(line)
    chosen = [mode for mode in (governed.consent, own.consent) if mode is not None]
    consent: ConsentMode | None = strictest(chosen) if chosen else None
    if governed.recording.needs_statute:  # a duty leaves a line no choice
        consent = None
    return LinePolicy(
        pack=governed.recording.id,
        consent=consent,
        statute=governed.statute,
        ask_staff=own.ask_staff or governed.ask_staff,
        language=own.language,
        refuse_silence=governed.refuse_silence,
    )


def not_drawn(governed: Governed, decision: RecordingDecision) -> RecordingDecision:
    """Nobody is asked either: there is nothing to ask about."""
    assert governed.sampling is not None
    pack = pack_data.load().get(decision.pack)
    why = f"not drawn: {share(governed.sampling.per_mille)} of the calls of this line; {governed.why}"
    return replace(decisions.not_recorded(pack, why, "sampling"), policy=governed.policy)


def class_of(governed: Governed, accounts: Sequence[Account], line: Line | None) -> str:
    """What the policy says, or what an account asks for where that is stricter; a protected line stays protected."""
    asked = [MetadataClass.parse(one.metadata_class) for one in accounts if one.metadata_class is not None]
    if line is not None and line.metadata_class == NO_TRACE:
        asked.append(MetadataClass.NONE)
    return str(strictest_class([*asked, governed.metadata_class]))


def mark(governed: Governed) -> PolicyMark:
    return PolicyMark(governed.policy, governed.records.id, governed.records.retention)


def _own_duty(line: Line | None) -> bool:
    """A legal duty to record leaves nobody a choice."""
    pack = pack_data.load().get(policy(line).pack)
    return pack is not None and pack.needs_statute and not pack.never_records


# --- when somebody joins ----------------------------------------------------------------------------------------------


async def rejoin(
    terms: Terms,
    first: CallPlan,
    line: Line | None,
    account_ids: Sequence[str],
    parties: Sequence[decisions.Party],
    now: datetime,
) -> tuple[RecordingDecision, str | None]:
    """Whether the conversation ``first`` may be recorded with these parties, and which class the policy asks for now.
    The purpose stays: whoever joins brings none of their own. Raises StorageError."""
    if first.private or not first.recording.record:
        return terms.nothing(now), None
    about = about_call(line, account_ids, parties, first.direction, terms.company.country)
    governed = await terms.policies.govern(about, now)
    if governed is None:
        return terms.decide(line, parties, now), None
    decision = decide(governed, line, parties, terms.company, now)
    if decision.record and decision.pack != first.recording.pack:
        decision = replace(decisions.not_recorded(None, "it was begun for another purpose"), policy=governed.policy)
    return decision, str(governed.metadata_class)


# --- calls for help ---------------------------------------------------------------------------------------------------


async def for_help(
    terms: Terms,
    pack: str,
    caller: Account | None,
    every: Sequence[Line],
    parties: Sequence[decisions.Party],
    now: datetime,
) -> tuple[Line | None, RecordingDecision, PolicyMark | None]:
    """A line of the caller's that a statute obliges to record calls for help (``pack``), and how. Raises
    StorageError."""
    own = [line for line in every if caller is not None and caller.id in line.members and line.disabled_at is None]
    ids = [caller.id] if caller is not None else []
    found: Governed | None = None
    for line in (*own, None):
        about = about_call(line, ids, parties, "outbound", terms.company.country)
        found = await terms.policies.govern(about, now)
        if found is None:
            break
        if found.recording is not None and found.recording.id == pack:
            return line, decide(found, line, parties, terms.company, now), mark(found)
    if found is not None:
        return None, replace(terms.nothing(now), policy=found.policy), mark(found)
    obliged = next((line for line in own if line.pack == pack and line.statute), None)
    return obliged, terms.decide(obliged, parties, now), None
