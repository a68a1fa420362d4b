"""What somebody dialled, or who called: read by the habits of the site's country, told in E.164. Pure.

The reading rests on libphonenumber; what it does not know (the French plan over several country codes, tariffs of
short numbers, satellites) is data of ``config.numbering``. Emergency numbers are recognised before, by
``sip.calls.emergency``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType, ShortNumberCost, shortnumberinfo

from config import numbering

_SEPARATORS = re.compile(r"[\s ().\-/]")
_DIALLED = re.compile(r"\+?[0-9]{2,20}")
MAX_DIGITS = 15  # E.164 section 6.2


class NumberClass(Enum):
    """What kind of number it is: decides whether it may be called, and what it costs."""

    INTERNAL = "internal"
    EMERGENCY = "emergency"
    SHORT = "short"
    NATIONAL = "national"
    MOBILE = "mobile"
    OVERSEAS = "overseas"  # another part of the same state, with a country code of its own
    INTERNATIONAL = "international"
    PREMIUM = "premium"
    SHARED_COST = "shared_cost"
    TOLL_FREE = "toll_free"
    SATELLITE = "satellite"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SiteNumbering:
    """How this site dials: plain values from the settings."""

    country: str = "FR"
    area_code: str = ""
    outside_prefix: str = ""


@dataclass(frozen=True, slots=True)
class Number:
    """A number outside the house."""

    number: str  # E.164 with +, or a short number as it stands: what it is known by
    class_: NumberClass
    country: str | None  # ISO 3166; None where the number has none (satellites)
    abroad: bool = False  # in another state: closed until opened, whatever the class
    help_line: bool = False  # leaves no trace

    @property
    def e164(self) -> str:
        """ "" for a short number."""
        return self.number if self.number.startswith("+") else ""


def clean(text: str) -> str:
    """Without the signs that people put between digits; "" where anything else stands in it.

    A trailing # (some phones send it as "end of dialling") and parameters of a telephone URI are left out.
    """
    bare = _SEPARATORS.sub("", text.partition(";")[0].removeprefix("tel:")).removesuffix("#")
    return bare if _DIALLED.fullmatch(bare) else ""


def parse(text: str, site: SiteNumbering) -> Number | None:
    """The number outside that ``text`` (as dialled) means; None where it can be none.

    With an outside prefix the digits after it are tried first, then all of them: address books hold numbers without.
    """
    dialled = clean(text)
    if not dialled:
        return None
    doubtful: Number | None = None
    for form in _forms(dialled, site):
        for found in _readings(form, site):
            if found.class_ is not NumberClass.UNKNOWN:
                return found
            doubtful = doubtful or found
    return doubtful


def caller(text: str, site: SiteNumbering) -> str:
    """E.164 of who calls, however the provider writes it (+33..., 0033..., 33..., 0...); "" where it is none."""
    digits = clean(text)
    plain = SiteNumbering(site.country, site.area_code)
    tried = [digits] if digits.startswith("+") else [digits, f"+{digits}"]
    plan = numbering.load().plans.get(site.country)
    if plan is not None and len(digits) == plan.digits and digits[0] not in "+0":
        tried = [f"{plan.trunk_prefix}{digits}", *tried]
    for candidate in tried:
        found = parse(candidate, plain) if candidate else None
        sure = candidate.startswith("+") and digits == candidate
        if found is not None and found.e164 and (sure or found.class_ is not NumberClass.UNKNOWN):
            return found.e164
    return ""


def callable_back(e164: str, site: SiteNumbering) -> str:
    """The number as a phone of this site dials it: nationally where it can, else with + and country code."""
    plan = numbering.load().plans.get(site.country)
    if plan is not None:
        for code in {plan.home_code, *plan.codes.values()}:
            national = e164.removeprefix(f"+{code}")
            if national != e164 and len(national) == plan.digits and plan.place(national) == (code, national):
                return f"{site.outside_prefix}{plan.trunk_prefix}{national}"
        return e164
    number = _read(e164, None)
    if number is None or number.country_code != phonenumbers.country_code_for_region(site.country):
        return e164
    national = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    return f"{site.outside_prefix}{re.sub(r'[^0-9]', '', national)}"


def for_trunk(number: str, international_format: str, site: SiteNumbering) -> str:
    """How a provider wants it written: "plus" (+33...), "00" (0033...), "national" (0..., abroad 00...)."""
    if not number.startswith("+") or international_format == "plus":
        return number
    if international_format == "national":
        written = callable_back(number, SiteNumbering(site.country))
        if not written.startswith("+"):
            return written
    return f"00{number[1:]}"


def is_presentable(e164: str) -> bool:
    """Whether a server like this one may show the number as its own (Arcep: no French mobile numbers)."""
    return not e164.startswith(numbering.load().not_presentable)


def is_canvassing(e164: str) -> bool:
    """Whether it lies in a range that canvassers have to show."""
    return e164.startswith(numbering.load().canvassing)


def country_of(e164: str) -> str | None:
    """ISO 3166 code of where the number belongs; None where it has none or it is not known."""
    number = _read(e164, None)
    return None if number is None else _country(number)


# --- within ---------------------------------------------------------------------------------------


def _forms(dialled: str, site: SiteNumbering) -> Iterator[str]:
    """Without the outside prefix, where there is one, and as it stands."""
    prefix = site.outside_prefix
    if prefix and dialled.startswith(prefix) and len(dialled) > len(prefix) + 1:
        yield dialled.removeprefix(prefix)
    yield dialled


def _readings(form: str, site: SiteNumbering) -> Iterator[Number]:
    """What the digits may mean, the likeliest first."""
    short = _short(form, site) or _special(form, site)
    if short is not None:
        yield short
    spellings = [form]
    if site.area_code and form[0] not in "+0" and site.country not in numbering.load().plans:
        # Where 0 leads every number beyond the town, one without is of the town.
        spellings.insert(0 if _trunk_prefix(site.country) == "0" else 1, site.area_code + form)
    for spelling in spellings:
        found = _long(spelling, site)
        if found is not None:
            yield found


def _trunk_prefix(country: str) -> str:
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(country, None)
    return (metadata.national_prefix or "") if metadata is not None else ""


def _short(dialled: str, site: SiteNumbering) -> Number | None:
    known = numbering.load()
    home = phonenumbers.country_code_for_region(site.country)
    if dialled.startswith(f"+{home}"):
        dialled = dialled.removeprefix(f"+{home}")  # some phones put the country code before everything
        if len(dialled) > 6:
            return None
    if dialled.startswith("+") or len(dialled) > 6:
        return None
    listed = known.short.get(site.country)
    class_ = listed.get(dialled) if listed is not None else _foreign_short(dialled, site.country)
    if class_ is None:
        return None
    return Number(dialled, NumberClass(class_), site.country, False, known.is_help_line(dialled, site.country))


_COSTS = {
    ShortNumberCost.TOLL_FREE: "toll_free",
    ShortNumberCost.STANDARD_RATE: "short",
    ShortNumberCost.PREMIUM_RATE: "premium",
    ShortNumberCost.UNKNOWN_COST: "premium",  # nobody knows what it costs: closed until opened
}


def _foreign_short(dialled: str, country: str) -> str | None:
    number = PhoneNumber(country_code=phonenumbers.country_code_for_region(country), national_number=int(dialled))
    if dialled.startswith("0"):
        number.italian_leading_zero = True
        number.number_of_leading_zeros = len(dialled) - len(dialled.lstrip("0"))
    if not shortnumberinfo.is_valid_short_number_for_region(number, country):
        return None
    return _COSTS[shortnumberinfo.expected_cost_for_region(number, country)]


def _special(dialled: str, site: SiteNumbering) -> Number | None:
    """08 in France: the tariff lies in the prefix, and the library has it otherwise."""
    known = numbering.load()
    plan, special = known.plans.get(site.country), known.special.get(site.country)
    if plan is None or special is None:
        return None
    national = _national(dialled, plan)
    if national is None:
        return None
    class_ = next((special[national[:n]] for n in (3, 2) if national[:n] in special), None)
    if class_ is None:
        return None
    number = f"+{plan.home_code}{national}"
    return Number(number, NumberClass(class_), "FR", False, known.is_help_line(number, site.country))


def _national(dialled: str, plan: numbering.SharedPlan) -> str | None:
    """The digits after the trunk prefix, of a number that belongs to the home code; None for any other."""
    for lead in (plan.trunk_prefix, f"+{plan.home_code}", f"00{plan.home_code}"):
        rest = dialled.removeprefix(lead)
        if rest != dialled and len(rest) == plan.digits and not rest.startswith("0"):
            return rest
    return None


def _long(dialled: str, site: SiteNumbering) -> Number | None:
    if site.country in numbering.load().plans and dialled[0] not in "+0":
        return None  # a closed plan: without its 0 it is no number
    number = _in_shared_plan(dialled, site) or _read(dialled, site.country)
    if number is None or not phonenumbers.is_possible_number(number):
        return None
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if len(e164) > MAX_DIGITS + 1:
        return None
    country = _country(number)
    class_ = _class(number, e164, country, site)
    known = numbering.load()
    return Number(e164, class_, country, _is_abroad(country, site), known.is_help_line(e164, site.country))


def _in_shared_plan(dialled: str, site: SiteNumbering) -> PhoneNumber | None:
    """0262... from Paris is a number of +262; so is +33262..., which some phones make of it."""
    plan = numbering.load().plans.get(site.country)
    national = _national(dialled, plan) if plan is not None else None
    if plan is None or national is None:
        return None
    code, there = plan.place(national)
    return PhoneNumber(country_code=code, national_number=int(there))


def _read(text: str, country: str | None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None


def _country(number: PhoneNumber) -> str | None:
    region = phonenumbers.region_code_for_number(number)
    region = region or phonenumbers.region_code_for_country_code(number.country_code or 0)
    return None if region in ("001", "ZZ", None) else {"AC": "SH", "TA": "SH"}.get(region, region)


def _home(country: str | None, site: SiteNumbering) -> bool:
    return country is not None and _state(country) == _state(site.country)


# Places that a state's own plan reaches like itself.
_PART_OF = {"GG": "GB", "JE": "GB", "IM": "GB", "AX": "FI", "SJ": "NO", "VA": "IT"} | dict.fromkeys(
    ("PR", "VI", "GU", "AS", "MP"), "US"
)


def _state(country: str) -> str:
    """The state that a part overseas belongs to, for dialling."""
    known = numbering.load()
    return "FR" if country in known.overseas or country in known.plans else _PART_OF.get(country, country)


def _is_abroad(country: str | None, site: SiteNumbering) -> bool:
    if not _home(country, site):
        return True
    overseas = numbering.load().overseas.get(country or "")
    return overseas is not None and overseas.like_abroad and country != site.country


_TYPES = {
    PhoneNumberType.PREMIUM_RATE: NumberClass.PREMIUM,
    PhoneNumberType.SHARED_COST: NumberClass.SHARED_COST,
    PhoneNumberType.TOLL_FREE: NumberClass.TOLL_FREE,
}


def _class(number: PhoneNumber, e164: str, country: str | None, site: SiteNumbering) -> NumberClass:
    known = numbering.load()
    if e164.startswith(known.satellite):
        return NumberClass.SATELLITE
    if e164.startswith(known.premium):
        return NumberClass.PREMIUM
    kind = phonenumbers.number_type(number)
    if kind in _TYPES and not (kind == PhoneNumberType.TOLL_FREE and not _home(country, site)):
        return _TYPES[kind]
    valid = kind != PhoneNumberType.UNKNOWN
    if _home(country, site) and country is not None:
        if number.country_code != phonenumbers.country_code_for_region(site.country):
            return NumberClass.OVERSEAS
        if not valid and site.country not in known.plans:
            return NumberClass.UNKNOWN
        mobile = kind == PhoneNumberType.MOBILE or (not valid and str(number.national_number)[0] in "67")
        return NumberClass.MOBILE if mobile else NumberClass.NATIONAL
    return NumberClass.INTERNATIONAL if valid else NumberClass.UNKNOWN


def warm_up(country: str) -> None:
    """Load what the first call would wait for: the library reads its tables when they are asked."""
    for text in ("+33123456789", "10", "+12125550123"):
        parse(text, SiteNumbering(country))
