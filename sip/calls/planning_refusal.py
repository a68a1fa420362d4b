"""Plans what a phone of the house hears where its call was refused."""

from __future__ import annotations

from datetime import datetime

from sip.calls.plan import CallPlan, LineKind, Party, Refusal
from sip.calls.planning_bench import Bench
from sip.calls.planning_directory import caller_of
from sip.calls.planning_terms import NO_TRACE, account_party
from sip.edge.protocol import EdgeRequest


async def plan(bench: Bench, request: EdgeRequest, refusal: Refusal, now: datetime) -> CallPlan | None:
    """None where the status has to do: nobody of the house has called, there is nothing to be said about it, or it
    cannot be said. It leaves no trace: the refusal itself is written down where refusals are."""
    if request.trunk or not refusal.prompt:
        return None
    async with bench.database.read() as tx:
        known = await caller_of(tx, request.auth_user)
    if isinstance(known, Refusal):
        return None
    _, caller = known
    terms = bench.terms
    language = terms.language(caller.language, caller.country, None)
    decision = terms.nothing(now)
    prompts = await terms.speak(decision, [(refusal.prompt, language)])
    if not prompts:
        return None
    return bench.plan(
        line_id=None,
        kind=LineKind.REFUSAL,
        caller=account_party(caller, language),
        callee=Party(None, "", "", language, bench.site.country),
        stages=(),
        recording=decision,
        metadata_class=NO_TRACE,
        prompts=prompts,
        service=refusal.prompt,
        refusal=refusal,
        wideband=request.g722,
    )
