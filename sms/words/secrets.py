"""Numbers that open accounts, found by their check digits: cards, bank accounts, the French national number."""

from __future__ import annotations

import re
from collections.abc import Iterator

_CARD = re.compile(r"(?<![\d+])(?<!\d[ .-])[3-6](?:[ .-]?\d){12,18}(?!\d)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:[ .-]?[A-Z0-9]){11,30}", re.IGNORECASE)
_NIR = re.compile(r"(?<!\d)[12378](?:[ .-]?\d){4}[ .-]?(?:\d[ .-]?[\dAB])(?:[ .-]?\d){6,8}(?!\d)", re.IGNORECASE)
_SEPARATORS = re.compile(r"[ .-]")


def found(text: str) -> Iterator[str]:
    """What kinds there are in the text: "card", "iban", "national number"; each once."""
    if any(_is_card(_SEPARATORS.sub("", match)) for match in _CARD.findall(text)):
        yield "card"
    if any(_is_iban(_SEPARATORS.sub("", match).upper()) for match in _IBAN.findall(text)):
        yield "iban"
    if any(_is_nir(_SEPARATORS.sub("", match).upper()) for match in _NIR.findall(text)):
        yield "national number"


def _is_card(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B (Luhn): all the digits, or those before an expiry date that is written on to them."""
    usual = 15 if digits.startswith(("34", "37")) else 16
    return any(_luhn(run) for run in {digits, digits[:usual]} if 13 <= len(run) <= 19)


def _luhn(digits: str) -> bool:
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    return sum(each - 9 if each > 9 else each for each in doubled) % 10 == 0


def _is_iban(written: str) -> bool:
    """ISO 13616 (modulo 97), at any length from 15 to 34: words may follow without a sign between."""
    for length in range(15, min(34, len(written)) + 1):
        turned = written[4:length] + written[:4]
        if int("".join(str(int(character, 36)) for character in turned)) % 97 == 1:
            return True
    return False


def _is_nir(written: str) -> bool:
    """Thirteen characters with a plausible month, and with the two of the key only if it is right."""
    month = int(written[3:5])
    if not (1 <= month <= 12 or 20 <= month <= 42 or month >= 50):
        return False
    if len(written) == 13:
        return True
    number = written[:13].replace("2A", "19").replace("2B", "18")
    return len(written) == 15 and number.isdigit() and 97 - int(number) % 97 == int(written[13:])
