"""The rules about contacting people are what the law says, dated, with their sources; a mistake in them is found."""

from __future__ import annotations

import copy
from datetime import date
from typing import Any

import pytest

from config import contact_rules, public_holidays
from config.contact_kinds import AttemptsRule, CallerRule, ConsentAge, ConsentRule, HoursRule, RefusalRule, SectorBan
from config.contact_places import place_of
from config.periods import Period
from config.shipped import DataError, read

TODAY = date(2026, 11, 28)


@pytest.mark.promise("L4")
def test_the_figures_of_france() -> None:
    rules = contact_rules.load()

    def one(kind: Any, target: str = "consumer", sector: str = "telecom") -> Any:
        return rules.one(kind, "FR", "voice", target, sector, TODAY)

    assert one(ConsentRule).opt_in and one(ConsentRule).valid_from == date(2026, 8, 11)
    assert not one(ConsentRule, "professional").opt_in
    hours = one(HoursRule)
    assert [f"{a:%H:%M}-{b:%H:%M}" for a, b in hours.slots] == ["10:00-13:00", "14:00-20:00"]
    assert hours.days == {0, 1, 2, 3, 4} and not hours.holidays
    assert (one(AttemptsRule).at_most, one(AttemptsRule).days) == (4, 30)
    assert one(RefusalRule).minimum == Period.parse("P60D")
    assert one(CallerRule).deny == ("+336", "+337") and not one(CallerRule).hidden
    assert one(ConsentAge, sector="insurance").period == Period.parse("P30D")
    banned = {sector for rule in rules.rules if isinstance(rule, SectorBan) for sector in rule.sectors}
    assert banned == {"energy_renovation", "home_adaptation", "cpf_training"}


def test_every_rule_says_from_when_it_holds_and_where_it_was_read() -> None:
    for rule in contact_rules.load().rules:
        assert rule.basis and rule.confidence and rule.valid_from <= TODAY
        assert rule.sources or rule.confidence in ("D", "K")


def test_where_a_country_has_no_rule_the_strictest_holds() -> None:
    rules = contact_rules.load()
    for country in ("BE", None):
        found = rules.one(ConsentRule, country, "voice", "professional", "telecom", TODAY)
        assert found.id == "any.consent" and found.opt_in and not found.contract
    assert rules.one(HoursRule, "FR", "sms", "consumer", "telecom", TODAY).id == "any.hours"
    with pytest.raises(LookupError):
        rules.one(ConsentRule, "FR", "voice", "consumer", "telecom", date(2017, 1, 1))


def test_places_by_the_longest_prefix() -> None:
    places = contact_rules.load().places
    for number, holidays in {
        "+33142000000": ("FR",),
        "+33388123456": ("FR-57", "FR-6AE"),
        "+262262123456": ("FR-974",),
        "+262692123456": ("FR-974", "FR-976"),
    }.items():
        place = place_of(places, number)
        assert place is not None and place.holidays == holidays
    assert place_of(places, "+4930123456") is None


def test_public_holidays() -> None:
    assert public_holidays.name_of(("FR",), date(2026, 7, 14)) is not None
    good_friday, all_souls_day = date(2027, 3, 26), date(2026, 10, 31)
    assert public_holidays.name_of(("FR",), good_friday) is None
    assert public_holidays.name_of(("FR-57",), good_friday) == "Good Friday"
    assert public_holidays.name_of(("DE",), all_souls_day) is None  # Reformation day, in some of its parts
    assert public_holidays.name_of(("DE+",), all_souls_day) is not None
    assert not public_holidays.is_known("XX") and not public_holidays.is_known("FR-99")
    with pytest.raises(LookupError):
        public_holidays.of("XX", 2026)


@pytest.mark.parametrize(
    ("rule", "change", "said"),
    [
        ("FR.hours", {"slots": [["10:00", "09:00"]]}, "slots"),
        ("FR.hours", {"days": ["MON"]}, "MON"),
        ("FR.consumers", {"ask": "maybe"}, "maybe"),
        ("FR.consumers", {"country": "XX"}, "XX"),
        ("FR.consumers", {"valid_from": "2026-08-11"}, "date"),
        ("FR.consumers", {"valid_to": date(2026, 8, 10)}, "ends before"),
        ("FR.consumers", {"sources": []}, "where was that read"),
        ("FR.consumers", {"confidence": "sure"}, "sure"),
        ("FR.works-at-home", {"sectors": []}, "which sectors"),
        ("FR.works-at-home", {"sectors": ["energy"]}, "energy"),
        ("FR.refusal", {"minimum": "P0D"}, "how long"),
        ("FR.attempts", {"at_most": 0}, "at_most"),
        ("FR.caller", {"deny": ["06"]}, "begin with"),
        ("any.consent", {"contract": True}, "consent alone"),
        ("any.hours", {"country": "BE"}, "anywhere"),
        ("FR.hours", {"id": "FR.refusal"}, "twice"),
    ],
)
def test_a_mistake_is_found(rule: str, change: dict[str, Any], said: str) -> None:
    data = copy.deepcopy(read("contact_rules.toml"))
    next(entry for entry in data["rule"] if entry["id"] == rule).update(change)
    with pytest.raises(DataError, match=said):
        contact_rules.build(data)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"prefixes": ["33"]}, "no prefix"), ({"zones": ["Europe/Metz"]}, "Metz"), ({"holidays": ["FR-99"]}, "FR-99")],
)
def test_a_mistake_in_a_place_is_found(change: dict[str, Any], said: str) -> None:
    data = copy.deepcopy(read("contact_rules.toml"))
    data["place"][0].update(change)
    with pytest.raises(DataError, match=said):
        contact_rules.build(data)
