"""May this call be recorded, who must be asked how, and why: a pure decision that explains itself.

The rules, in order. Whatever is doubtful comes out as "not recorded".

1. The line names a pack (its purpose). No pack, an unknown one, one that never records, one not yet in force, or
   one that rests on a legal duty without the text being entered: not recorded.
2. The mode is the strictest of the pack, the line's own choice (which can only be stricter), and the rule of each
   country concerned: every party's and the company's. A country that is not known, a country without a rule, and
   the USA without a State ask for opt-in.
3. Where the pack rests on a statute, the statute displaces the rule of the company's own country, because that
   rule is the minimum for quality and training (law.md 1.2) and the company may not choose; rules of other
   countries still count, since their courts know nothing of our statute. A pack that may not delay anybody
   (emergency) asks no question in any country; only a prohibition stops it.
4. Who has objected once and for all is not recorded and not asked. A legal duty knows no such objection (Art. 21 is
   about Art. 6(1)(e) and (f)).
5. Outside parties are asked in the mode found. Staff who are informed beforehand (the pack's precondition
   staff_informed) hear an announcement, unless the line says to ask them, or their country asks for opt-in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from config import countries as country_data
from config import packs as pack_data
from config import prompt_texts
from config.countries import CountryRule, CountryRules
from config.packs import Pack
from config.periods import Period
from retention.consent import ConsentMode, strictest
from retention.languages import choose_language

Silence = Literal["record", "do_not_record"]
OnRefusal = Literal["continue", "end_call"]

OBJECTION_KEY = "2"


@dataclass(frozen=True, slots=True)
class LinePolicy:
    """What a line is for. `pack`: id of a policy pack. `consent`: the line's own mode, only ever stricter.

    `statute`: the text that imposes recording, where the pack needs one. `ask_staff`: staff are asked like
    anybody. `language`: spoken where the other party's is not known. `refuse_silence`: no key means no, whatever the
    countries say.
    """

    pack: str
    consent: ConsentMode | None = None
    statute: str = ""
    ask_staff: bool = False
    language: str | None = None
    refuse_silence: bool = False


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody in the call. `country`: ISO 3166 code, None where it is not known (staff: the company's).

    `objects`: has objected to being recorded in any call (GDPR Art. 21).
    """

    leg: str
    role: Literal["outside", "staff"]
    country: str | None = None
    us_state: str | None = None
    language: str | None = None
    objects: bool = False


@dataclass(frozen=True, slots=True)
class CompanyFacts:
    """The controller. `languages`: those of the prompts, the preferred one first."""

    name: str
    country: str = "FR"
    languages: tuple[str, ...] = ("fr", "en")
    rights_url: str = ""
    dpo_contact: str = ""


@dataclass(frozen=True, slots=True)
class LegConsent:
    """What one leg must hear or answer before anything is captured. `prompt_id` None: nothing to hear.

    `silence`: what no key means after the prompt's end. `on_refusal`: what a refusal does to the call.
    """

    leg: str
    mode: ConsentMode
    prompt_id: str | None
    language: str
    silence: Silence
    on_refusal: OnRefusal


@dataclass(frozen=True, slots=True)
class RecordingDecision:
    """The answer. Where `record` is False, `legs` is empty and `rule` says why.

    `retention` runs from `start_event`; until that has happened `provisional` runs from the recording's end.
    `minimum`: no earlier deletion. `objection_key` None: there is no objection (emergency).
    `rule` explains in words; `rule_id` is the row that decided, for the ledger: pack.REC_QUALITY, line, country.FR.
    `policy`: version of the company's policy that it was taken under; None: none is in force, the line's settings hold.
    """

    record: bool
    mode: ConsentMode
    pack: str
    pack_version: str
    purpose: str
    legal_basis: str
    legs: tuple[LegConsent, ...]
    destroy_on_objection: bool
    objection_key: str | None
    retention: Period
    provisional: Period | None
    minimum: Period | None
    start_event: str
    lossless: bool
    rule: str
    rule_id: str
    policy: int | None = None


def decide(
    line: LinePolicy,
    parties: Sequence[Party],
    company: CompanyFacts,
    now: datetime,
    *,
    packs: Mapping[str, Pack] | None = None,
    countries: CountryRules | None = None,
) -> RecordingDecision:
    """Decide for these parties at `now` (aware). Never raises on what a line or a caller brings."""
    pack = (packs or pack_data.load()).get(line.pack)
    if pack is None or pack.kind != "recording":
        return not_recorded(pack, f"no recording pack {line.pack!r}: a recording needs a purpose")
    if pack.never_records:
        return not_recorded(pack, f"{pack.id} never records")
    if problem := pack.problem(line.statute, now.date()):
        return not_recorded(pack, problem)
    if not parties:
        return not_recorded(pack, "nobody to ask")
    if any(party.objects for party in parties) and not pack.needs_statute:
        return not_recorded(pack, "somebody has objected to every recording of theirs (GDPR Art. 21)", "objection")
    applied = _applied_rules(pack, parties, company, countries or country_data.load())
    mode, rule_id, why = _mode(pack, line, applied)
    if mode is ConsentMode.FORBIDDEN:
        return not_recorded(pack, why, rule_id)
    silence: Silence = "do_not_record" if _silence_refuses(mode, applied, line) else "record"
    legs = tuple(_leg(party, pack, line, company, mode, silence, applied) for party in parties)
    statute = f"; statute: {line.statute.strip()}" if pack.needs_statute else ""
    return RecordingDecision(
        record=True,
        mode=mode,
        pack=pack.id,
        pack_version=pack.version,
        purpose=pack.purpose,
        legal_basis=pack.legal_basis + statute,
        legs=legs,
        destroy_on_objection=pack.destroy_on_objection,
        objection_key=None if mode is ConsentMode.NONE else OBJECTION_KEY,
        retention=pack.retention or Period(),
        provisional=pack.provisional,
        minimum=pack.minimum,
        start_event=pack.start_event,
        lossless=pack.lossless,
        rule=f"{why}; silence: {silence}",
        rule_id=rule_id,
    )


class Periods(Protocol):
    """What is known of how long a recording is kept: a decision, or the pack that it rests on."""

    @property
    def retention(self) -> Period | None: ...

    @property
    def provisional(self) -> Period | None: ...

    @property
    def start_event(self) -> str: ...


def expires_at(rule: Periods, end: datetime, start_event_at: datetime | None = None) -> datetime:
    """When a recording that ended at `end` is to be deleted.

    Where the pack's period runs from a later event (a contract signed, a case closed), pass its time as
    `start_event_at`; until then the provisional period runs from the recording's end.
    """
    retention = rule.retention or Period()
    if start_event_at is not None:
        return retention.after(start_event_at)
    if rule.start_event == "recording_end" or rule.provisional is None:
        return retention.after(end)
    return rule.provisional.after(end)


def not_recorded(pack: Pack | None, why: str, rule_id: str = "") -> RecordingDecision:
    """The decision that nothing is recorded, and why."""
    return RecordingDecision(
        record=False,
        mode=ConsentMode.FORBIDDEN,
        pack=pack.id if pack else "",
        pack_version=pack.version if pack else "",
        purpose=pack.purpose if pack else "",
        legal_basis=pack.legal_basis if pack else "",
        legs=(),
        destroy_on_objection=True,
        objection_key=None,
        retention=Period(),
        provisional=None,
        minimum=None,
        start_event="recording_end",
        lossless=False,
        rule=f"not recorded: {why}",
        rule_id=rule_id or (f"pack.{pack.id}" if pack else "no_purpose"),
    )


def _country_of(party: Party, company: CompanyFacts) -> str | None:
    return company.country if party.role == "staff" and party.country is None else party.country


def _applied_rules(
    pack: Pack, parties: Sequence[Party], company: CompanyFacts, rules: CountryRules
) -> tuple[tuple[str, CountryRule], ...]:
    """Who brings which country's rule into the decision."""
    home = company.country
    concerned = [(f"leg {p.leg}", _country_of(p, company), p.us_state) for p in parties]
    concerned.append(("company", home, None))
    if pack.country_rules == "foreign":
        concerned = [entry for entry in concerned if entry[1] != home]
    found = tuple((who, rules.for_party(country, state)) for who, country, state in concerned)
    if pack.country_rules == "forbidden_only":
        return tuple((who, rule) for who, rule in found if rule.mode == "forbidden")
    return found


def _mode(pack: Pack, line: LinePolicy, applied: Sequence[tuple[str, CountryRule]]) -> tuple[ConsentMode, str, str]:
    """The strictest mode, the first row that asked for it, and all of them in words."""
    asked = [(ConsentMode.parse(pack.consent), f"pack.{pack.id}", f"pack {pack.id}@{pack.version}")]
    if line.consent is not None:
        asked.append((line.consent, "line", "the line's own choice"))
    for who, rule in applied:
        why = f"country {rule.key}@{rule.version} ({who}: {rule.basis}, {rule.confidence})"
        asked.append((ConsentMode.parse(rule.mode), f"country.{rule.key.replace('?', 'unknown')}", why))
    mode = strictest(entry[0] for entry in asked)
    decisive = [entry for entry in asked if entry[0] is mode]
    text = f"{mode} by {'; '.join(why for _, _, why in decisive)}"
    if pack.country_rules == "foreign":
        text += f"; statute displaces the company country's rule ({pack.id}.country_rules)"
    if pack.country_rules == "forbidden_only":
        text += f"; nobody is delayed by a question ({pack.id}.country_rules)"
    return mode, decisive[0][1], text


def _silence_refuses(mode: ConsentMode, applied: Sequence[tuple[str, CountryRule]], line: LinePolicy) -> bool:
    """No key pressed means no, for opt-in always, for opt-out where the policy or any country concerned says so."""
    if mode is ConsentMode.OPT_IN:
        return True
    refused = line.refuse_silence or any(rule.silence == "do_not_record" for _, rule in applied)
    return mode is ConsentMode.OPT_OUT and refused


def _leg(
    party: Party,
    pack: Pack,
    line: LinePolicy,
    company: CompanyFacts,
    mode: ConsentMode,
    silence: Silence,
    applied: Sequence[tuple[str, CountryRule]],
) -> LegConsent:
    language = choose_language(party.language, _country_of(party, company), line.language, company.languages)
    on_refusal: OnRefusal = "end_call" if pack.on_refusal == "end_call" else "continue"
    if party.role == "staff" and mode is not ConsentMode.NONE and _only_told(party, pack, line, applied):
        return LegConsent(party.leg, ConsentMode.ANNOUNCE, "PROMPT_STAFF", language, "record", on_refusal)
    return LegConsent(party.leg, mode, _prompt(pack, mode), language, silence, on_refusal)


def _only_told(party: Party, pack: Pack, line: LinePolicy, applied: Sequence[tuple[str, CountryRule]]) -> bool:
    """Staff informed beforehand are told, not asked, unless the line or their own country asks them."""
    own = next((rule for who, rule in applied if who == f"leg {party.leg}"), None)
    asks = own is not None and ConsentMode.parse(own.mode) >= ConsentMode.OPT_IN
    return "staff_informed" in pack.preconditions and not line.ask_staff and not asks


def _prompt(pack: Pack, mode: ConsentMode) -> str | None:
    """The pack's own text where it was written for this mode, else the general one of the mode."""
    if mode is ConsentMode.NONE:
        return None
    texts = prompt_texts.load()
    for prompt_id in pack.prompts:
        if texts[prompt_id].mode == str(mode) and prompt_id != "PROMPT_OPTIN":
            return prompt_id
    if mode is ConsentMode.OPT_IN:
        return "PROMPT_OPTIN_OR_END" if pack.on_refusal == "end_call" else "PROMPT_OPTIN"
    return {ConsentMode.ANNOUNCE: "PROMPT_ANNOUNCE", ConsentMode.OPT_OUT: "PROMPT_OPTOUT"}[mode]
