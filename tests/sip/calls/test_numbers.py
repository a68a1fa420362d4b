"""What is dialled is read right: nationally, abroad, overseas, short; an emergency before everything else."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import emergency as emergency_data
from sip.calls import emergency
from sip.calls.numbers import (
    NumberClass,
    SiteNumbering,
    callable_back,
    caller,
    clean,
    country_of,
    for_trunk,
    is_canvassing,
    is_presentable,
    parse,
)

PARIS = SiteNumbering("FR")
PREFIXED = SiteNumbering("FR", outside_prefix="0")
REUNION = SiteNumbering("RE")
BERLIN = SiteNumbering("DE", area_code="030")
NEW_YORK = SiteNumbering("US", area_code="212", outside_prefix="9")
LONDON = SiteNumbering("GB", outside_prefix="9")
SITES = [PARIS, PREFIXED, REUNION, BERLIN, NEW_YORK, LONDON]
SEPARATED = st.lists(st.sampled_from(["", " ", "-", ".", " (", ")"]), min_size=20, max_size=20)


@pytest.mark.promise("P14")
@pytest.mark.parametrize(
    ("site", "dialled", "number", "class_", "country", "abroad"),
    [
        (PARIS, "0123456789", "+33123456789", "national", "FR", False),
        (PARIS, "+33 (0)1 23 45 67 89", "+33123456789", "national", "FR", False),
        (PARIS, "0033123456789", "+33123456789", "national", "FR", False),
        (PARIS, "06 12 34 56 78", "+33612345678", "mobile", "FR", False),
        (PARIS, "0700123456", "+33700123456", "mobile", "FR", False),  # unknown to the library: mobile all the same
        (PARIS, "0987123456", "+33987123456", "national", "FR", False),
        # overseas: what the library reads as a number of +33
        (PARIS, "0262 12 34 56", "+262262123456", "overseas", "RE", False),
        (PARIS, "0693123456", "+262693123456", "overseas", "RE", False),
        (PARIS, "+33693123456", "+262693123456", "overseas", "RE", False),
        (PARIS, "0590 29 00 00", "+590590290000", "overseas", "BL", False),
        (PARIS, "+590690335941", "+590690335941", "overseas", "GP", False),
        (PARIS, "0596301234", "+596596301234", "overseas", "MQ", False),
        (PARIS, "0594301234", "+594594301234", "overseas", "GF", False),
        (PARIS, "0508411234", "+508411234", "overseas", "PM", False),
        (PARIS, "+68987123456", "+68987123456", "overseas", "PF", True),
        (PARIS, "00687261234", "+687261234", "overseas", "NC", True),
        (REUNION, "0123456789", "+33123456789", "overseas", "FR", False),
        (REUNION, "0262301234", "+262262301234", "national", "RE", False),
        (REUNION, "0262301234", "+262262301234", "national", "RE", False),
        # tariffs
        (PARIS, "0800235235", "+33800235235", "toll_free", "FR", False),
        (PARIS, "0806123456", "+33806123456", "national", "FR", False),
        (PARIS, "0820123456", "+33820123456", "shared_cost", "FR", False),
        (PARIS, "0899123456", "+33899123456", "premium", "FR", False),
        (PARIS, "0033899123456", "+33899123456", "premium", "FR", False),
        (BERLIN, "+33899123456", "+33899123456", "premium", "FR", True),
        (PARIS, "+449012345678", "+449012345678", "premium", "GB", True),
        (PARIS, "+19005551234", "+19005551234", "premium", "US", True),
        (PARIS, "+979123456789", "+979123456789", "premium", None, True),
        (PARIS, "+870773111632", "+870773111632", "satellite", None, True),
        (PARIS, "+881612345678", "+881612345678", "satellite", None, True),
        (PARIS, "+18005551234", "+18005551234", "international", "US", True),  # not free from here
        # short
        (PARIS, "3631", "3631", "short", "FR", False),
        (PREFIXED, "03631", "3631", "short", "FR", False),
        (PREFIXED, "3631", "3631", "short", "FR", False),
        (PARIS, "+333631", "3631", "short", "FR", False),
        (PARIS, "3114", "3114", "toll_free", "FR", False),
        (PARIS, "3200", "3200", "premium", "FR", False),
        (PARIS, "1023", "1023", "short", "FR", False),
        (PARIS, "118712", "118712", "premium", "FR", False),
        (BERLIN, "116111", "116111", "toll_free", "DE", False),
        # an outside prefix, and address books without
        (PREFIXED, "00123456789", "+33123456789", "national", "FR", False),
        (PREFIXED, "0123456789", "+33123456789", "national", "FR", False),
        (PREFIXED, "0004930123456", "+4930123456", "international", "DE", True),
        (PREFIXED, "004930123456", "+4930123456", "international", "DE", True),
        (PREFIXED, "+4930123456", "+4930123456", "international", "DE", True),
        (LONDON, "907911123456", "+447911123456", "mobile", "GG", False),
        # area codes
        (BERLIN, "123456", "+4930123456", "national", "DE", False),
        (BERLIN, "0891234567", "+49891234567", "national", "DE", False),
        (NEW_YORK, "95550123", "+12125550123", "national", "US", False),
        (NEW_YORK, "2125550123", "+12125550123", "national", "US", False),
        (NEW_YORK, "9011442071838750", "+442071838750", "international", "GB", True),
        # one country code, other states: where fraud calls to
        (NEW_YORK, "12425551234", "+12425551234", "unknown", "BS", True),
        (NEW_YORK, "18765551234", "+18765551234", "international", "JM", True),
        (NEW_YORK, "14165551234", "+14165551234", "international", "CA", True),
        (PARIS, "+37798123456", "+37798123456", "international", "MC", True),
    ],
)  # fmt: skip
def test_what_is_dialled(
    site: SiteNumbering, dialled: str, number: str, class_: str, country: str | None, abroad: bool
) -> None:
    found = parse(dialled, site)
    assert found is not None
    assert (found.number, found.class_.value, found.country, found.abroad) == (number, class_, country, abroad)


@pytest.mark.parametrize(
    "text", ["", "alice", "00", "+", "+1", "12", "123456", "0123", "1" * 16, "+33+33", "*43", "٣٣"]
)
def test_what_is_no_number_outside_is_none(text: str) -> None:
    assert parse(text, PARIS) is None


@given(st.text(max_size=40), st.sampled_from(SITES))
def test_nothing_that_is_dialled_raises(text: str, site: SiteNumbering) -> None:
    found = parse(text, site)
    assert found is None or found.number.removeprefix("+").isdigit()
    assert caller(text, site) == "" or caller(text, site).startswith("+")
    emergency.recognise(text, site)
    emergency.drill(text, site)


def french(first: str = "12345679") -> st.SearchStrategy[str]:
    return st.builds(lambda a, b: f"0{a}{b:08}", st.sampled_from(first), st.integers(0, 99_999_999))


@pytest.mark.promise("P14")
@given(french(), SEPARATED)
def test_french_numbers_are_the_same_however_they_are_written(dialled: str, between: list[str]) -> None:
    found = parse(dialled, PARIS)
    if found is None:  # 0508 is followed by six digits, of which the first is not 0 or 1
        assert dialled.startswith(("0508", "0708"))
        return
    spaced = "".join(f"{digit}{sign}" for digit, sign in zip(dialled, between, strict=False))
    assert parse(spaced, PARIS) == found
    assert parse(f"0{dialled}", PREFIXED) == found
    assert parse(found.number, PARIS) == found
    assert parse(f"00{found.number[1:]}", PARIS) == found
    assert found.class_ is not NumberClass.UNKNOWN and not found.abroad


@given(french())
def test_a_caller_can_be_called_back_as_shown(dialled: str) -> None:
    for site in (PARIS, PREFIXED, REUNION):
        found = parse(dialled, site)
        if found is None:
            continue
        shown = callable_back(found.e164, site)
        assert parse(shown, site) == found, shown


@pytest.mark.parametrize("region", sorted(set(phonenumbers.SUPPORTED_REGIONS) - {"AC", "TA"}))
def test_numbers_of_every_country_are_read_and_called_back(region: str) -> None:
    example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.FIXED_LINE)
    assert example is not None
    e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    for site in SITES:
        found = parse(e164, site)
        assert found is not None and found.e164 == e164
        assert found.abroad or found.class_ is not NumberClass.INTERNATIONAL
        back = parse(callable_back(e164, site), site)
        assert back is not None and back.e164 == e164
    assert country_of(e164) is not None


@pytest.mark.parametrize(
    ("sent", "known"),
    [
        ("+33123456789", "+33123456789"), ("33123456789", "+33123456789"), ("0033123456789", "+33123456789"),
        ("0123456789", "+33123456789"), ("123456789", "+33123456789"), ("0692123456", "+262692123456"),
        ("262692123456", "+262692123456"), ("12125550123", "+12125550123"), ("anonymous", ""), ("", ""),
        ("+441632960123", "+441632960123"), ("3631", ""),
    ],
)  # fmt: skip
def test_a_caller_in_whatever_form_the_provider_sends(sent: str, known: str) -> None:
    assert caller(sent, PARIS) == known
    assert caller(sent, PREFIXED) == known  # nobody outside dials our prefix


@pytest.mark.parametrize(
    ("form", "number", "written"),
    [
        ("plus", "+33123456789", "+33123456789"), ("00", "+33123456789", "0033123456789"),
        ("national", "+33123456789", "0123456789"), ("national", "+262262123456", "0262123456"),
        ("national", "+4930123456", "004930123456"), ("national", "3631", "3631"), ("plus", "112", "112"),
    ],
)  # fmt: skip
def test_a_number_is_written_as_the_provider_wants_it(form: str, number: str, written: str) -> None:
    assert for_trunk(number, form, PREFIXED) == written


def test_no_french_mobile_number_is_presented_from_a_server() -> None:
    assert is_presentable("+33123456789") and is_presentable("+33972394050")
    assert not is_presentable("+33612345678") and not is_presentable("+262692123456")
    assert is_canvassing("+33162123456") and not is_canvassing("+33123456789")


def test_help_lines_are_marked() -> None:
    for dialled in ("3919", "116111", "0972394050", "+33 9 72 39 40 50", "3114"):
        found = parse(dialled, PARIS)
        assert found is not None and found.help_line
    found = parse("0123456789", PARIS)
    assert found is not None and not found.help_line


# --- emergency ----------------------------------------------------------------------------------------------------


@pytest.mark.promise("P12")
@pytest.mark.parametrize("site", SITES)
def test_every_emergency_number_is_recognised_however_it_is_dialled(site: SiteNumbering) -> None:
    code = phonenumbers.country_code_for_region(site.country)
    for number in emergency_data.load().of(site.country):
        spaced = " ".join(number)
        forms = [number, site.outside_prefix + number, f"+{code}{number}", f"*8{number}", f"{number}#", spaced]
        forms += [f"tel:{number}", f"{number};phone-context=+{code}", f"*8{site.outside_prefix}{number}", f"+{number}"]
        for form in forms:
            found = emergency.recognise(form, site)
            assert found is not None and found.number == number, form


@pytest.mark.promise("P12")
@given(st.from_regex(r"[0-9]{2,7}", fullmatch=True), st.sampled_from(SITES))
def test_nothing_else_is_an_emergency(dialled: str, site: SiteNumbering) -> None:
    known = emergency_data.load().of(site.country)
    code = str(phonenumbers.country_code_for_region(site.country))
    leads = ("", site.outside_prefix, f"00{code}", f"{site.outside_prefix}00{code}")
    expected = any(dialled == lead + number for lead in leads for number in known)
    assert (emergency.recognise(dialled, site) is not None) is expected


@pytest.mark.promise("P12")
@pytest.mark.parametrize("dialled", ["1120", "11", "0112345678", "1151", "1", "alice", "*112", "*43", "9112"])
def test_numbers_that_look_alike_are_none(dialled: str) -> None:
    assert emergency.recognise(dialled, PARIS) is None


@pytest.mark.promise("P12")
@pytest.mark.parametrize(
    ("dialled", "country", "prefix", "shadows"),
    [
        ("112", "FR", "", True), ("15", "FR", "", True), ("015", "FR", "0", True), ("015", "FR", "", False),
        ("115", "FR", "", True), ("115", "DE", "", False), ("101", "FR", "", False), ("101", "BE", "", True),
        ("*112", "FR", "", True), ("*43", "FR", "", False), ("200", "FR", "0", False), ("alice", "FR", "", False),
        ("*815", "FR", "", True), ("911", "US", "9", True), ("9911", "US", "9", True), ("016", "ES", "0", True),
    ],
)  # fmt: skip
def test_no_extension_may_stand_before_an_emergency_number(
    dialled: str, country: str, prefix: str, shadows: bool
) -> None:
    assert emergency.shadows_emergency(dialled, country, prefix) is shadows


def test_a_drill_is_dialled_with_a_star_and_is_no_private_call() -> None:
    found = emergency.drill("*112", PARIS)
    assert found is not None and found.number == "112"
    for other in ("112", "*8112", "*43", "*1123", "**112", ""):
        assert emergency.drill(other, PARIS) is None


@given(st.sampled_from(SITES))
def test_the_edge_knows_whole_strings_only(site: SiteNumbering) -> None:
    forms = emergency.numbers_for_edge(site)
    assert len(set(forms)) == len(forms)
    for form in forms:
        assert emergency.recognise(form, site) is not None


def test_clean_takes_signs_away_and_nothing_else() -> None:
    assert clean("+33 (1) 23-45.67/89#") == "+33123456789"
    assert clean("12 34") == "1234"
    assert clean("alice") == clean("1a") == clean("1" * 21) == clean("1") == ""
