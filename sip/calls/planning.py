"""Decides about a call before it begins: who is calling, who is meant, who rings, and on which terms.

``route`` is pure: directory records and registered contacts in, a route or a refusal out. ``DirectoryPlanner`` reads
what it needs, asks ``retention`` about recording, and puts the plan together.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from urllib.parse import unquote

from retention import recording_decision as decisions
from retention.consent import ConsentMode
from retention.languages import choose_language
from retention.metadata import MetadataClass, strictest_class
from retention.prompt_values import prompt_values
from sip.calls.plan import (
    CallPlan,
    Joining,
    LineKind,
    Party,
    PromptFile,
    Refusal,
    Stage,
    Target,
    TransferRequest,
    contact_key,
)
from sip.edge.protocol import EdgeRequest
from sip.edge.state import Contact
from storage import accounts, devices, lines
from storage.accounts import Account
from storage.database import Database
from storage.devices import Device
from storage.errors import NotFound
from storage.lines import Line

log = logging.getLogger(__name__)

DEFAULT_CLASS = "minimal"
ANONYMOUS = frozenset({"anonymous", ""})  # RFC 3323 section 4.1
RESULT_PROMPTS = ("PROMPT_LONG", "PROMPT_REFUSED", "PROMPT_TIMEOUT", "PROMPT_STOPPED", "PROMPT_MUST_END")
FAILURES = (
    "PROMPT_BUSY",
    "PROMPT_NO_ANSWER",
    "PROMPT_NOT_AVAILABLE",
    "PROMPT_DECLINED",
    "PROMPT_UNKNOWN",
    "PROMPT_ERROR",
)


class Contacts(Protocol):
    """The registrations that the edge holds."""

    async def contacts(self, auth_user: str) -> Sequence[Contact]: ...


class Prompts(Protocol):
    """The spoken prompts."""

    async def get(self, prompt_id: str, language: str, values: Mapping[str, str]) -> PromptFile | None:
        """None if it cannot be had: whoever needed it heard nothing, and what hangs on it does not happen."""

    async def prepare(self, prompt_id: str, language: str, values: Mapping[str, str]) -> None:
        """Make it before somebody waits for it."""


@dataclass(frozen=True, slots=True)
class Called:
    """What a dialled string leads to: a line with its members, or one account."""

    line: Line | None
    members: tuple[Account, ...]


@dataclass(frozen=True, slots=True)
class Timing:
    """Plain values from the settings."""

    ring_timeout_s: float
    max_duration_s: float


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


def ring(
    called: Called, caller: Account, contacts: Mapping[str, Sequence[Contact]], rung: Mapping[str, Sequence[Device]]
) -> tuple[Target, ...] | Refusal:
    """At most two legs: RTP/SAVP to the contacts that came by TLS, RTP/AVP to the others.

    ``contacts``: by auth user; ``rung``: devices by account id.
    """
    members = [account for account in called.members if account.id != caller.id]
    if not members:
        return Refusal(404 if called.line is None else 480, "Nobody Else Is On This Line", "nobody")
    owner = {device.auth_user: account.id for account in members for device in rung.get(account.id, ())}
    targets = []
    for number, table in enumerate(("tls", "plain")):
        there = {user: [c for c in contacts.get(user, ()) if c.table == table] for user in owner}
        users = tuple(user for user in owner if there[user])
        owners = {contact_key(contact.uri): owner[user] for user in users for contact in there[user]}
        if users:
            targets.append(Target(f"b{number}", users, table == "tls", owners))
    return tuple(targets) or Refusal(480, "Not Registered", "not-registered")


class DirectoryPlanner:
    """Plans calls from the directory in the database."""

    def __init__(
        self,
        database: Database,
        contacts: Contacts,
        prompts: Prompts,
        company: decisions.CompanyFacts,
        timing: Timing,
    ) -> None:
        self._database = database
        self._contacts = contacts
        self._prompts = prompts
        self.company = company
        self.timing = timing

    async def plan(self, request: EdgeRequest, now: datetime) -> CallPlan | Refusal:
        dialled = unquote(request.request_user)  # "#" travels as %23 (RFC 3261 section 19.1.2)
        async with self._database.read() as tx:
            try:
                device = await devices.by_auth_user(tx, request.auth_user)
                caller = await accounts.get(tx, device.account_id)
            except NotFound:
                return Refusal(403, "Unknown Device", "unknown-device")
            if device.revoked_at is not None or caller.disabled_at is not None:
                return Refusal(403, "Revoked", "revoked")
            refusal = check_identity(request, device, caller) or check_media(request)
            if refusal is not None:
                return refusal
            line = await lines.by_number(tx, dialled)
            if line is not None:
                members = [await accounts.get(tx, member) for member in line.members]
                called = Called(line, tuple(m for m in members if m.disabled_at is None))
            else:
                account = await accounts.by_dialled(tx, dialled)
                if account is None:
                    return Refusal(404, "Not Found", "unknown")
                called = Called(None, (account,))
            rung = {account.id: _active(await devices.list_all(tx, account.id)) for account in called.members}
        return await self._complete(request, now, caller, called, rung)

    async def plan_transfer(self, transfer: TransferRequest, now: datetime) -> Joining | Refusal:
        return Refusal(501, "Not Implemented", "failed")

    async def plan_joining(self, first: CallPlan, stays: Party, joins: Party, now: datetime) -> Joining:
        return Joining((), joins, (), {}, first.metadata_class)

    async def plan_origination(self, account_name: str, number: str, now: datetime) -> CallPlan | Refusal:
        return Refusal(501, "Not Implemented", "failed")

    async def _complete(
        self,
        request: EdgeRequest,
        now: datetime,
        caller: Account,
        called: Called,
        rung: Mapping[str, Sequence[Device]],
    ) -> CallPlan | Refusal:
        kind = LineKind(called.line.kind) if called.line is not None else LineKind.RING
        targets: tuple[Target, ...] = ()
        if kind is LineKind.RING:
            users = [device.auth_user for each in rung.values() for device in each]
            found = await asyncio.gather(*(self._contacts.contacts(user) for user in users))
            rings = ring(called, caller, dict(zip(users, found, strict=True)), rung)
            if isinstance(rings, Refusal):
                return rings
            targets = rings
        decision = self._decide(caller, called, kind, now)
        callee = self._callee(caller, called)
        return CallPlan(
            call_id=secrets.token_hex(16),
            line_id=called.line.id if called.line is not None else None,
            kind=kind,
            caller=Party(
                caller.id, caller.extension, caller.display_name, self._language(caller, called), caller.country
            ),
            callee=callee,
            stages=(Stage(targets, self.timing.ring_timeout_s, callee),) if targets else (),
            recording=decision,
            metadata_class=_metadata_class(caller, called),
            prompts=await self._speak(decision, kind, self._language(caller, called)),
            ring_timeout_s=self.timing.ring_timeout_s,
            max_duration_s=self.timing.max_duration_s,
            caller_hidden=request.from_user in ANONYMOUS,
        )

    def _decide(self, caller: Account, called: Called, kind: LineKind, now: datetime) -> decisions.RecordingDecision:
        parties = [decisions.Party("a", "outside", caller.country, language=caller.language)]
        if kind is LineKind.RING:
            # Who of several will answer is not known yet: each member's country counts, the first's language speaks.
            countries = {member.country for member in called.members if member.id != caller.id}
            first = next(member for member in called.members if member.id != caller.id)
            parties.append(decisions.Party("b", "staff", first.country, language=first.language))
            parties += [decisions.Party("b*", "staff", country) for country in sorted(countries - {first.country})]
        return decisions.decide(_policy(called.line), parties, self.company, now)

    def _language(self, caller: Account, called: Called) -> str:
        line_language = called.line.language if called.line is not None else None
        return choose_language(caller.language, caller.country, line_language, self.company.languages)

    def _callee(self, caller: Account, called: Called) -> Party:
        if called.line is not None:
            language = called.line.language or caller.language
            return Party(None, called.line.number, called.line.name, language, self.company.country)
        account = called.members[0]
        return Party(account.id, account.extension, account.display_name, account.language, account.country)

    async def _speak(
        self,
        decision: decisions.RecordingDecision,
        kind: LineKind,
        language: str,
    ) -> dict[tuple[str, str], PromptFile]:
        """Every prompt that this call may need; ``language`` is the caller's."""
        wanted: set[tuple[str, str]] = set()
        if kind is LineKind.ECHO:
            wanted.add(("PROMPT_ECHO", language))
        for terms in decision.legs:
            if terms.prompt_id is not None:
                wanted |= {(each, terms.language) for each in (terms.prompt_id, *RESULT_PROMPTS)}
                wanted |= {(each, terms.language) for each in FAILURES if terms.leg == "a"}
        return await self._fetch(decision, wanted)

    async def _fetch(
        self, decision: decisions.RecordingDecision, wanted: set[tuple[str, str]]
    ) -> dict[tuple[str, str], PromptFile]:
        """All at once: what takes too long is left out, and what hangs on it does not happen."""
        keys = sorted(wanted)
        values = {spoken: self._values(decision, spoken) for _, spoken in keys}
        prompts = await asyncio.gather(*(self._prompts.get(each, spoken, values[spoken]) for each, spoken in keys))
        return {key: prompt for key, prompt in zip(keys, prompts, strict=True) if prompt is not None}

    def _values(self, decision: decisions.RecordingDecision, language: str) -> Mapping[str, str]:
        return prompt_values(decision, self.company, language) if decision.record else {}

    async def warm_up(self, now: datetime) -> None:
        """Have every prompt made that a call to any line may need, before somebody waits for it."""
        async with self._database.read() as tx:
            every = await lines.list_all(tx)
        for prompt_id, language, values in prompts_for(every, self.company, now):
            await self._prompts.prepare(prompt_id, language, values)


def prompts_for(
    every: Sequence[Line], company: decisions.CompanyFacts, now: datetime
) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """Every prompt that a call to one of these lines may need: id, language, values."""
    for line in every:
        for country in (company.country, None):  # None: the strictest, opt-in
            parties = [decisions.Party("a", "outside", country), decisions.Party("b", "staff")]
            decision = decisions.decide(_policy(line), parties, company, now)
            asked = {terms.prompt_id for terms in decision.legs if terms.prompt_id is not None}
            wanted = {*asked, *RESULT_PROMPTS, *FAILURES} if asked else set[str]()
            if line.kind == LineKind.ECHO.value:
                wanted.add("PROMPT_ECHO")
            for language in company.languages if line.disabled_at is None else ():
                values = prompt_values(decision, company, language) if decision.record else {}
                yield from ((prompt_id, language, values) for prompt_id in sorted(wanted))


def _policy(line: Line | None) -> decisions.LinePolicy:
    """What the line is for; a call by no line has no purpose to record for."""
    if line is None:
        return decisions.LinePolicy(pack=lines.NO_RECORDING)
    return decisions.LinePolicy(
        pack=line.pack,
        consent=ConsentMode.parse(line.consent_mode) if line.consent_mode else None,
        statute=line.statute or "",
        ask_staff=line.ask_staff,
        language=line.language,
    )


def _active(each: Sequence[Device]) -> tuple[Device, ...]:
    return tuple(device for device in each if device.revoked_at is None)


def _metadata_class(caller: Account, called: Called) -> str:
    """The strictest of what the line and the two sides ask for; protected accounts leave no trace on any line."""
    asked = [account.metadata_class for account in (caller, *called.members) if account.metadata_class is not None]
    asked.append(called.line.metadata_class if called.line is not None else DEFAULT_CLASS)
    return str(strictest_class(MetadataClass.parse(each) for each in asked))
