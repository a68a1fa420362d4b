"""May this person be contacted now on behalf of a canvassing line, by which rule, and when else: a pure decision that
explains itself. Emergency calls and ordinary ones are not its business: they never come here.

The rules, in order; the first that stands against it is the answer. What is doubtful comes out as "not contacted".

1. A sector that may not be canvassed for (C. conso. L223-1): only under a contract that runs.
2. A suppression entry: somebody has objected, a list was imported. No consent is stronger (GDPR Art. 21(3)).
3. Consumers: a consent that is valid for this channel and purpose, or a contract that runs. Professionals: nothing,
   where their country asks for no consent. A target that is not known is a consumer, unless a reference says otherwise.
4. A refusal (or a withdrawn consent): the waiting time, and a consent given after it (D223-9, GDPR Art. 7(3)).
5. The hour where the person is, in every time zone that the number may be in; public holidays. An express consent for
   other times lifts both. A profile that the company has chosen narrows a country's own rule; where the country has
   none, and the profile is one of that country, it stands in place of the strictest.
6. Attempts in so many calendar days, answered or not, by all lines of the house together.
7. The number that is shown.

Where a country has no rule of some kind the strictest known one holds, and the answer says so.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from config.contact_kinds import (
    ANYWHERE,
    AttemptsRule,
    CallerRule,
    ConsentAge,
    ConsentRule,
    Hours,
    HoursRule,
    RefusalRule,
    Rule,
    SectorBan,
)
from config.contact_rules import ContactRules
from retention.contact_facts import (
    REFUSALS,
    Consent,
    ContactFacts,
    Decision,
    Ground,
    Reference,
)
from retention.contact_hours import closed_because, narrowed, next_opening

_MOST_JUMPS = 500
_R = TypeVar("_R", bound=Rule)


def may_contact(facts: ContactFacts, rules: ContactRules, now: datetime) -> Decision:
    """Decide at `now` (aware). Raises nothing on what a line, a caller or a number brings."""
    first = _judge(facts, rules, now)
    at = first
    for _ in range(_MOST_JUMPS):
        if at.decision.allowed or at.opens is None:
            break
        at = _judge(facts, rules, at.opens)
    if first is at or not at.decision.allowed:
        return first.decision
    return replace(first.decision, again_at=at.at)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """`opens`: no moment before it can be allowed, because what stands against it stands until then; None: for ever."""

    decision: Decision
    at: datetime
    opens: datetime | None = None


def _judge(facts: ContactFacts, rules: ContactRules, at: datetime) -> _Verdict:
    """At one moment. A rule that begins or ends opens everything anew."""
    case = _Case(facts, rules, at)
    try:
        verdict = case.verdict()
    except LookupError as error:
        verdict = case.no("no_rule", "no_rule", f"not contacted: {error}", None)
    if verdict.decision.allowed:
        return verdict
    return replace(verdict, opens=_earliest([verdict.opens, case.next_change(), *_moments(facts)], at))


def _moments(facts: ContactFacts) -> Iterator[datetime | None]:
    """When what is known of somebody begins or ends to count."""
    yield from (consent.given_at for consent in facts.consents)
    for reference in facts.references:
        yield from (reference.since, reference.until)
    for suppression in facts.suppressions:
        yield from (suppression.since, suppression.until)


class _Case:
    """The facts at one moment, and the rules of that day."""

    def __init__(self, facts: ContactFacts, rules: ContactRules, at: datetime) -> None:
        self.facts, self.rules, self.at = facts, rules, at
        self.zone = ZoneInfo(facts.where.zones[0] if facts.where.zones else "UTC")
        self.today: date = at.astimezone(self.zone).date()
        self.professional = next((r for r in facts.references if r.kind == "professional" and self.runs(r)), None)
        asked = facts.target == "ask"
        self.target = ("professional" if self.professional else "consumer") if asked else facts.target
        # Rules by kind, looked up once for all who are alike in what they depend on.
        alike = ("rules", facts.country, facts.channel, self.target, facts.sector, self.today)
        self.found: dict[type[Rule], Any] = rules.remembered(alike, dict)

    def next_change(self) -> datetime | None:
        """When some rule begins or no longer holds, there."""

        def look() -> datetime | None:
            days = self.rules.changes(self.today)
            return datetime.combine(days[0], time(), self.zone).astimezone(UTC) if days else None

        return self.rules.remembered(("change", self.zone.key, self.today), look)

    # --- the rules, in order ----------------------------------------------------------------------

    def verdict(self) -> _Verdict:
        contract, consents = self.reference("contract"), [c for c in self.facts.consents if self.is_valid(c)]
        bans = self.every(SectorBan)
        for ban in bans:
            if not (ban.contract and contract):
                return self.against("sector", ban, f"nobody is canvassed for {self.facts.sector}")
        asks = self.one(ConsentRule)
        evidence = self.evidence(asks, [] if bans and asks.contract else consents, contract)
        return (
            self.suppressed()
            or (self.nothing_to_rest_on(asks) if evidence is None else None)
            or self.refused(consents)
            or self.closed(consents)
            or self.too_often()
            or self.caller()
            or self.yes(asks, evidence or "", consents)
        )

    def suppressed(self) -> _Verdict | None:
        standing = [s for s in self.facts.suppressions if s.reason not in REFUSALS and self.stands(s.since, s.until)]
        if not standing:
            return None
        first = min(standing, key=lambda s: s.since)
        why = f"on the suppression list ({first.reason}) since {first.since:%Y-%m-%d}"
        return self.no("suppressed", "suppression", why, None, "GDPR 21(3)", "V1")

    def evidence(self, asks: ConsentRule, consents: list[Consent], contract: Reference | None) -> str | None:
        """What the contact rests on; None where it rests on nothing, empty where nothing is needed."""
        fitting = [c for c in consents if c.out_of_hours]
        fitting = fitting if fitting and self.shut() is not None else []
        if fitting or consents:
            return max(fitting or consents, key=lambda c: c.given_at).consent_id
        if asks.contract and contract is not None:
            return contract.reference_id
        if asks.customer and (customer := self.customer()) is not None:
            return customer.reference_id
        if asks.opt_in:
            return None
        return self.professional.reference_id if self.professional is not None else ""

    def nothing_to_rest_on(self, asks: ConsentRule) -> _Verdict:
        what = "consent or a current contract" if asks.contract else "consent"
        what = "consent, and no customer," if asks.customer else what
        return self.against("no_consent", asks, f"a {self.target} without {what} for {self.facts.sector}")

    def refused(self, consents: list[Consent]) -> _Verdict | None:
        """Somebody has said no, or has taken a consent back."""
        said = [s for s in self.facts.suppressions if s.reason in REFUSALS and self.stands(s.since, s.until)]
        if not said:
            return None
        rule, last = self.one(RefusalRule), max(said, key=lambda s: s.since)
        over = max((rule.minimum.after(s.since) for s in said if s.reason == "refusal"), default=self.at)
        if over > self.at:
            why = f"refused on {last.since:%Y-%m-%d}: nobody asks again before {over:%Y-%m-%d}, nor without new consent"
            return self.against("refused", rule, why, over)
        if any(c.given_at > last.since for c in consents):
            return None
        word = "refused" if last.reason == "refusal" else "consent withdrawn"
        return self.against("refused", rule, f"{word} on {last.since:%Y-%m-%d}, and no new consent since")

    def closed(self, consents: list[Consent]) -> _Verdict | None:
        if any(c.out_of_hours for c in consents):
            return None
        shut = self.shut()
        return self.against("hours", *shut) if shut is not None else None

    def shut(self) -> tuple[Hours, str, datetime | None] | None:
        """The rule that is closed, why, and when all of them are open."""
        rules, where = self.hours(), self.facts.where

        def look() -> tuple[Hours, str, datetime | None] | None:
            for rule in rules:
                if why := closed_because(rule, where, self.at):
                    return rule, why, next_opening(functools.reduce(narrowed, rules), where, self.at)
            return None

        return self.rules.remembered(("shut", *(rule.id for rule in rules), where, self.at), look)

    def hours(self) -> tuple[Hours, ...]:
        """All of them have to be open."""
        law, facts = self.one(HoursRule), self.facts
        if not facts.hours_profile:
            return (law,)
        profile = self.rules.profile(
            facts.hours_profile, facts.country, facts.channel, self.target, facts.sector, self.today
        )
        if profile is None:
            return (law,)
        return (profile,) if ANYWHERE in law.countries else (law, profile)

    def too_often(self) -> _Verdict | None:
        rule = self.one(AttemptsRule)
        # An attempt counts on its day and the days after, in whichever zone that lasts longest.
        drops = sorted(self._drops(attempt, rule.days) for attempt in self.facts.attempts if attempt <= self.at)
        counted = [drop for drop in drops if drop > self.at]
        if len(counted) < rule.at_most:
            return None
        what = "texts" if self.facts.channel == "sms" else "calls or attempts"
        why = f"{len(counted)} {what} in {rule.days} days; allowed are {rule.at_most}"
        return self.against("attempts", rule, why, counted[len(counted) - rule.at_most])

    def _drops(self, attempt: datetime, days: int) -> datetime:
        zones = self.facts.where.zones or ("UTC",)
        ends = []
        for zone in map(ZoneInfo, zones):
            day = attempt.astimezone(zone).date() + timedelta(days=days)
            ends.append(datetime.combine(day, time(), zone).astimezone(UTC))
        return max(ends)

    def caller(self) -> _Verdict | None:
        rule, facts = self.one(CallerRule), self.facts
        if facts.hidden and not rule.hidden:
            return self.against("caller", rule, "the number may not be hidden")
        if facts.caller.startswith(rule.deny):
            kept = "the number that is shown is kept for mobile telephones"
            texts = "no advertising may be sent from that kind of number"
            return self.against("caller", rule, texts if facts.channel == "sms" else kept)
        return None

    # --- what is valid now ------------------------------------------------------------------------

    def stands(self, since: datetime, until: datetime | None) -> bool:
        return since <= self.at and (until is None or self.at < until)

    def runs(self, reference: Reference) -> bool:
        return self.stands(reference.since, reference.until)

    def reference(self, kind: str) -> Reference | None:
        running = [r for r in self.facts.references if r.kind == kind and r.purpose == self.facts.sector]
        return next((r for r in running if self.runs(r)), None)

    def customer(self) -> Reference | None:
        """Whose last purchase is no longer ago than a consent may be."""
        found = self.reference("customer")
        if found is None or any(self.at >= rule.period.after(found.since) for rule in self.every(ConsentAge)):
            return None
        return found

    def is_valid(self, consent: Consent) -> bool:
        """For this channel and this purpose, given, neither withdrawn nor too old."""
        if consent.channel != self.facts.channel or consent.purpose != self.facts.sector:
            return False
        ends = [consent.expires_at, consent.withdrawn_at]
        ends += [rule.period.after(consent.given_at) for rule in self.every(ConsentAge)]
        return consent.given_at <= self.at and all(end is None or self.at < end for end in ends)

    # --- rules and answers ------------------------------------------------------------------------

    def every(self, kind: type[_R]) -> tuple[_R, ...]:
        found: tuple[_R, ...] | None = self.found.get(kind)
        if found is None:
            facts = self.facts
            found = self.rules.every(kind, facts.country, facts.channel, self.target, facts.sector, self.today)
            self.found[kind] = found
        return found

    def one(self, kind: type[_R]) -> _R:
        found = self.every(kind)
        if not found:
            raise LookupError(f"no {kind.__name__} was in force on {self.today}")
        return found[0]

    def yes(self, asks: ConsentRule, evidence: str, consents: list[Consent]) -> _Verdict:
        rests = "consent" if consents else "a reference" if evidence else "no objection"
        why = f"a {self.target}, on {rests}{self._strictest(asks)}"
        decision = Decision(True, "allowed", asks.id, why, None, evidence, asks.basis, asks.confidence)
        return _Verdict(decision, self.at)

    def against(self, ground: Ground, rule: Rule, why: str, opens: datetime | None = None) -> _Verdict:
        """`opens`: when the passing of time alone ends it."""
        return self.no(ground, rule.id, why + self._strictest(rule), opens, rule.basis, rule.confidence)

    def no(self, ground: Ground, rule: str, why: str, opens: datetime | None, basis: str = "",
           confidence: str = "") -> _Verdict:  # fmt: skip
        return _Verdict(Decision(False, ground, rule, why, None, "", basis, confidence), self.at, opens)

    def _strictest(self, rule: Rule) -> str:
        if ANYWHERE not in rule.countries:
            return ""
        return f"; no rule of {self.facts.country or 'that country'} is known, so the strictest holds"


def _earliest(moments: Iterable[datetime | None], after: datetime) -> datetime | None:
    return min((moment for moment in moments if moment is not None and moment > after), default=None)
