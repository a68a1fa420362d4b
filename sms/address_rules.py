"""What people write for a recipient or a sender, read strictly: a number, a short code or a name, or why it is none."""

from __future__ import annotations

import enum
import functools
import re
import unicodedata
from collections.abc import Collection, Sequence

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType, ShortNumberCost, shortnumberinfo

from config import emergency, numbering, sms_senders
from sms.addresses import Address, Number, SenderName, ShortCode

_SIGNS = re.compile(r"[\s().\-/\u2010-\u2015\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
_DIGITS = re.compile(r"\+?[0-9]{2,20}")
_SHORT = range(3, 9)
# Digits that read as letters: AMEL1 is to be read as AMELI.
_LOOKS_LIKE = str.maketrans("0134578", "oieastb")


class Reason(enum.StrEnum):
    """Why a text is no address that we use."""

    EMPTY = "nothing is written"
    NO_NUMBER = "this is no telephone number and no short code"
    NOT_IN_PLAN = "no telephone has this number"
    SEVERAL = "several regions have this number: write it with + and the country code"
    EMERGENCY = "an emergency service is called, never texted from here"
    PREMIUM = "a number or short code at a raised price"
    NAME_SHAPE = "a sender's name has letters and digits alone, at least one letter"
    NAME_LENGTH = "a sender's name is too short or too long"
    NAME_GENERIC = "the name says what it is about and not who sends: operators refuse it"
    NAME_PROTECTED = "the name belongs to somebody and needs an authorisation"


class AddressError(ValueError):
    """Says why and never what was written: it may go into a log."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


def recipient(text: str, country: str, *, regions: Sequence[str] = ()) -> Number | ShortCode:
    """Who is meant by what somebody wrote or a file holds. Raises AddressError.

    `country`: ISO 3166, whose habits hold for what has no + or 00. `regions`: others that are tried where no number of
    `country` fits, as La Réunion for a French company; those that share the French plan are known without.
    """
    written = _bare(text)
    if not written:
        raise AddressError(Reason.EMPTY)
    if not _DIGITS.fullmatch(written):
        raise AddressError(Reason.NO_NUMBER)
    if _is_emergency(written, country, regions):
        raise AddressError(Reason.EMERGENCY)
    if (short := _short_code(written, country)) is not None:
        return short
    number = _number(written, country, regions)
    if phonenumbers.number_type(number) is PhoneNumberType.PREMIUM_RATE or _e164(number).startswith(
        numbering.load().premium
    ):
        raise AddressError(Reason.PREMIUM)
    return Number(_e164(number))


def is_mobile(number: Number) -> bool:
    """Whether texts reach it for sure: mobiles, and where a plan does not tell them from fixed lines, all."""
    kind = phonenumbers.number_type(phonenumbers.parse(number.e164))
    return kind in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)


def sender(text: str, country: str, *, protected: Collection[str] = (), authorised: Collection[str] = ()) -> Address:
    """Who a text may come from, by the rules of `country` (where it goes). Raises AddressError.

    `protected`: names that the company adds to the shipped ones; `authorised`: those of all that it may use.
    """
    stripped = unicodedata.normalize("NFC", text).strip()
    if not stripped:
        raise AddressError(Reason.EMPTY)
    if not re.search(r"[^\W\d_]", stripped):
        return recipient(stripped, country)
    rules = sms_senders.rules_of(country)
    if not sms_senders.SHAPES[rules.shape].fullmatch(stripped):
        raise AddressError(Reason.NAME_SHAPE)
    if not rules.least <= len(stripped) <= rules.most:
        raise AddressError(Reason.NAME_LENGTH)
    word = folded(stripped)
    if word in {folded(name) for name in authorised}:
        return SenderName(stripped)
    if _made_of(word.strip("0123456789"), rules.generic) or _made_of(_read_as_letters(word), rules.generic):
        raise AddressError(Reason.NAME_GENERIC)
    owned = {*rules.protected, *map(folded, protected)}
    if word in owned or _read_as_letters(word) in {_read_as_letters(name) for name in owned}:
        raise AddressError(Reason.NAME_PROTECTED)
    return SenderName(stripped)


def folded(name: str) -> str:
    """How names are compared: small letters and digits."""
    return re.sub(r"[^a-z0-9]", "", name.casefold())


# --- within -----------------------------------------------------------------------------------------------------------


def _bare(text: str) -> str:
    written = unicodedata.normalize("NFKC", text).strip().removeprefix("tel:").partition(";")[0]
    written = re.sub(r"\(0\)", "", written) if written.startswith(("+", "00")) else written
    written = _SIGNS.sub("", written)
    return f"+{written[2:]}" if written.startswith("00") else written


def _is_emergency(written: str, country: str, regions: Sequence[str]) -> bool:
    known = emergency.load()
    for region in (country, *regions):
        code = phonenumbers.country_code_for_region(region)
        local = written.removeprefix(f"+{code}") if code else written
        if local in known.of(region) or shortnumberinfo.is_emergency_number(local, region):
            return True
    return written in known.unknown


def _short_code(written: str, country: str) -> ShortCode | None:
    if written.startswith("+") or len(written) not in _SHORT:
        return None
    plan = numbering.load().plans.get(country)
    # A plan that several countries share has its short codes in one of them.
    for home in dict.fromkeys((country, "FR") if plan is not None else (country,)):
        code = PhoneNumber(
            country_code=phonenumbers.country_code_for_region(home),
            national_number=int(written),
            italian_leading_zero=written.startswith("0") or None,
            number_of_leading_zeros=len(written) - len(written.lstrip("0")) or None,
        )
        if shortnumberinfo.is_valid_short_number_for_region(code, home):
            if shortnumberinfo.expected_cost_for_region(code, home) == ShortNumberCost.PREMIUM_RATE:
                raise AddressError(Reason.PREMIUM)
            return ShortCode(written, home)
    return None


def _number(written: str, country: str, regions: Sequence[str]) -> PhoneNumber:
    planned = _in_shared_plan(written, country)
    if planned is not None:
        return planned
    own = _read(written, country)
    if own is not None:
        return own
    found = {_e164(n): n for n in (_read(written, region) for region in regions) if n is not None}
    if len(found) > 1:
        raise AddressError(Reason.SEVERAL)
    if not found:
        raise AddressError(Reason.NOT_IN_PLAN)
    return next(iter(found.values()))


def _in_shared_plan(written: str, country: str) -> PhoneNumber | None:
    """0692... from Paris is a number of +262; so is +33692..., which some programs make of it."""
    plan = numbering.load().plans.get(country)
    if plan is None:
        return None
    for lead in (plan.trunk_prefix, f"+{plan.home_code}", str(plan.home_code), ""):
        national = written.removeprefix(lead)
        # Spreadsheets take the leading zero away.
        if (national != written or not lead) and len(national) == plan.digits and national[0] not in "+0":
            code, rest = plan.place(national)
            return _read(f"+{code}{rest}", None)
    return None


def _read(written: str, region: str | None) -> PhoneNumber | None:
    try:
        number = phonenumbers.parse(written, region)
    except phonenumbers.NumberParseException:
        return None
    return number if phonenumbers.is_valid_number(number) else None


def _e164(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _read_as_letters(word: str) -> str:
    return word.translate(_LOOKS_LIKE)


def _made_of(word: str, pieces: frozenset[str]) -> bool:
    """Whether the word is one of them or several written together."""

    @functools.cache
    def ends(start: int) -> bool:
        return start == len(word) or any(word.startswith(p, start) and ends(start + len(p)) for p in pieces)

    return bool(word) and ends(0)
