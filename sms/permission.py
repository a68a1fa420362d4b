"""May these texts be sent now: advertising by the rules of contact (`retention.contact`), other classes by what an
objection means for them. Pure, but for `facts_of`, which reads what is known of many numbers at once.

No class but advertising needs a consent, has hours or a ceiling. What stops them:

- service messages (a code, an appointment, a delivery): they are part of what somebody has asked for (GDPR 6(1)(b)).
  An objection to being solicited does not end them; an order of a court or authority about that number does.
- conversations rest on the interest of both (6(1)(f)): whoever has objected to everything is not written to, unless
  they wrote since: who asks a question has a right to the answer (GDPR 21(1)).
- internal ones go to the company's own people (employment): an order alone stops them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from config.contact_kinds import AttemptsRule
from config.contact_rules import ContactRules
from retention.contact import may_contact
from retention.contact_facts import Consent, ContactFacts, Decision, Reference, Suppression, Target
from retention.whereabouts import Whereabouts, whereabouts
from storage import contact_many
from storage.contact_many import Known
from storage.tx import Tx

EVERYTHING = "*"
_SUPPRESSION = "suppression"
_AREA = 10  # with the +: no place of ours, and no area of the number library, has a longer beginning


@dataclass(frozen=True, slots=True)
class Entry:
    """One of the suppression list. `channel`: "sms", or "*" for everything."""

    channel: str
    reason: str
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class About:
    """What is sent: `sector` and `target` as a canvassing line has them; `sender`: as `sms.addresses` writes it;
    `hours_profile`: the company's choice."""

    sector: str
    target: Target
    sender: str = field(repr=False)
    hours_profile: str = "prudent"


@dataclass(frozen=True, slots=True)
class Person:
    """`number`: E.164. `country`: ISO 3166, None where the number belongs to none."""

    number: str = field(repr=False)
    country: str | None


def decide_many(facts: Sequence[ContactFacts], rules: ContactRules, now: datetime) -> list[Decision]:
    """One for each, in order, of advertising. The same is asked once: of a list most are alike. Raises nothing."""
    answers: dict[ContactFacts, Decision] = {}
    decided = []
    for one in facts:
        if one.consents or one.references:  # each rests on ids of its own
            decided.append(may_contact(one, rules, now))
            continue
        if one not in answers:
            answers[one] = may_contact(one, rules, now)
        decided.append(answers[one])
    return decided


def decide_other(message_class: str, entries: Iterable[Entry], wrote_at: datetime | None, now: datetime) -> Decision:
    """Of a transactional text, a conversation or an internal one. `wrote_at`: when they last wrote to the house.

    Raises ValueError for advertising.
    """
    if message_class == "marketing":
        raise ValueError("advertising needs the whole decision")
    standing = [one for one in entries if one.since <= now and (one.until is None or now < one.until)]
    ordered = next((one for one in standing if one.reason == "order"), None)
    if ordered is not None:
        return _no(ordered, "an order about that number stands")
    objected = [one for one in standing if one.channel == EVERYTHING and one.reason == "objection"]
    if message_class == "conversation" and objected:
        last = max(objected, key=lambda one: one.since)
        if wrote_at is None or wrote_at <= last.since:
            return _no(last, "has objected to everything, and has not written since")
    return Decision(True, "allowed", "", f"{message_class}: nothing stands against it")


def _no(entry: Entry, why: str) -> Decision:
    said = f"{why} (suppression list, since {entry.since:%Y-%m-%d})"
    return Decision(False, "suppressed", _SUPPRESSION, said, entry.until, "", "GDPR 21", "V1")


async def facts_of(
    tx: Tx, people: Sequence[Person], about: About, rules: ContactRules, now: datetime
) -> list[ContactFacts]:
    """One for each, in order. Calendars and tables of zones are read in a thread. Raises StorageError."""
    numbers = [one.number for one in people]
    known = await contact_many.known(tx, numbers, "sms", now - _counted_back(rules))
    return await asyncio.to_thread(_all_facts, people, about, rules, known)


def _counted_back(rules: ContactRules) -> timedelta:
    """As far as any ceiling looks, and a day more for time zones."""
    days = [rule.days for rule in rules.rules if isinstance(rule, AttemptsRule) and "sms" in rule.channels]
    return timedelta(days=max(days) + 2)


def _all_facts(
    people: Sequence[Person], about: About, rules: ContactRules, known: Mapping[str, Known]
) -> list[ContactFacts]:
    nothing = Known()
    places: dict[str, Whereabouts] = {}
    return [_facts(one, about, _where(places, one, rules), known.get(one.number, nothing)) for one in people]


def _where(places: dict[str, Whereabouts], one: Person, rules: ContactRules) -> Whereabouts:
    """Each beginning of a number is looked up once."""
    head = one.number[:_AREA]
    if head not in places:
        places[head] = whereabouts(one.number, one.country, rules)
    return places[head]


def _facts(one: Person, about: About, where: Whereabouts, known: Known) -> ContactFacts:
    return ContactFacts(
        channel="sms",
        sector=about.sector,
        target=about.target,
        country=one.country,
        where=where,
        consents=tuple(Consent(*row) for row in known.consents),
        references=tuple(Reference(*row) for row in known.references),
        suppressions=tuple(Suppression(*row[1:]) for row in known.suppressions),
        attempts=tuple(sorted(known.attempts)),
        caller=about.sender,
        hours_profile=about.hours_profile,
    )
