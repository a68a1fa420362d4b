"""Who joins a conversation that goes on, and on which terms."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from urllib.parse import unquote

from retention import recording_decision as decisions
from retention.metadata import MetadataClass, strictest_class
from sip.calls import emergency
from sip.calls.forwarding import UNKNOWN, Link
from sip.calls.joining import FAILED
from sip.calls.plan import CallPlan, Joining, Party, Refusal, TransferRequest
from sip.calls.planning_bench import Bench, Called
from sip.calls.planning_outside import WayOut
from sip.calls.planning_policy import rejoin
from sip.calls.planning_terms import account_party, of_ceilings, outside_party
from storage import accounts, lines
from storage.errors import NotFound
from storage.lines import Line
from storage.tx import Tx

LETTER = "c"
OUTSIDE_MAY_NOT = Refusal(403, "Only Phones Of The House May Transfer", "not-permitted")


class Transfers:
    """Plans them. What is asked of whoever joins follows the purpose of the first call's line."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    async def plan_transfer(self, transfer: TransferRequest, now: datetime) -> Joining | Refusal:
        """Blind: the target is dialled by the permission of whoever transfers; where an operator has somebody outside
        leave, by that of the account that stays."""
        bench = self._bench
        account_id = transfer.referrer.account_id
        if transfer.by_operator:
            account_id = account_id or transfer.stays.account_id
        if account_id is None:
            return OUTSIDE_MAY_NOT
        dialled = unquote(transfer.target).partition(";")[0]
        async with bench.database.read() as tx:
            try:
                referrer = await accounts.get(tx, account_id)
            except NotFound:
                return OUTSIDE_MAY_NOT
            if referrer.disabled_at is not None:
                return OUTSIDE_MAY_NOT
            if emergency.recognise(dialled, bench.site) is not None:
                return Refusal(403, "Dial Emergency Numbers By Hand", "not-permitted")
            to = await bench.destination(tx, referrer, dialled, now)
            if isinstance(to, Refusal):
                return to
            if isinstance(to, Called) and to.line is not None and to.line.kind != "ring":
                return UNKNOWN
            line = await self._line(tx, transfer.plan)
            found = await bench.draft(tx, to.members if isinstance(to, Called) else (), now)
        builder = await bench.builder(found, transfer.stays.account_id, letter=LETTER)
        if isinstance(builder, Refusal):
            return builder
        refusal = builder.lead(to.lead if isinstance(to, Called) else to.outside, Link())
        if refusal is not None:
            return refusal
        if isinstance(to, WayOut):
            made = await bench.contact(to, now)
            if isinstance(made, Refusal):
                return made
        if isinstance(to, Called):
            joins = account_party(to.members[0])
            if to.line is not None:
                named = to.line
                joins = Party(None, named.number, named.name, named.language or joins.language, joins.country)
            classes = [member.metadata_class for member in to.members]
            members = [member.id for member in to.members]
            parties = [decisions.Party(LETTER, "staff", joins.country, language=joins.language)]
        else:
            joins, classes, members = to.outside.party, ["none"] if to.number.help_line else [], []
            objects = await bench.objects(to.number.e164, now)
            parties = [outside_party(LETTER, joins.country, joins.language, objects=objects)]
        joining = await self._joining(transfer.plan, line, transfer.stays, joins, parties, classes, now, members)
        others = of_ceilings(builder.stages, transfer.stays.language, joins.language)
        others.append((FAILED, transfer.referrer.language))
        prompts = dict(joining.prompts) | await bench.terms.speak(bench.terms.decide(None, (), now), others)
        return replace(joining, stages=tuple(builder.stages), prompts=prompts)

    async def plan_joining(self, first: CallPlan, stays: Party, joins: Party, now: datetime) -> Joining:
        """Attended: ``joins`` is on the line already."""
        classes: list[str | None] = []
        async with self._bench.database.read() as tx:
            line = await self._line(tx, first)
            if joins.account_id is not None:
                with contextlib.suppress(NotFound):
                    classes.append((await accounts.get(tx, joins.account_id)).metadata_class)
        if joins.account_id is not None:
            parties = [decisions.Party(LETTER, "staff", joins.country, language=joins.language)]
        else:
            objects = await self._bench.objects(joins.number, now)
            parties = [outside_party(LETTER, joins.country, joins.language, objects=objects)]
        return await self._joining(first, line, stays, joins, parties, classes, now)

    async def _line(self, tx: Tx, plan: CallPlan) -> Line | None:
        if plan.line_id is None:
            return None
        try:
            return await lines.get(tx, plan.line_id)
        except NotFound:
            return None

    async def _joining(
        self,
        first: CallPlan,
        line: Line | None,
        stays: Party,
        joins: Party,
        parties: list[decisions.Party],
        classes: list[str | None],
        now: datetime,
        members: Sequence[str] = (),
    ) -> Joining:
        """``members``: account ids of those of whom one will answer."""
        terms = self._bench.terms
        role = "outside" if stays.account_id is None else "staff"
        there = decisions.Party("s", role, stays.country, language=stays.language)  # type: ignore[arg-type]
        ids = [one.account_id for one in (stays, joins) if one.account_id is not None]
        decision, class_ = await rejoin(terms, first, line, [*ids, *members], [there, *parties], now)
        # Who stays was asked in the first call's mode. Where the newcomer's country asks for more, nobody is asked
        # twice: the conversation goes on without recording.
        recorded = decision.record and decision.mode <= first.recording.mode
        asked = tuple(each for each in decision.legs if each.leg == LETTER) if recorded else ()
        speaking = replace(decision, legs=asked)
        found = [MetadataClass.parse(each) for each in (first.metadata_class, class_, *classes) if each is not None]
        prompts = await terms.speak(speaking, [(FAILED, stays.language)])
        return Joining((), joins, asked, prompts, str(strictest_class(found)))
