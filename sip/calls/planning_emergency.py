"""A call for help: planned before it is asked who calls, refused only where there is no trunk at all.

Neither identity nor limits, full channels or the state of a trunk keep it from being tried; where one trunk does not
take it, the next one is asked, and after the last the first once more.

The daemon has a planner in front that needs no database (``server/emergency_planner.py``); it asks this one where a
statute obliges to record the call, and does without where no answer comes in time.
"""

from __future__ import annotations

from datetime import datetime
from urllib.parse import unquote

from config.emergency import EmergencyNumber
from sip.calls import emergency
from sip.calls.forwarding import NOT_TAKEN, TRUNK_FAILED, Builder, Link, Snapshot
from sip.calls.numbers import Number, NumberClass
from sip.calls.plan import CallPlan, LineKind, Party, Refusal, TrunkTarget
from sip.calls.planning_bench import Bench
from sip.calls.planning_directory import caller_of
from sip.calls.planning_outside import NO_TRUNK
from sip.calls.planning_policy import for_help
from sip.calls.planning_terms import DEFAULT_CLASS, NO_TRACE, account_party, outside_party, staff_parties
from sip.edge.protocol import EdgeRequest
from storage import lines
from storage.accounts import Account
from storage.lines import Line

PACK = "REC_EMERGENCY"
RING_S = 120.0  # a control room may let it ring for long
ANY_FAILURE = TRUNK_FAILED | NOT_TAKEN


class ForHelp:
    """Plans them."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def recognise(self, request: EdgeRequest) -> EmergencyNumber | None:
        """From memory: whatever it waited for would hold up an ambulance."""
        if request.trunk or request.kind != "invite":
            return None
        return emergency.recognise(unquote(request.request_user), self._bench.site)

    async def plan(self, request: EdgeRequest, wanted: EmergencyNumber, now: datetime) -> CallPlan | Refusal:
        bench, terms = self._bench, self._bench.terms
        number = Number(wanted.number, NumberClass.EMERGENCY, bench.site.country)
        habits = bench.ways.habits
        caller, every, targets = await self._known(request, number)
        country = bench.site.country
        language = terms.language(caller.language if caller is not None else None, country, None)
        party = (
            account_party(caller, language) if caller is not None else Party(None, "anonymous", "", language, country)
        )
        parties = [*staff_parties("a", [caller] if caller is not None else []), outside_party("b", country)]
        line, decision, mark = await for_help(terms, PACK, caller, every, parties, now)
        fields = {
            "line_id": line.id if line is not None else None,
            "caller": party,
            "callee": Party(None, wanted.number, wanted.service, language, country),
            "recording": decision,
            "policy": mark,
            "metadata_class": NO_TRACE if wanted.discreet else DEFAULT_CLASS,
            "wideband": request.g722,
            "staff": frozenset({"a"}),
        }
        if habits.drill:
            prompt_id = "PROMPT_DRILL_SWITCHED_ON"
            prompts = await terms.speak(decision, [(prompt_id, language)])
            return bench.plan(kind=LineKind.DRILL, stages=(), prompts=prompts, service=prompt_id, **fields)
        builder = Builder(Snapshot({}), None, RING_S)
        link = Link()
        for target in (*targets, *targets[:1]) if len(targets) > 1 else targets * 2:
            link = Link(builder.one(target, link, fields["callee"]), ANY_FAILURE)  # type: ignore[arg-type]
        if not builder.stages:
            return NO_TRUNK
        return bench.plan(
            kind=LineKind.RING,
            stages=tuple(builder.stages),
            prompts={},
            emergency=True,
            direction="outbound",
            **(fields | {"ring_timeout_s": RING_S * len(builder.stages)}),
        )

    async def _known(
        self, request: EdgeRequest, number: Number
    ) -> tuple[Account | None, tuple[Line, ...], tuple[TrunkTarget, ...]]:
        """Who calls, all lines (one may have the duty to record it), and the ways out. An unknown phone calls too."""
        bench, habits = self._bench, self._bench.ways.habits
        async with bench.database.read() as tx:
            known = await caller_of(tx, request.auth_user) if request.auth_user else None
            caller = None if known is None or isinstance(known, Refusal) else known[1]
            names = (caller.name if caller is not None else "", "default")
            location = next((habits.emergency_location[n] for n in names if n in habits.emergency_location), "")
            targets = await bench.ways.emergency_targets(tx, caller, number, location)
            return caller, await lines.list_all(tx), targets
