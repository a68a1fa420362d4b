"""Advertising by text: consent or customer, the hours that a company binds itself to, ceilings, senders."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import contact_rules
from config.shipped import DataError, read
from retention.contact import may_contact
from retention.contact_facts import Consent, ContactFacts, Decision, Reference, Suppression
from retention.whereabouts import Whereabouts, whereabouts

RULES = contact_rules.load()
FRANCE = Whereabouts(("Europe/Paris",), ("FR",))
PARIS = ZoneInfo("Europe/Paris")
TUESDAY_11 = datetime(2026, 11, 24, 11, 0, tzinfo=PARIS)
GIVEN = datetime(2026, 9, 1, 9, 0, tzinfo=PARIS)


def at(text: str, zone: str = "Europe/Paris") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def facts(**more: Any) -> ContactFacts:
    said: dict[str, Any] = {"channel": "sms", "sector": "telecom", "target": "consumer", "country": "FR",
                            "where": FRANCE, "caller": "'Beffroi", "hours_profile": "prudent"}  # fmt: skip
    return ContactFacts(**(said | more))


CONSENT = Consent("c1", "sms", "telecom", GIVEN)


def agreed(**more: Any) -> ContactFacts:
    return facts(consents=(CONSENT,), **more)


def ask(given_facts: ContactFacts, now: datetime = TUESDAY_11) -> Decision:
    return may_contact(given_facts, RULES, now)


@pytest.mark.promise("1.1")
def test_advertising_needs_a_consent_for_texts() -> None:
    no = ask(facts())
    assert (no.allowed, no.ground, no.rule, no.again_at) == (False, "no_consent", "FR.sms-consumers", None)
    assert "L34-5" in no.basis
    yes = ask(agreed())
    assert (yes.allowed, yes.evidence, yes.rule) == (True, "c1", "FR.sms-consumers")
    for_calls = Consent("c2", "voice", "telecom", GIVEN)
    assert ask(facts(consents=(for_calls,))).ground == "no_consent"
    assert ask(facts(target="ask")).ground == "no_consent"
    assert ask(facts(target="professional")).allowed


@pytest.mark.promise("1.1")
def test_a_customer_is_texted_about_what_they_bought_and_a_contract_alone_is_not_that() -> None:
    bought = Reference("k1", "customer", "telecom", GIVEN)
    yes = ask(facts(references=(bought,)))
    assert (yes.allowed, yes.evidence) == (True, "k1")
    assert ask(facts(references=(Reference("k1", "contract", "telecom", GIVEN),))).ground == "no_consent"
    assert ask(facts(references=(Reference("k1", "customer", "bank", GIVEN),))).ground == "no_consent"
    # The other way round too: who has bought something is not called for it.
    called = facts(channel="voice", caller="+33162000000", references=(bought,), hours_profile="")
    assert ask(called).ground == "no_consent"
    # And no longer than a consent would be good for.
    three_years_on = at("2029-08-31T11:00")
    assert ask(facts(references=(bought,)), three_years_on).allowed
    assert ask(facts(references=(bought,)), at("2029-09-03T11:00")).ground == "no_consent"
    elsewhere = facts(country="BE", where=whereabouts("+32470123456", "BE", RULES), references=(bought,))
    assert ask(elsewhere).rule == "any.consent"


def test_works_at_home_are_not_advertised_but_under_a_contract() -> None:
    willing = Consent("c1", "sms", "energy_renovation", GIVEN)
    no = ask(facts(sector="energy_renovation", consents=(willing,)))
    assert (no.ground, no.rule) == ("sector", "FR.works-at-home")
    runs = Reference("k1", "contract", "energy_renovation", GIVEN)
    assert ask(facts(sector="energy_renovation", references=(runs,))).ground == "no_consent"
    yes = ask(facts(sector="energy_renovation", references=(runs,), consents=(willing,)))
    assert yes.allowed and yes.evidence == "c1"


@pytest.mark.promise("1.3")
def test_an_objection_is_stronger_than_consent_and_purchase() -> None:
    bought = Reference("k1", "customer", "telecom", GIVEN)
    no = ask(agreed(references=(bought,), suppressions=(Suppression("objection", TUESDAY_11),)))
    assert (no.ground, no.again_at) == ("suppressed", None)
    refused = ask(agreed(suppressions=(Suppression("refusal", at("2026-11-01T10:00")),)))
    assert (refused.ground, refused.rule, refused.again_at) == ("refused", "FR.sms-refusal", None)


@pytest.mark.promise("1.6")
@pytest.mark.parametrize(
    ("profile", "now", "again"),
    [
        ("prudent", "2026-11-24T08:00", None),
        ("prudent", "2026-11-24T07:59", "2026-11-24T08:00"),
        ("prudent", "2026-11-24T13:30", None),
        ("prudent", "2026-11-24T20:00", "2026-11-25T08:00"),
        ("prudent", "2026-11-27T20:30", "2026-11-28T10:00"),
        ("prudent", "2026-11-28T17:59", None),
        ("prudent", "2026-11-28T18:00", "2026-11-30T08:00"),
        ("prudent", "2026-11-29T11:00", "2026-11-30T08:00"),  # Sunday
        ("prudent", "2026-12-25T11:00", "2026-12-26T10:00"),  # Christmas, before a Saturday
        ("af2m-2026", "2026-11-24T21:29", None),
        ("af2m-2026", "2026-11-24T21:30", "2026-11-25T08:00"),
        ("af2m-2026", "2026-11-28T20:00", None),
        ("af2m-2026", "2026-11-29T11:00", "2026-11-30T08:00"),
        ("af2m-2026", "2027-07-14T11:00", "2027-07-15T08:00"),
        ("af2m-2026-tolerated", "2026-11-29T11:00", None),
        ("af2m-2026-tolerated", "2027-07-14T11:00", None),
        ("af2m-2026-tolerated", "2026-11-29T22:00", "2026-11-30T08:00"),
        ("af2m-2024", "2026-11-24T21:45", None),
        ("af2m-2024", "2026-11-29T11:00", "2026-11-30T08:00"),
        ("", "2026-11-24T13:30", "2026-11-24T14:00"),  # no choice made: the strictest
        ("none-of-ours", "2026-11-28T11:00", "2026-11-30T10:00"),
    ],
)
def test_the_hours_that_a_company_has_bound_itself_to(profile: str, now: str, again: str | None) -> None:
    said = ask(agreed(hours_profile=profile), at(now))
    assert (said.allowed, said.again_at) == (again is None, at(again) if again else None)
    assert said.allowed or said.ground == "hours"


@pytest.mark.promise("1.6")
def test_hours_are_those_where_the_person_is() -> None:
    island = facts(country="RE", where=whereabouts("+262692123456", "RE", RULES), consents=(CONSENT,))
    early = at("2026-11-24T05:30")  # 8:30 in Réunion, 7:30 in Mayotte: which of them nobody knows
    assert (ask(island, early).ground, ask(island, early).again_at) == ("hours", at("2026-11-24T06:00"))
    assert ask(island, at("2026-11-24T17:30")).ground == "hours"  # 20:30 in Réunion
    abolition = at("2026-12-20T12:00")
    assert ask(island, abolition).ground == "hours"


def test_a_profile_of_one_country_loosens_nothing_elsewhere() -> None:
    belgium = facts(country="BE", where=whereabouts("+32470123456", "BE", RULES), consents=(CONSENT,),
                    hours_profile="af2m-2026-tolerated")  # fmt: skip
    for now in ("2026-11-24T21:00", "2026-11-24T13:30", "2026-11-28T11:00"):
        assert (ask(belgium, at(now)).ground, ask(belgium, at(now)).rule) == ("hours", "any.hours")


@pytest.mark.promise("1.6")
@settings(max_examples=300, deadline=None)
@given(st.integers(0, 120 * 24 * 60), st.sampled_from(RULES.profiles("sms")), st.sampled_from(["FR", "RE", "BE"]))
def test_a_profile_never_loosens_a_rule_of_the_country(minute: int, profile: str, country: str) -> None:
    """Give France hours of its own for texts: whatever is chosen, nothing goes outside of them."""
    now = datetime(2026, 10, 1, tzinfo=UTC) + timedelta(minutes=minute)
    one = facts(country=country, consents=(CONSENT,), hours_profile=profile)
    said = may_contact(one, OWN_HOURS, now)
    local = now.astimezone(PARIS)
    if said.allowed:
        assert local.weekday() in (0, 2) and 9 <= local.hour < 21
        if country != "BE":
            assert may_contact(one, RULES, now).allowed
    else:
        assert said.again_at is not None
        assert may_contact(one, OWN_HOURS, said.again_at).allowed
        assert not may_contact(one, OWN_HOURS, said.again_at - timedelta(microseconds=1)).allowed


def _with_own_hours() -> contact_rules.ContactRules:
    data = copy.deepcopy(read("contact_rules.toml"))
    hours = copy.deepcopy(next(rule for rule in data["rule"] if rule["id"] == "FR.hours"))
    hours |= {"id": "test.hours", "channels": ["sms"], "valid_from": GIVEN.date(), "days": ["MO", "WE"],
              "slots": [["09:00", "21:00"]], "also": ["RE", "BE"], "holidays": True}  # fmt: skip
    data["rule"].append(hours)
    return contact_rules.build(data)


OWN_HOURS = _with_own_hours()


def test_at_most_four_texts_in_thirty_days() -> None:
    sent = tuple(at(f"2026-11-{day:02}T18:30") for day in (2, 3, 4, 5))
    no = ask(agreed(attempts=sent))
    assert (no.ground, no.rule, no.again_at) == ("attempts", "FR.sms-attempts", at("2026-12-02T08:00"))
    assert "4 texts" in no.why
    assert ask(agreed(attempts=sent[1:])).allowed


@pytest.mark.promise("1.5")
@pytest.mark.parametrize(
    ("sender", "allowed"),
    [("'Beffroi", True), ("36105/FR", True), ("38105/FR", False), ("+33612345678", False), ("+33712345678", False),
     ("+262692123456", False), ("+33162000000", True), ("+380441234567", True)],
)  # fmt: skip
def test_senders_that_may_not_advertise(sender: str, allowed: bool) -> None:
    said = ask(agreed(caller=sender))
    assert said.allowed is allowed and (allowed or (said.ground, said.rule) == ("caller", "FR.sms-caller"))


@pytest.mark.parametrize(
    ("rule", "change", "said"),
    [
        ("FR.sms-prudent", {"open": {"MON": [["08:00", "20:00"]]}}, "MON"),
        ("FR.sms-prudent", {"open": {}}, "never"),
        ("FR.sms-prudent", {"open": {"MO": [["20:00", "08:00"]]}}, "open"),
        ("FR.sms-prudent", {"days": ["MO"]}, "or open by day"),
        ("FR.sms-prudent", {"country": "*"}, "countries that it names"),
        ("FR.sms-prudent", {"profile": "Prudent!"}, "small letters"),
        ("FR.sms-caller", {"deny": ["x38"]}, "short codes"),
    ],
)
def test_a_mistake_in_the_rules_of_texts_is_found(rule: str, change: dict[str, Any], said: str) -> None:
    data = copy.deepcopy(read("contact_rules.toml"))
    next(entry for entry in data["rule"] if entry["id"] == rule).update(change)
    with pytest.raises(DataError, match=said):
        contact_rules.build(data)
