"""Calls that come in by a trunk: which of our numbers is meant, and who calls, however the provider says it."""

from __future__ import annotations

from datetime import datetime, timedelta

from sip.calls import numbers
from sip.calls.forwarding import UNKNOWN, Builder, Link
from sip.calls.plan import CallPlan, LineKind, Party, Refusal
from sip.calls.planning_bench import Bench, Called
from sip.calls.planning_policy import settle
from sip.calls.planning_terms import of_ceilings, outside_party, staff_parties
from sip.edge.protocol import EdgeRequest
from storage import accounts, emergency_calls, lines, numbers_owned, trunks
from storage.accounts import Account
from storage.errors import NotFound
from storage.numbers_owned import OwnedNumber
from storage.trunks import Trunk
from storage.tx import Tx

CANVASSING = {"fr": "Démarchage", "en": "Sales call"}


class FromTrunks:
    """Plans them."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    async def plan(self, request: EdgeRequest, now: datetime) -> CallPlan | Refusal:
        bench = self._bench
        async with bench.database.read() as tx:
            try:
                trunk = await trunks.get(tx, request.trunk)
            except NotFound:
                return Refusal(403, "Unknown Trunk", "unknown-trunk")
            if not trunk.enabled:
                return Refusal(403, "Trunk Is Disabled", "unknown-trunk")
            owned = await self._owned(tx, request, trunk)
            if owned is None:
                return UNKNOWN
            called = await self._called(tx, owned)
            helped = await self._called_for_help(tx, owned, now)
            if called is None and helped is None:
                return UNKNOWN
            start = list(called.members) if called is not None else []
            found = await bench.draft(tx, [*start, *([helped] if helped is not None else [])], now)
        builder = await bench.builder(found, None)
        if isinstance(builder, Refusal):
            return builder
        if called is not None and called.line is not None and called.line.kind != LineKind.RING.value:
            return UNKNOWN  # an echo for anybody in the world would be a gift to whoever calls at our cost
        refusal = self._lead(builder, called, helped)
        if refusal is not None:
            return refusal
        return await self._plan(request, trunk, called, helped, builder, now)

    async def _owned(self, tx: Tx, request: EdgeRequest, trunk: Trunk) -> OwnedNumber | None:
        """Some providers put the number into the request URI, others into To and ask for the registered contact."""
        for sent in (request.request_user, request.to_user):
            e164 = numbers.caller(sent, self._bench.site)
            found = await numbers_owned.by_number(tx, e164) if e164 else None
            if found is not None and found.trunk_id in (None, trunk.id):
                return found
        return None

    async def _called(self, tx: Tx, owned: OwnedNumber) -> Called | None:
        try:
            if owned.line_id is not None:
                line = await lines.get(tx, owned.line_id)
                return await self._bench.called(tx, line) if line.disabled_at is None else None
            if owned.account_id is not None:
                account = await accounts.get(tx, owned.account_id)
                return Called(None, (account,)) if account.disabled_at is None else None
        except NotFound:
            pass
        return None

    async def _called_for_help(self, tx: Tx, owned: OwnedNumber, now: datetime) -> Account | None:
        """Whose emergency call showed this number a short while ago: the service may be calling back."""
        minutes = self._bench.ways.habits.callback_min
        if minutes <= 0:
            return None
        call = await emergency_calls.latest_of_presented(tx, owned.number, now - timedelta(minutes=minutes))
        if call is None or call.account_id is None:
            return None
        try:
            return await accounts.get(tx, call.account_id)
        except NotFound:
            return None

    def _lead(self, builder: Builder, called: Called | None, helped: Account | None) -> Refusal | None:
        if helped is None:
            assert called is not None
            return builder.lead(called.lead, Link())
        place = builder.snapshot.places[helped.id]
        if called is None or (called.line is None and called.members[0].id == helped.id):
            return builder.only_devices(place)
        # A number that others answer as well: the line goes on, and who called for help is rung along with it.
        refusal = builder.lead(called.lead, Link())
        if refusal is not None:
            return builder.only_devices(place)
        builder.join_first(place)
        return None

    async def _plan(
        self,
        request: EdgeRequest,
        trunk: Trunk,
        called: Called | None,
        helped: Account | None,
        builder: Builder,
        now: datetime,
    ) -> CallPlan:
        bench, terms = self._bench, self._bench.terms
        line = called.line if called is not None else None
        members = list(called.members) if called is not None else []
        e164 = numbers.caller(request.asserted or request.from_user, bench.site)
        e164 = e164 or numbers.caller(request.from_user, bench.site)
        country = numbers.country_of(e164) if e164 else None
        language = terms.language(None, country, line)
        hidden = request.private or not e164
        ours = [*members, *([helped] if helped is not None else [])]
        objects = await bench.objects(e164, now)
        parties = [outside_party("a", country, objects=objects), *staff_parties("b", members)]
        settled = await settle(terms, line, ours, parties, "inbound", now)
        shown = numbers.callable_back(e164, bench.site) if e164 and not request.private else "anonymous"
        return bench.plan(
            line_id=line.id if line is not None else None,
            kind=LineKind.RING,
            caller=Party(None, shown, self._display(e164, hidden), language, country),
            callee=self._callee(called, helped, language),
            stages=tuple(builder.stages),
            prompts=await terms.speak(settled.recording, of_ceilings(builder.stages, language)),
            caller_hidden=hidden,
            direction="inbound",
            staff=frozenset({"b"}),
            trunk_id=trunk.id,
            wideband=request.g722,
            **settled.fields(),
        )

    def _display(self, e164: str, hidden: bool) -> str:
        """What a phone shows beside the number: the ranges that canvassers have to use are named as such."""
        if hidden:
            return "Anonymous"
        if not numbers.is_canvassing(e164):
            return ""
        return CANVASSING[self._bench.terms.company.languages[0]]

    def _callee(self, called: Called | None, helped: Account | None, language: str) -> Party:
        if called is not None and called.line is not None:
            line = called.line
            return Party(None, line.number, line.name, line.language or language, self._bench.terms.company.country)
        account = called.members[0] if called is not None else helped
        assert account is not None
        return Party(account.id, account.extension, account.display_name, account.language, account.country)
