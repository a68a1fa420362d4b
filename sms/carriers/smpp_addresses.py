"""Addresses of SMPP (type of number, plan, characters) from and to the three kinds that we tell apart. Pure."""

from __future__ import annotations

import re

import phonenumbers

from config import numbering
from sms.addresses import Address, Number, SenderName, ShortCode
from sms.carriers.smpp_pdu import Place

UNKNOWN, INTERNATIONAL, NATIONAL, NETWORK, SUBSCRIBER, ALPHANUMERIC, ABBREVIATED = range(7)  # §5.2.5
ISDN = 1  # the plan of telephone numbers (§5.2.6)
_DIGITS = re.compile(r"[0-9]+")


def to_place(address: Address, short_code_ton: int = NETWORK, short_code_npi: int = 0) -> Place:
    """As networks want it: numbers international and without a plus."""
    match address:
        case Number(e164):
            return Place(INTERNATIONAL, ISDN, e164.removeprefix("+"))
        case ShortCode(digits):
            return Place(short_code_ton, short_code_npi, digits)
        case SenderName(name):
            return Place(ALPHANUMERIC, 0, name)


def of_place(place: Place, country: str) -> Address:
    """`country` (ISO 3166): whose numbers and short codes those are that name none."""
    written = place.characters.strip()
    digits = written.removeprefix("+")
    if place.ton == ALPHANUMERIC or not _DIGITS.fullmatch(digits) or not 3 <= len(digits) <= 17:
        return SenderName(written)
    if written != digits:
        return Number(written)
    # Some centres call everything international or national, short codes too: no number has so few digits.
    short = 8 if place.ton in (UNKNOWN, NETWORK, ABBREVIATED) else 6
    if len(digits) <= short:
        return ShortCode(digits, country)
    if place.ton == INTERNATIONAL and not digits.startswith("0"):
        return Number(f"+{digits}")
    return Number(_e164(digits, country))


def _e164(digits: str, country: str) -> str:
    """Digits that say nothing of themselves: as dialled in the country, else as with a country code in front."""
    plan = numbering.load().plans.get(country)
    if plan is not None:
        bare = digits.removeprefix(plan.trunk_prefix)
        if len(bare) == plan.digits and not bare.startswith("0"):
            code, national = plan.place(bare)
            return f"+{code}{national}"
    tried = [(digits, country), ("+" + digits.removeprefix("00"), None)]
    for written, region in tried:
        try:
            number = phonenumbers.parse(written, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return "+" + digits.lstrip("0")
