"""May this person be contacted now: the examples of the law, and what holds whatever anybody has entered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import contact_rules, public_holidays
from retention.contact import may_contact
from retention.contact_facts import Consent, ContactFacts, Decision, Reference, Suppression
from retention.contact_hours import closed_because
from retention.whereabouts import Whereabouts, whereabouts

RULES = contact_rules.load()
PARIS = ZoneInfo("Europe/Paris")
FRANCE = Whereabouts(("Europe/Paris",), ("FR",))
TUESDAY_11 = datetime(2026, 11, 24, 11, 0, tzinfo=PARIS)
GIVEN = datetime(2026, 9, 1, 9, 0, tzinfo=PARIS)
LINE_NUMBER = "+33162000000"


def at(text: str, zone: str = "Europe/Paris") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def consent(**more: Any) -> Consent:
    said: dict[str, Any] = {"channel": "voice", "purpose": "telecom", "given_at": GIVEN}
    return Consent("c1", **(said | more))


def facts(**more: Any) -> ContactFacts:
    said: dict[str, Any] = {"channel": "voice", "sector": "telecom", "target": "consumer", "country": "FR",
                            "where": FRANCE, "caller": LINE_NUMBER}  # fmt: skip
    return ContactFacts(**(said | more))


def agreed(**more: Any) -> ContactFacts:
    return facts(consents=(consent(),), **more)


def ask(given_facts: ContactFacts, now: datetime = TUESDAY_11) -> Decision:
    return may_contact(given_facts, RULES, now)


# --- whether at all ---------------------------------------------------------------------------------------------------


@pytest.mark.promise("L4", "2.16")
def test_a_consumer_is_called_with_consent_and_not_without() -> None:
    no = ask(facts())
    assert (no.allowed, no.ground, no.rule, no.again_at) == (False, "no_consent", "FR.consumers", None)
    assert "L223-1" in no.basis
    yes = ask(agreed())
    assert (yes.allowed, yes.evidence, yes.rule) == (True, "c1", "FR.consumers")


@pytest.mark.parametrize(
    "wrong",
    [
        {"channel": "sms"},
        {"purpose": "insurance"},
        {"given_at": TUESDAY_11 + timedelta(minutes=1)},
        {"expires_at": TUESDAY_11},
        {"withdrawn_at": TUESDAY_11},
        {"given_at": at("2023-11-24T11:00")},  # three years old
    ],
)
def test_a_consent_for_something_else_or_of_another_time_is_none(wrong: dict[str, Any]) -> None:
    assert ask(facts(consents=(consent(**wrong),))).ground == "no_consent"


def test_a_contract_that_runs_stands_in_for_consent() -> None:
    runs = Reference("k1", "contract", "telecom", GIVEN, until=TUESDAY_11 + timedelta(days=1))
    yes = ask(facts(references=(runs,)))
    assert yes.allowed and yes.evidence == "k1"
    assert ask(facts(references=(runs,)), TUESDAY_11 + timedelta(days=1)).ground == "no_consent"
    assert ask(facts(references=(replace(runs, purpose="bank"),))).ground == "no_consent"


def test_a_professional_until_they_object() -> None:
    assert ask(facts(target="professional")).allowed
    assert ask(facts(target="ask")).ground == "no_consent"  # nobody knows: a consumer
    known = Reference("p1", "professional", "", GIVEN)
    yes = ask(facts(target="ask", references=(known,)))
    assert yes.allowed and yes.evidence == "p1" and yes.rule == "FR.professionals"
    objected = Suppression("objection", GIVEN)
    assert ask(facts(target="professional", suppressions=(objected,))).ground == "suppressed"


@pytest.mark.promise("L4")
@pytest.mark.parametrize("sector", ["energy_renovation", "home_adaptation", "cpf_training"])
@pytest.mark.parametrize("target", ["consumer", "professional", "ask"])
def test_sectors_that_nobody_is_canvassed_for(sector: str, target: str) -> None:
    given_facts = facts(sector=sector, target=target, consents=(consent(purpose=sector),))
    no = ask(given_facts)
    assert (no.ground, no.again_at) == ("sector", None)
    runs = Reference("k1", "contract", sector, GIVEN)
    yes = ask(replace(given_facts, references=(runs,)))
    assert yes.allowed and yes.evidence == "k1"


@pytest.mark.promise("2.7", "2.15")
def test_a_suppressed_number_whatever_was_agreed_to() -> None:
    runs = Reference("k1", "contract", "telecom", GIVEN)
    for reason in ("objection", "import", "order"):
        no = ask(agreed(references=(runs,), suppressions=(Suppression(reason, GIVEN - timedelta(days=1)),)))
        assert (no.ground, no.rule, no.again_at) == ("suppressed", "suppression", None)
    ends = Suppression("order", GIVEN, TUESDAY_11 + timedelta(hours=1))
    assert ask(agreed(suppressions=(ends,))).again_at == ends.until


def test_a_refusal_holds_sixty_days_and_until_a_new_consent() -> None:
    no = Suppression("refusal", at("2026-09-24T15:00"))
    assert ask(agreed(suppressions=(no,))).ground == "refused"  # the consent is older
    anew = consent(given_at=at("2026-10-01T10:00"))
    early = ask(facts(consents=(anew,), suppressions=(no,)), at("2026-11-23T11:00"))
    assert early.ground == "refused" and early.again_at == at("2026-11-23T15:00")
    assert ask(facts(consents=(anew,), suppressions=(no,)), at("2026-11-23T15:00")).allowed
    professional = facts(target="professional", suppressions=(no,))
    assert (ask(professional).ground, ask(professional).again_at) == ("refused", None)


def test_a_consent_that_was_taken_back_needs_a_new_one_but_no_waiting() -> None:
    back = Suppression("withdrawal", at("2026-11-20T10:00"))
    old = consent(withdrawn_at=back.since)
    runs = Reference("k1", "contract", "telecom", GIVEN)
    assert ask(facts(consents=(old,), references=(runs,), suppressions=(back,))).ground == "refused"
    anew = consent(given_at=at("2026-11-21T10:00"))
    assert ask(facts(consents=(old, anew), suppressions=(back,))).allowed


def test_consent_to_be_called_about_insurance_is_good_for_thirty_days() -> None:
    insurance = facts(sector="insurance", consents=(consent(purpose="insurance", given_at=at("2026-10-26T10:00")),))
    assert ask(insurance).allowed
    assert ask(insurance, at("2026-11-25T10:00")).ground == "no_consent"


# --- when -------------------------------------------------------------------------------------------------------------


@pytest.mark.promise("L4")
@pytest.mark.parametrize(
    ("now", "allowed", "again"),
    [
        ("2026-11-24T10:00", True, None),
        ("2026-11-24T12:59", True, None),
        ("2026-11-24T13:00", False, "2026-11-24T14:00"),
        ("2026-11-24T14:00", True, None),
        ("2026-11-24T19:59", True, None),
        ("2026-11-24T20:00", False, "2026-11-25T10:00"),
        ("2026-11-24T09:59", False, "2026-11-24T10:00"),
        ("2026-11-27T21:00", False, "2026-11-30T10:00"),  # over the weekend
        ("2026-11-28T11:00", False, "2026-11-30T10:00"),
        ("2027-07-14T11:00", False, "2027-07-15T10:00"),
        ("2026-11-11T11:00", False, "2026-11-12T10:00"),
        ("2026-12-24T20:00", False, "2026-12-28T10:00"),  # Christmas is a Friday
        ("2027-03-26T11:00", True, None),  # Good Friday, in most of France
        ("2026-10-25T11:00", False, "2026-10-26T10:00"),  # the clock goes back
    ],
)
def test_the_hours_of_france(now: str, allowed: bool, again: str | None) -> None:
    said = ask(agreed(), at(now))
    assert said.allowed is allowed and said.again_at == (at(again) if again else None)
    assert allowed or (said.ground, said.rule) == ("hours", "FR.hours")


def test_other_times_need_an_express_consent() -> None:
    express = Consent("c2", "voice", "telecom", GIVEN, out_of_hours=True)
    sunday_night = at("2026-11-22T23:00")
    yes = ask(facts(consents=(consent(), express)), sunday_night)
    assert yes.allowed and yes.evidence == "c2"
    assert ask(facts(consents=(consent(), replace(express, withdrawn_at=GIVEN))), sunday_night).ground == "hours"


def there(number: str, country: str) -> Whereabouts:
    return whereabouts(number, country, RULES)


@pytest.mark.parametrize(
    ("number", "country", "closed", "open_"),
    [
        ("+33388123456", "FR", "2027-03-26T11:00", "2027-03-25T11:00"),  # Strasbourg on Good Friday
        ("+33387123456", "FR", "2028-12-26T11:00", "2028-12-27T11:00"),  # Metz
        ("+33142000000", "FR", "2026-12-25T11:00", "2028-12-26T11:00"),  # Paris
        ("+596596501234", "MQ", "2026-05-22T16:00", "2026-05-21T16:00"),  # abolition of slavery; 16 h is 10 h there
        ("+594594301234", "GF", "2026-11-24T11:00", "2026-11-24T15:00"),  # 7 h there, and 11 h
        ("+262262123456", "RE", "2026-11-24T18:00", "2026-11-24T07:00"),  # 21 h there, and 10 h
        ("+262692123456", "RE", "2026-11-24T07:00", "2026-11-24T09:00"),  # Réunion or Mayotte: 9 h on the other
        ("+508411234", "PM", "2026-11-24T13:00", "2026-11-24T15:00"),
        ("+68940412345", "PF", "2026-11-24T19:00", "2026-11-24T22:00"),  # 8 h and 11 h in Tahiti
    ],
)
def test_where_the_number_is(number: str, country: str, closed: str, open_: str) -> None:
    where = there(number, country)
    rule = RULES.one(contact_rules.HoursRule, country, "voice", "consumer", "telecom", date(2026, 11, 24))
    assert closed_because(rule, where, at(closed)) != ""
    assert closed_because(rule, where, at(open_)) == ""


def test_several_zones_must_allow_it_all() -> None:
    spain = there("+34600123456", "ES")  # a mobile: the mainland, or the Canary Islands an hour behind
    assert set(spain.zones) == {"Atlantic/Canary", "Europe/Madrid"}
    mobile = facts(country="ES", where=spain, consents=(consent(),))
    no = ask(mobile, at("2026-11-24T10:30"))
    assert no.ground == "hours" and no.again_at == at("2026-11-24T11:00")
    russia = facts(country="RU", where=there("+79161234567", "RU"), consents=(consent(),))
    assert (ask(russia).ground, ask(russia).again_at) == ("hours", None)  # ten hours apart


def test_a_number_that_does_not_tell_its_zone_or_holidays() -> None:
    satellite = facts(country=None, where=there("+870776123456", ""), consents=(consent(),))
    assert (ask(satellite).ground, ask(satellite).again_at) == ("hours", None)
    nowhere = facts(where=Whereabouts(("Europe/Paris",), ()), consents=(consent(),))
    assert "holidays" in ask(nowhere).why


@pytest.mark.promise("L4")
def test_a_country_without_a_rule_is_held_to_the_strictest_and_it_says_so() -> None:
    belgium = facts(country="BE", where=there("+3225551234", "BE"), target="professional")
    no = ask(belgium)
    assert (no.ground, no.rule) == ("no_consent", "any.consent") and "strictest" in no.why
    runs = Reference("k1", "contract", "telecom", GIVEN)
    assert ask(replace(belgium, references=(runs,))).ground == "no_consent"
    yes = ask(replace(belgium, consents=(consent(),)))
    assert yes.allowed and "no rule of BE" in yes.why
    assert ask(replace(belgium, consents=(consent(),)), at("2027-07-21T11:00")).ground == "hours"  # national day


def test_before_a_rule_was_in_force_the_strictest_held() -> None:
    runs = Reference("k1", "contract", "telecom", at("2026-01-01T00:00"))
    before = ask(facts(references=(runs,)), at("2026-08-10T11:00"))
    assert (before.rule, before.again_at) == ("any.consent", at("2026-08-11T10:00"))


# --- how often, and as whom -------------------------------------------------------------------------------------------


@pytest.mark.promise("L4")
def test_the_fifth_attempt_in_thirty_calendar_days_is_not_made() -> None:
    tries = tuple(at(f"2026-11-{day:02}T18:30") for day in (2, 3, 4, 5))
    no = ask(agreed(attempts=tries))
    assert (no.ground, no.rule) == ("attempts", "FR.attempts")
    # The first, of 2 November, counts on that day and the 29 after it.
    assert no.again_at == at("2026-12-02T10:00")
    assert ask(agreed(attempts=tries), at("2026-12-01T19:59")).ground == "attempts"
    assert ask(agreed(attempts=tries), at("2026-12-02T10:00")).allowed
    assert ask(agreed(attempts=tries[:3])).allowed


def test_the_number_that_is_shown() -> None:
    for number in ("+33612345678", "+33712345678"):
        assert ask(agreed(caller=number)).ground == "caller"
    assert ask(agreed(hidden=True)).ground == "caller"
    assert ask(agreed(caller="")).allowed  # the provider shows the trunk's


# --- whatever anybody has entered -------------------------------------------------------------------------------------

MOMENTS = st.integers(0, 152 * 86400).map(lambda s: datetime(2026, 9, 1, tzinfo=UTC) + timedelta(seconds=s))
SOME = st.booleans()
CONSENTS = st.builds(
    Consent,
    st.sampled_from(["c1", "c2", "c3"]),
    st.sampled_from(["voice", "sms"]),
    st.sampled_from(["telecom", "insurance", "energy_renovation"]),
    MOMENTS,
    st.none() | MOMENTS,
    st.none() | MOMENTS,
    SOME,
)
REFERENCES = st.builds(
    Reference, st.sampled_from(["k1", "k2"]), st.sampled_from(["contract", "professional"]),
    st.sampled_from(["telecom", "energy_renovation", ""]), MOMENTS, st.none() | MOMENTS,
)  # fmt: skip
SUPPRESSIONS = st.builds(
    Suppression, st.sampled_from(["refusal", "withdrawal", "objection", "import"]), MOMENTS, st.none() | MOMENTS
)
WHERES = st.sampled_from(
    [FRANCE, there("+33388123456", "FR"), there("+262692123456", "RE"), there("+34600123456", "ES"),
     there("+12125550123", "US"), Whereabouts((), ("FR",)), Whereabouts(("Europe/Paris",), ())]
)  # fmt: skip
ANYBODY = st.builds(
    ContactFacts,
    channel=st.sampled_from(["voice", "sms"]),
    sector=st.sampled_from(["telecom", "insurance", "energy_renovation"]),
    target=st.sampled_from(["consumer", "professional", "ask"]),
    country=st.sampled_from(["FR", "RE", "ES", "US", None]),
    where=WHERES,
    consents=st.lists(CONSENTS, max_size=3).map(tuple),
    references=st.lists(REFERENCES, max_size=2).map(tuple),
    suppressions=st.lists(SUPPRESSIONS, max_size=2).map(tuple),
    attempts=st.lists(MOMENTS, max_size=6).map(tuple),
    caller=st.sampled_from(["", LINE_NUMBER, "+33612345678"]),
    hidden=SOME,
)
WILLING = st.builds(
    lambda given_facts, extra: replace(
        given_facts, suppressions=(), hidden=False, caller="", consents=(*given_facts.consents, extra)
    ),
    ANYBODY,
    CONSENTS.map(lambda c: replace(c, expires_at=None, withdrawn_at=None, channel="voice", purpose="telecom")),
).map(lambda f: replace(f, channel="voice", sector="telecom"))
many = settings(max_examples=400, deadline=None)


def is_open(zone: str, regions: tuple[str, ...], now: datetime) -> bool:
    """The hours of the decree, written down a second time."""
    local = now.astimezone(ZoneInfo(zone))
    if local.weekday() > 4 or any(local.date() in public_holidays.of(region, local.year) for region in regions):
        return False
    return 10 <= local.hour < 13 or 14 <= local.hour < 20


@pytest.mark.promise("L4")
@many
@given(ANYBODY | WILLING, MOMENTS)
def test_what_is_allowed_breaks_no_rule(given_facts: ContactFacts, now: datetime) -> None:
    said = ask(given_facts, now)
    if not said.allowed:
        assert said.evidence == "" and said.why
        return
    current = [
        c for c in given_facts.consents if c.given_at <= now and (c.withdrawn_at is None or now < c.withdrawn_at)
    ]
    if not any(c.out_of_hours for c in current):
        assert given_facts.where.zones and given_facts.where.holidays
        assert all(is_open(zone, given_facts.where.holidays, now) for zone in given_facts.where.zones)
    for entry in given_facts.suppressions:
        if entry.since <= now and (entry.until is None or now < entry.until):
            assert entry.reason in ("refusal", "withdrawal")
            assert any(c.given_at > entry.since for c in current)
            assert entry.reason == "withdrawal" or now >= entry.since + timedelta(days=60)
    recent = [a for a in given_facts.attempts if now - timedelta(days=29) <= a <= now]
    assert len(recent) < 4
    assert not given_facts.hidden and not given_facts.caller.startswith("+336")
    runs = [r for r in given_facts.references if r.since <= now and (r.until is None or now < r.until)]
    if given_facts.sector == "energy_renovation" and given_facts.country in ("FR", "RE"):
        assert any(r.kind == "contract" and r.purpose == given_facts.sector for r in runs)
    elif given_facts.target == "consumer":
        ids = {c.consent_id for c in current} | {r.reference_id for r in runs if r.kind == "contract"}
        assert said.evidence in ids


@pytest.mark.promise("L4")
@many
@given(ANYBODY | WILLING, MOMENTS, st.lists(st.floats(0, 1, exclude_max=True), min_size=8, max_size=8))
def test_again_at_is_the_first_moment_that_is_allowed(
    given_facts: ContactFacts, now: datetime, chances: list[float]
) -> None:
    said = ask(given_facts, now)
    if said.allowed:
        assert said.again_at is None
        return
    horizon = said.again_at or now + timedelta(days=200)
    assert said.again_at is None or (horizon > now and ask(given_facts, horizon).allowed)
    marks = [now + (horizon - now) * chance for chance in chances]
    # Just before, and every moment at which anything that was entered changes.
    edges = [c.given_at for c in given_facts.consents] + [r.since for r in given_facts.references]
    edges += [s.until for s in given_facts.suppressions if s.until is not None]
    for moment in [*marks, *edges, horizon - timedelta(microseconds=1)]:
        if now <= moment < horizon:
            assert not ask(given_facts, moment).allowed


@pytest.mark.promise("2.15")
@many
@given(ANYBODY | WILLING, MOMENTS)
def test_one_more_objection_never_allows_anything(given_facts: ContactFacts, now: datetime) -> None:
    objected = replace(given_facts, suppressions=(*given_facts.suppressions, Suppression("objection", now)))
    said = ask(objected, now)
    assert not said.allowed and said.again_at is None
