"""On which terms a call is held: what may be recorded, who is asked how, what is kept of it, which prompts it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from retention import recording_decision as decisions
from retention.consent import ConsentMode
from retention.languages import choose_language
from retention.metadata import MetadataClass, class_asked_by, strictest_class
from retention.policy_rules import Governed
from retention.prompt_values import prompt_values
from sip.calls import echo, planning_contact
from sip.calls.plan import LineKind, Party, PromptFile, Stage, TrunkTarget
from sip.calls.policies import NoPolicies, Policies
from storage import lines
from storage.accounts import Account
from storage.lines import Line

DEFAULT_CLASS = "minimal"
NO_TRACE = "none"
RESULT_PROMPTS = (
    *("PROMPT_LONG", "PROMPT_REFUSED", "PROMPT_TIMEOUT", "PROMPT_STOPPED", "PROMPT_MUST_END"),
    *("PROMPT_PAUSED", "PROMPT_RESUMED"),
)
FAILURES = (
    "PROMPT_BUSY",
    "PROMPT_NO_ANSWER",
    "PROMPT_NOT_AVAILABLE",
    "PROMPT_DECLINED",
    "PROMPT_UNKNOWN",
    "PROMPT_TRUNK_FAILED",
    "PROMPT_ERROR",
)
CEILING_PROMPTS = ("PROMPT_CEILING", "PROMPT_CEILING_END")


class Prompts(Protocol):
    """The spoken prompts."""

    async def get(self, prompt_id: str, language: str, values: Mapping[str, str]) -> PromptFile | None:
        """None if it cannot be had: whoever needed it heard nothing, and what hangs on it does not happen."""

    async def prepare(self, prompt_id: str, language: str, values: Mapping[str, str]) -> None:
        """Make it before somebody waits for it."""


Spoken = dict[tuple[str, str], PromptFile]


class Terms:
    """Decides and speaks for one company."""

    def __init__(self, prompts: Prompts, company: decisions.CompanyFacts, policies: Policies | None = None) -> None:
        self._prompts = prompts
        self.company = company
        self.policies: Policies = policies or NoPolicies()

    def decide(
        self, line: Line | None, parties: Sequence[decisions.Party], now: datetime
    ) -> decisions.RecordingDecision:
        return decisions.decide(policy(line), parties, self.company, now)

    def nothing(self, now: datetime) -> decisions.RecordingDecision:
        """The decision not to record."""
        return decisions.decide(policy(None), (), self.company, now)

    def language(self, asked: str | None, country: str | None, line: Line | None) -> str:
        return choose_language(asked, country, line.language if line is not None else None, self.company.languages)

    async def speak(
        self, decision: decisions.RecordingDecision, others: Sequence[tuple[str, str]] = ()
    ) -> dict[tuple[str, str], PromptFile]:
        """Every prompt that the decision may need, and ``others``: pairs of id and language."""
        wanted = set(others)
        for terms in decision.legs:
            if terms.prompt_id is not None:
                wanted |= {(each, terms.language) for each in (terms.prompt_id, *RESULT_PROMPTS)}
                wanted |= {(each, terms.language) for each in FAILURES if terms.leg == "a"}
        return await self._fetch(decision, wanted)

    async def _fetch(self, decision: decisions.RecordingDecision, wanted: set[tuple[str, str]]) -> Spoken:
        """All at once: what takes too long is left out, and what hangs on it does not happen."""
        keys = sorted(wanted)
        values = {spoken: self._values(decision, spoken) for _, spoken in keys}
        prompts = await asyncio.gather(*(self._prompts.get(each, spoken, values[spoken]) for each, spoken in keys))
        return {key: prompt for key, prompt in zip(keys, prompts, strict=True) if prompt is not None}

    def _values(self, decision: decisions.RecordingDecision, language: str) -> Mapping[str, str]:
        return prompt_values(decision, self.company, language) if decision.record else {}

    async def prepare(self, every: Sequence[Line], now: datetime) -> None:
        """Have every prompt made that a call to one of these lines may need, and those that any call may."""
        ruled = await self.policies.every_rule(now)
        for prompt_id, language, values in (
            *prompts_for(every, self.company, now),
            *prompts_ruled(ruled, self.company, now),
        ):
            await self._prompts.prepare(prompt_id, language, values)
        canvassed = planning_contact.PROMPTS if any(line.canvassing for line in every) else ()
        for language in self.company.languages:
            for prompt_id in (*COMMON_PROMPTS, *canvassed):
                await self._prompts.prepare(prompt_id, language, {})


REFUSALS = (
    *("PROMPT_NOT_PERMITTED", "PROMPT_LIMIT", "PROMPT_LOOP", "PROMPT_UNKNOWN"),
    *("PROMPT_LINES_BUSY", "PROMPT_TRUNK_FAILED"),
)
COMMON_PROMPTS = (
    *CEILING_PROMPTS,
    *REFUSALS,
    "PROMPT_TRANSFER_FAILED",
    *("PROMPT_DND_ON", "PROMPT_DND_OFF", "PROMPT_FORWARD_ON", "PROMPT_FORWARD_OFF", "PROMPT_FORWARD_REFUSED"),
    *("PROMPT_PICKUP_FAILED", "PROMPT_DRILL", "PROMPT_DRILL_SWITCHED_ON"),
)


def of_ceilings(stages: Iterable[Stage], *languages: str) -> list[tuple[str, str]]:
    """What may have to be said while somebody talks by a trunk: limits may be reached, or changed, in the call."""
    outside = any(isinstance(target, TrunkTarget) for stage in stages for target in stage.targets)
    return [(each, language) for each in CEILING_PROMPTS for language in languages] if outside else []


def internal_parties(caller: Account, called: Sequence[Account]) -> list[decisions.Party]:
    """Between two accounts: the caller is asked as anybody from outside is. Who of several will answer is not known
    yet: each member's country counts, the first's language speaks."""
    parties = [decisions.Party("a", "outside", caller.country, language=caller.language)]
    return parties + staff_parties("b", called)


def staff_parties(leg: str, each: Sequence[Account]) -> list[decisions.Party]:
    """Those of the house who may be on this leg."""
    if not each:
        return [decisions.Party(leg, "staff")]
    first = each[0]
    others = sorted({one.country for one in each} - {first.country})
    return [
        decisions.Party(leg, "staff", first.country, language=first.language),
        *(decisions.Party(f"{leg}*", "staff", country) for country in others),
    ]


def outside_party(
    leg: str, country: str | None, language: str | None = None, *, objects: bool = False
) -> decisions.Party:
    """Somebody by a trunk: their country is that of the number; where there is none, the strictest rule holds."""
    return decisions.Party(leg, "outside", country, language=language, objects=objects)


def prompts_for(
    every: Sequence[Line], company: decisions.CompanyFacts, now: datetime
) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """Every prompt that a call to one of these lines may need: id, language, values."""
    for line in every:
        for country in (company.country, None):  # None: the strictest, opt-in
            parties = [decisions.Party("a", "outside", country), decisions.Party("b", "staff")]
            decision = decisions.decide(policy(line), parties, company, now)
            asked = {terms.prompt_id for terms in decision.legs if terms.prompt_id is not None}
            wanted = {*asked, *RESULT_PROMPTS, *FAILURES} if asked else set[str]()
            if line.kind == LineKind.ECHO.value:
                wanted.update(echo.PROMPTS)
            for language in company.languages if line.disabled_at is None else ():
                values = prompt_values(decision, company, language) if decision.record else {}
                yield from ((prompt_id, language, values) for prompt_id in sorted(wanted))


def prompts_ruled(
    ruled: Sequence[Governed], company: decisions.CompanyFacts, now: datetime
) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """Every prompt that a rule of the company's policy may need, once each."""
    for governed in ruled:
        if governed.recording is None:
            continue
        own = decisions.LinePolicy(
            governed.recording.id, governed.consent, governed.statute, refuse_silence=governed.refuse_silence
        )
        for country in (company.country, None):
            parties = [decisions.Party("a", "outside", country), decisions.Party("b", "staff")]
            decision = decisions.decide(own, parties, company, now, packs={own.pack: governed.recording})
            asked = {terms.prompt_id for terms in decision.legs if terms.prompt_id is not None}
            for language in company.languages if asked else ():
                values = prompt_values(decision, company, language)
                yield from ((prompt_id, language, values) for prompt_id in sorted({*asked, *RESULT_PROMPTS, *FAILURES}))


def policy(line: Line | None) -> decisions.LinePolicy:
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


def metadata_class(accounts: Sequence[Account], line: Line | None) -> str:
    """The strictest of what the line, its purpose and the two sides ask for; protected accounts leave no trace on any
    line, and nobody does on a line for reports of wrongdoing."""
    named = [account.metadata_class for account in accounts if account.metadata_class is not None]
    named.append(line.metadata_class if line is not None else DEFAULT_CLASS)
    asked = [MetadataClass.parse(each) for each in named]
    by_purpose = class_asked_by(line.pack) if line is not None else None
    return str(strictest_class([*asked, by_purpose] if by_purpose is not None else asked))


def account_party(account: Account, language: str | None = None) -> Party:
    return Party(account.id, account.extension, account.display_name, language or account.language, account.country)
