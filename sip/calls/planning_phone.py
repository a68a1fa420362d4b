"""Calls that a phone of the house makes, and those that are made for it (click-to-call)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sip.calls import codes, echo, emergency, planning_codes
from sip.calls.codes import Code
from sip.calls.forwarding import UNKNOWN, Link
from sip.calls.plan import CallPlan, ContactMade, LineKind, Party, Refusal, Stage
from sip.calls.planning_bench import Bench, Called
from sip.calls.planning_directory import caller_of, find
from sip.calls.planning_outside import WayOut
from sip.calls.planning_policy import settle
from sip.calls.planning_terms import (
    NO_TRACE,
    account_party,
    internal_parties,
    of_ceilings,
    outside_party,
    staff_parties,
)
from sip.edge.protocol import EdgeRequest
from storage import accounts
from storage.accounts import Account
from storage.devices import Device

ANONYMOUS = frozenset({"anonymous", ""})  # RFC 3323 section 4.1
MUST_BE_RECORDED = Refusal(403, "This Line Must Be Recorded", "not-permitted")


@dataclass(frozen=True, slots=True)
class Calling:
    """Who calls, and how."""

    caller: Account
    hidden: bool = False
    wideband: bool = False
    private: bool = False
    originated: bool = False

    @property
    def own(self) -> Account | None:
        """Whose phones ring first."""
        return self.caller if self.originated else None


def check_identity(request: EdgeRequest, device: Device, caller: Account) -> Refusal | None:
    """Identity is the device that authenticated. Its From may name itself, its account, its extension or nobody."""
    if request.from_user in ANONYMOUS or request.from_user in (device.auth_user, caller.name, caller.extension):
        return None
    return Refusal(403, "From Is Not Yours", "forged-from")


def check_media(request: EdgeRequest) -> Refusal | None:
    """Whoever signals by TLS also encrypts the audio: keys and audio both, or neither (RFC 4568 section 8)."""
    if request.source.startswith("tls:") and not request.savp:
        return Refusal(488, "SRTP Is Required Over TLS", "no-srtp")
    if request.savp and not request.source.startswith("tls:"):
        return Refusal(488, "SRTP Keys Need TLS", "srtp-without-tls")
    if not request.understood:
        return Refusal(488, "G.711 Or G.722 Is Needed", "no-codec")
    return None


class FromPhones:
    """Plans them."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    async def plan(self, request: EdgeRequest, dialled: str, now: datetime) -> CallPlan | Refusal:
        bench = self._bench
        async with bench.database.read() as tx:
            known = await caller_of(tx, request.auth_user)
            if isinstance(known, Refusal):
                return known
            device, caller = known
            if device.revoked_at is not None or caller.disabled_at is not None:
                return Refusal(403, "Revoked", "revoked")
            refusal = check_identity(request, device, caller) or check_media(request)
            if refusal is not None:
                return refusal
            code = codes.read(dialled)
            if code is not None and await find(tx, dialled) is not None:
                code = None  # a line that has this very number
        hidden = request.from_user in ANONYMOUS or request.private
        calling = Calling(caller, hidden, request.g722)
        drill = emergency.drill(dialled, bench.site)
        if drill is not None:
            return await self._spoken(calling, LineKind.DRILL, "PROMPT_DRILL", drill.number, now)
        if code is None:
            return await self.dial(calling, dialled, now)
        match code.deed:
            case "private":
                return await self.dial(replace(calling, private=True), code.argument, now)
            case "pick-up":
                return await self._pick_up(calling, code, now)
            case _:
                prompt = await planning_codes.do(bench, caller, code, now)
                return await self._spoken(calling, LineKind.SERVICE, prompt, dialled[:3], now)

    async def originate(self, account_name: str, number: str, now: datetime) -> CallPlan | Refusal:
        """Click-to-call: the account's own phones ring first, then the number is dialled."""
        if emergency.recognise(number, self._bench.site) is not None:
            return Refusal(403, "Dial Emergency Numbers By Hand", "not-permitted")
        async with self._bench.database.read() as tx:
            caller = await accounts.by_dialled(tx, account_name)
        if caller is None:
            return UNKNOWN
        return await self.dial(Calling(caller, originated=True), number, now)

    async def dial(self, calling: Calling, dialled: str, now: datetime) -> CallPlan | Refusal:
        """A name or number of the house, else a number outside."""
        bench, caller = self._bench, calling.caller
        async with bench.database.read() as tx:
            to = await bench.destination(tx, caller, dialled, now, hidden=calling.hidden)
            if isinstance(to, Refusal):
                return to
            start = list(to.members) if isinstance(to, Called) else []
            found = await bench.draft(tx, [*start, *([caller] if calling.originated else [])], now)
        builder = await bench.builder(found, caller.id, own=calling.own)
        if isinstance(builder, Refusal):
            return builder
        if isinstance(to, Called) and to.line is not None and to.line.kind == LineKind.ECHO.value:
            return UNKNOWN if calling.originated else await self._echo(calling, to, now)
        refusal = builder.lead(to.lead if isinstance(to, Called) else to.outside, Link())
        if refusal is not None:
            return refusal
        stages = tuple(builder.stages)
        if isinstance(to, WayOut):
            made = await bench.contact(to, now)
            return made if isinstance(made, Refusal) else await self._outbound(calling, to, now, stages, made)
        return await self._internal(calling, to, now, stages)

    # --- within the house -------------------------------------------------------------------------

    async def _internal(
        self, calling: Calling, to: Called, now: datetime, stages: tuple[Stage, ...]
    ) -> CallPlan | Refusal:
        bench, caller, terms = self._bench, calling.caller, self._bench.terms
        called = [member for member in to.members if member.id != caller.id]
        parties = internal_parties(caller, called)
        settled = await settle(
            terms, to.line, [caller, *to.members], parties, "internal", now, traceless=calling.private
        )
        if calling.private and settled.duty:
            return MUST_BE_RECORDED
        language = terms.language(caller.language, caller.country, to.line)
        return bench.plan(
            line_id=to.line.id if to.line is not None else None,
            kind=LineKind.RING,
            caller=account_party(caller, language),
            callee=called_party(to, caller, terms.company.country),
            prompts=await terms.speak(settled.recording, of_ceilings(stages, language)),
            caller_hidden=calling.hidden,
            private=calling.private,
            originated=calling.originated,
            wideband=calling.wideband,
            stages=stages,
            **settled.fields(),
        )

    async def _echo(self, calling: Calling, to: Called, now: datetime) -> CallPlan:
        bench, caller, terms = self._bench, calling.caller, self._bench.terms
        parties = internal_parties(caller, ())[:1]
        settled = await settle(terms, to.line, [caller, *to.members], parties, "internal", now)
        language = terms.language(caller.language, caller.country, to.line)
        return bench.plan(
            line_id=to.line.id if to.line is not None else None,
            kind=LineKind.ECHO,
            caller=account_party(caller, language),
            callee=called_party(to, caller, terms.company.country),
            stages=(),
            prompts=await terms.speak(settled.recording, [(prompt, language) for prompt in echo.PROMPTS]),
            caller_hidden=calling.hidden,
            wideband=calling.wideband,
            **settled.fields(),
        )

    # --- outside ----------------------------------------------------------------------------------

    async def _outbound(
        self, calling: Calling, way: WayOut, now: datetime, stages: tuple[Stage, ...], contact: ContactMade | None
    ) -> CallPlan | Refusal:
        """The caller is staff; whoever is called is outside, and is asked before being connected."""
        bench, caller, terms = self._bench, calling.caller, self._bench.terms
        party, number = way.outside.party, way.number
        traceless = calling.private or number.help_line
        line = None if traceless else way.line
        objects = not traceless and await bench.objects(number.e164, now)
        outside = outside_party("b", number.country, party.language, objects=objects)
        parties = [*staff_parties("a", [caller]), outside]
        settled = await settle(terms, way.line, [caller], parties, "outbound", now, traceless=traceless)
        if calling.private and settled.duty:
            return MUST_BE_RECORDED
        language = terms.language(caller.language, caller.country, None)
        return bench.plan(
            line_id=line.id if line is not None else None,
            kind=LineKind.RING,
            caller=account_party(caller, language),
            callee=party,
            prompts=await terms.speak(settled.recording, of_ceilings(stages, language)),
            caller_hidden=calling.hidden,
            direction="outbound",
            staff=frozenset({"a"}),
            private=calling.private,
            ceiling=way.ceiling,
            originated=calling.originated,
            wideband=calling.wideband,
            stages=stages,
            contact=contact,
            **settled.fields(),
        )

    # --- codes ------------------------------------------------------------------------------------

    async def _spoken(self, calling: Calling, kind: LineKind, prompt_id: str, dialled: str, now: datetime) -> CallPlan:
        """One sentence, and the call is over. It leaves no trace: what was set is seen where it was set."""
        bench, caller, terms = self._bench, calling.caller, self._bench.terms
        language = terms.language(caller.language, caller.country, None)
        decision = terms.decide(None, (), now)
        return bench.plan(
            line_id=None,
            kind=kind,
            caller=account_party(caller, language),
            callee=Party(None, dialled, "", language, bench.site.country),
            stages=(),
            recording=decision,
            metadata_class=NO_TRACE,
            prompts=await terms.speak(decision, [(prompt_id, language)]),
            service=prompt_id,
            wideband=calling.wideband,
        )

    async def _pick_up(self, calling: Calling, code: Code, now: datetime) -> CallPlan:
        call_id = await planning_codes.to_pick_up(self._bench, calling.caller, code.argument)
        if call_id is None:
            prompt_id = planning_codes.NOTHING_TO_PICK_UP
            return await self._spoken(calling, LineKind.SERVICE, prompt_id, codes.PICK_UP, now)
        plan = await self._spoken(calling, LineKind.RING, "", codes.PICK_UP, now)
        return replace(plan, pickup=call_id, prompts={})


def called_party(to: Called, caller: Account, country: str) -> Party:
    """Who is called, as the caller knows them."""
    if to.line is not None:
        return Party(None, to.line.number, to.line.name, to.line.language or caller.language, country)
    return account_party(to.members[0])
