"""The plan of an emergency call, from what is in memory alone. Pure: no database, no prompt, no rule is asked.

Whoever calls gets through: an account that is disabled, over its ceiling, without a right to call outside, and a phone
that nobody knows. Nobody is asked for consent, nothing is recorded, nothing ends it but the two who talk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from config.emergency import EmergencyNumber
from retention import recording_decision as decisions
from sip.calls.plan import CallPlan, LineKind, Party, PromptFile, Stage, TrunkTarget

UNRECORDED = "REC_NONE"
DEFAULT_CLASS = "minimal"
DISCREET_CLASS = "none"  # whom somebody sought help from there is nobody's business
RING_S = 90.0  # each provider; a control room answers late on a bad day
LONGEST_S = 7 * 86_400.0
NEXT_AFTER = frozenset(
    {"trunk-failed", "failed", "busy", "declined", "not-available", "no-answer", "unknown"}
)  # whatever the first provider says, the second is tried


@dataclass(frozen=True, slots=True)
class HelpSeeker:
    """Who calls. An unknown phone has no account."""

    account_id: str | None
    name: str
    extension: str
    display: str
    language: str
    country: str
    metadata_class: str | None = None


NOBODY = HelpSeeker(None, "", "", "", "fr", "FR")


def plan(
    call_id: str,
    help_: EmergencyNumber,
    caller: HelpSeeker,
    targets: Sequence[TrunkTarget],
    *,
    company: decisions.CompanyFacts,
    now: datetime,
) -> CallPlan:
    """``targets`` in the order in which they are tried, one provider after the other."""
    party = callee(help_, caller)
    stages = [
        Stage((target,), RING_S, party, position - 1, NEXT_AFTER if position else frozenset())
        for position, target in enumerate(targets)
    ]
    return CallPlan(
        call_id=call_id,
        line_id=None,
        kind=LineKind.RING,
        caller=_party(caller),
        callee=party,
        stages=tuple(stages),
        recording=_unrecorded(caller, company, now),
        metadata_class=_metadata_class(help_, caller),
        prompts={},
        ring_timeout_s=RING_S * max(1, len(stages)),
        max_duration_s=LONGEST_S,
        direction="outbound",
        staff=frozenset({"a"}),
        emergency=True,
    )


def drill(
    call_id: str,
    help_: EmergencyNumber,
    caller: HelpSeeker,
    prompt: PromptFile | None,
    *,
    company: decisions.CompanyFacts,
    now: datetime,
) -> CallPlan:
    """An exercise: one announcement, and nothing leaves this machine."""
    prompts: Mapping[tuple[str, str], PromptFile] = {}
    if prompt is not None:
        prompts = {(prompt.prompt_id, prompt.language): prompt}
    return CallPlan(
        call_id=call_id,
        line_id=None,
        kind=LineKind.DRILL,
        caller=_party(caller, prompt.language if prompt is not None else ""),
        callee=callee(help_, caller),
        stages=(),
        recording=_unrecorded(caller, company, now),
        metadata_class=_metadata_class(help_, caller),
        prompts=prompts,
        service=prompt.prompt_id if prompt is not None else "",
    )


def callee(help_: EmergencyNumber, caller: HelpSeeker) -> Party:
    return Party(None, help_.number, "", caller.language, caller.country)


def _party(caller: HelpSeeker, language: str = "") -> Party:
    number = caller.extension or "anonymous"
    return Party(caller.account_id, number, caller.display, language or caller.language, caller.country)


def _unrecorded(caller: HelpSeeker, company: decisions.CompanyFacts, now: datetime) -> decisions.RecordingDecision:
    parties = [decisions.Party("a", "staff", caller.country), decisions.Party("b", "outside", company.country)]
    return decisions.decide(decisions.LinePolicy(pack=UNRECORDED), parties, company, now)


def _metadata_class(help_: EmergencyNumber, caller: HelpSeeker) -> str:
    return DISCREET_CLASS if help_.discreet else caller.metadata_class or DEFAULT_CLASS
