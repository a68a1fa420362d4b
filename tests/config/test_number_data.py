"""Emergency numbers, number plans and rates: the shipped data is right, a mistake in it is found."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import phonenumbers
import pytest
from phonenumbers import shortnumberinfo

from config import emergency, numbering, rates
from config.rates import Rate
from config.shipped import DataError, read


@pytest.mark.promise("P12")
@pytest.mark.parametrize("country", ["FR", "RE", "YT", "GP", "MQ", "GF", "BL", "MF", "PM"])
def test_the_emergency_numbers_of_france_hold_overseas_too(country: str) -> None:
    found = set(emergency.load().of(country))
    assert found == {"112", "15", "17", "18", "114", "115", "116000", "116117", "119", "191", "196", "197"}


@pytest.mark.promise("P12")
@pytest.mark.parametrize("country", ["DE", "AT", "CH", "BE", "LU", "ES", "IT", "GB", "US", "NL", "PT", "IE"])
def test_what_the_number_library_holds_for_an_emergency_number_is_one_here(country: str) -> None:
    known = emergency.load().of(country)
    theirs = {str(n) for n in range(10, 1000) if shortnumberinfo.is_emergency_number(str(n), country)}
    ours = {number for number in known if len(number) <= 3}
    old = {"122": "AT", "911": "NL", "115": "PT"}  # other trunks of theirs, redirected by the carrier or withdrawn
    assert {n for n in theirs - ours if old.get(n) != country} <= ({"112"} if country == "US" else set())
    assert any(each.service == "all" for each in known.values())


def test_help_for_children_and_victims_is_discreet_and_the_fire_brigade_is_not() -> None:
    france = emergency.load().of("FR")
    assert {n for n, each in france.items() if each.discreet} == {"115", "116000", "116117", "119"}
    assert emergency.load().of("ES")["016"].discreet and not france["15"].discreet


def test_where_nothing_is_known_the_two_numbers_of_the_world_hold() -> None:
    assert set(emergency.load().of("JP")) == {"112", "911"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["countries"]["FR"]["numbers"].update({"15a": "medical"}), "no emergency number"),
        (lambda d: d["countries"]["FR"]["numbers"].update({"15": "doctor"}), "not one of"),
        (lambda d: d["countries"]["FR"]["numbers"].pop("112"), "every service"),
        (lambda d: d["countries"]["FR"]["discreet"].append("99"), "none of its numbers"),
        (lambda d: d["countries"]["FR"]["also"].append("DE"), "twice"),
        (lambda d: d["countries"]["DE"].pop("basis"), "missing basis"),
        (lambda d: d["countries"]["DE"].update(confidence="sure"), "not one of"),
    ],
)
def test_a_mistake_in_the_emergency_numbers_is_found(change: Any, message: str) -> None:
    data = copy.deepcopy(read("emergency.toml"))
    change(data)
    with pytest.raises(DataError, match=message):
        emergency.build(data)


@pytest.mark.promise("P14")
@pytest.mark.parametrize(
    ("dialled", "abroad"),
    [
        ("0262123456", "+262262123456"), ("0692123456", "+262692123456"), ("0639012345", "+262639012345"),
        ("0269601234", "+262269601234"), ("0590123456", "+590590123456"), ("0690123456", "+590690123456"),
        ("0594301234", "+594594301234"), ("0694201234", "+594694201234"), ("0596301234", "+596596301234"),
        ("0696201234", "+596696201234"), ("0508411234", "+508411234"), ("0708401234", "+508708401234"),
        ("0123456789", "+33123456789"), ("0612345678", "+33612345678"), ("0976012345", "+590976012345"),
        ("0976212345", "+262976212345"), ("0972394050", "+33972394050"),
    ],
)  # fmt: skip
def test_ten_french_digits_lead_to_the_right_country_code(dialled: str, abroad: str) -> None:
    code, national = numbering.load().plans["FR"].place(dialled[1:])
    assert f"+{code}{national}" == abroad


@pytest.mark.promise("P14")
def test_every_overseas_number_that_the_library_knows_is_found_in_the_french_plan() -> None:
    plan = numbering.load().plans["FR"]
    for region in sorted(plan.members - {"FR", "PM"}):
        for kind in (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE):
            example = phonenumbers.example_number_for_type(region, kind)
            assert example is not None
            assert plan.place(str(example.national_number)) == (example.country_code, str(example.national_number))


@pytest.mark.promise("P14")
@pytest.mark.parametrize(
    ("number", "class_"),
    [
        ("3000", "toll_free"), ("3114", "toll_free"), ("3008", "premium"), ("3170", "premium"), ("3180", "toll_free"),
        ("3631", "short"), ("3919", "toll_free"), ("3200", "premium"), ("1023", "short"), ("118712", "premium"),
        ("116006", "toll_free"), ("2000", None),
    ],
)  # fmt: skip
def test_french_short_numbers_have_their_class(number: str, class_: str | None) -> None:
    assert numbering.load().short["FR"].get(number) == class_
    assert numbering.load().short["RE"].get(number) == class_


def test_help_lines_are_known_short_and_long() -> None:
    known = numbering.load()
    assert known.is_help_line("3919", "FR") and known.is_help_line("116111", "DE") and known.is_help_line("119", "FR")
    assert known.is_help_line("+33972394050", "FR") and not known.is_help_line("+33123456789", "FR")
    assert not known.is_help_line("3919", "DE")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["plan"]["FR"]["codes"]["590"].append("262"), "twice"),
        (lambda d: d["plan"]["FR"]["drop"].update({"508": ["708"]}), "two places"),
        (lambda d: d["plan"]["FR"]["members"].append("ZZ"), "no country"),
        (lambda d: d["short"]["FR"][0].update({"to": "2999"}), "no range"),
        (lambda d: d["short"]["FR"][0].update({"class": "cheap"}), "not one of"),
        (lambda d: d["special"]["FR"][0]["prefixes"].append("x"), "no prefix"),
        (lambda d: d["satellite"]["prefixes"].append("870"), "country code"),
        (lambda d: d["help_lines"]["countries"]["FR"].append("+0"), "no number"),
    ],
)
def test_a_mistake_in_the_plan_is_found(change: Any, message: str) -> None:
    data = copy.deepcopy(read("numbering.toml"))
    change(data)
    with pytest.raises(DataError, match=message):
        numbering.build(data)


# --- rates --------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P13")
def test_the_most_particular_rate_counts() -> None:
    known = rates.load()
    assert known.examples
    assert known.of("+68987123456", "PF", "overseas") == known.by_prefix["+689"]
    assert known.of("+4930123456", "DE", "international") == known.by_country["DE", ""]
    assert known.of("+499001234567", "DE", "premium") == known.by_class["premium"]  # no bargain by the country's row
    assert known.of("+449012345678", "GB", "premium") == known.by_country["GB", "premium"]
    assert known.of("+12125550123", "US", "international") == known.by_class["international"]


@pytest.mark.parametrize(("seconds", "cost"), [(0, 0), (0.1, 110), (60, 110), (60.5, 210), (3600, 6010)])
def test_a_minute_begun_is_a_minute(seconds: float, cost: int) -> None:
    assert Rate(per_minute=100, per_call=10).cost(seconds) == cost


def test_the_companys_own_rates_stand_in_place_of_the_examples(tmp_path: Path) -> None:
    own = tmp_path / "rates.toml"
    assert rates.load(own).examples
    rows = "".join(f'[[rate]]\nclass = "{c}"\nper_minute = 7\nper_call = 0\n' for c in sorted(rates.CLASSES))
    own.write_text(f'version = "mine"\n{rows}')
    assert rates.load(own).version == "mine" and not rates.load(own).examples
    own.write_text("version = ")
    with pytest.raises(DataError, match="rates.toml"):
        rates.load(own)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"class": "national", "per_minute": 1, "per_call": 0}, "twice"),
        ({"class": "cheap", "per_minute": 1, "per_call": 0}, "give a prefix"),
        ({"per_minute": 1, "per_call": 0}, "give a prefix"),
        ({"country": "ZZ", "per_minute": 1, "per_call": 0}, "give a prefix"),
        ({"prefix": "+1", "class": "national", "per_minute": 1, "per_call": 0}, "give a prefix"),
        ({"country": "FR", "per_minute": 0.1, "per_call": 0}, "microeuros"),
        ({"country": "FR", "per_minute": -1, "per_call": 0}, "microeuros"),
        ({"country": "FR", "per_minute": 1}, "missing per_call"),
    ],
)
def test_a_mistake_in_the_rates_is_found(row: dict[str, Any], message: str) -> None:
    data = copy.deepcopy(read("rates.toml"))
    data["rate"].append(row)
    with pytest.raises(DataError, match=message):
        rates.build(data, "rates.toml")


@pytest.mark.parametrize("text", ["", "rate = 5", 'version = "1"\nrate = 5', 'version = "1"\nrate = [5]', "\x00", "é"])
def test_a_file_of_rates_that_is_none_is_a_mistake_and_no_crash(tmp_path: Path, text: str) -> None:
    own = tmp_path / "rates.toml"
    own.write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match="rates.toml"):
        rates.load(own)


def test_a_class_without_a_rate_is_found() -> None:
    data = copy.deepcopy(read("rates.toml"))
    data["rate"] = [row for row in data["rate"] if row.get("class") != "satellite"]
    with pytest.raises(DataError, match="satellite"):
        rates.build(data, "rates.toml")
