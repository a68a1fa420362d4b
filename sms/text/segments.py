"""How many messages a text is, and where it is cut: known before anybody pays (3GPP TS 23.040 §9.2.3.24.1).

No pair of an escape and its character, and no surrogate pair, is ever cut in two. What a reader sees as one character
stays whole where that costs no further part.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field

from sms.carriers.carrier import Coding
from sms.text import alphabet
from sms.text.graphemes import boundaries
from sms.text.transliteration import Change, transliterate

PARTS_MAX = 255  # one byte counts them
PARTS_USUAL = 10  # above this a text is a letter, and its price a surprise
_ALONE = {Coding.GSM7: 160, Coding.UCS2: 70}
# Of 140 bytes the header takes 6, or 7 where the reference has 16 bits.
_TOGETHER = {
    (Coding.GSM7, False): 153, (Coding.UCS2, False): 67, (Coding.GSM7, True): 152, (Coding.UCS2, True): 66,
}  # fmt: skip


class TooLongError(ValueError):
    """The text would be `parts` messages, more than `limit`."""

    def __init__(self, parts: int, limit: int) -> None:
        super().__init__(f"the text takes {parts} parts, {limit} are allowed")
        self.parts = parts
        self.limit = limit


class NotTextError(ValueError):
    """At `place` (from 0) stands half of a surrogate pair: no network carries it."""

    def __init__(self, place: int) -> None:
        super().__init__(f"character {place + 1} is half a character (a lone surrogate)")
        self.place = place


@dataclass(frozen=True, slots=True)
class Plan:
    """`parts` put together are the text, composed (NFC) and, where asked, transliterated.

    `units`: septets or 16-bit units of the text, headers not counted. `forced`: the characters that made it UCS-2,
    each once. `changed`: what transliteration replaced.
    """

    coding: Coding
    parts: tuple[str, ...] = field(repr=False)
    units: int
    forced: tuple[str, ...] = field(default=(), repr=False)
    changed: tuple[Change, ...] = field(default=(), repr=False)

    @property
    def text(self) -> str:
        return "".join(self.parts)


def plan(text: str, *, transliterated: bool = False, wide_reference: bool = False, limit: int = PARTS_USUAL) -> Plan:
    """Cut the text. Raises TooLongError and NotTextError, and ValueError for a limit that is none.

    `transliterated`: replace what the GSM alphabet lacks, if the whole text then fits; else it stays as it was written.
    `wide_reference`: the parts carry a reference of 16 bits.
    """
    if not 1 <= limit <= PARTS_MAX:
        raise ValueError(f"limit: from 1 to {PARTS_MAX}")
    _check(text)
    text = unicodedata.normalize("NFC", text)
    changed: tuple[Change, ...] = ()
    if transliterated and not alphabet.fits(text):
        plain, replaced = transliterate(text)
        if alphabet.fits(plain):
            text, changed = plain, replaced
    coding = Coding.GSM7 if alphabet.fits(text) else Coding.UCS2
    units = units_of(text, coding)
    forced = alphabet.strangers(text) if coding is Coding.UCS2 else ()
    if units <= _ALONE[coding]:
        return Plan(coding, (text,), units, forced, changed)
    room = _TOGETHER[coding, wide_reference]
    if (least := -(-units // room)) > limit:
        raise TooLongError(least, limit)
    parts = _cut(text, coding, room)
    if len(parts) > limit:
        raise TooLongError(len(parts), limit)
    return Plan(coding, parts, units, forced, changed)


def units_of(text: str, coding: Coding) -> int:
    """Septets, or units of 16 bits."""
    return alphabet.septets(text) if coding is Coding.GSM7 else len(text.encode("utf-16-be")) // 2


def _check(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise NotTextError(error.start) from None


def _cut(text: str, coding: Coding, room: int) -> tuple[str, ...]:
    """As few parts as there can be; among the places for a cut, the last that nobody sees."""
    reach = _reach([units_of(character, coding) for character in text], room)
    rest = [0] * (len(text) + 1)  # parts that what begins here needs
    for place in range(len(text) - 1, -1, -1):
        rest[place] = 1 + rest[reach[place]]
    good = set(boundaries(text))
    parts = []
    start, left = 0, rest[0]
    while start < len(text):
        left -= 1
        end = furthest = reach[start]
        while end > start and (end not in good or rest[end] > left):
            end -= 1
        end = end if end > start else furthest
        parts.append(text[start:end])
        start = end
    return tuple(parts)


def _reach(costs: list[int], room: int) -> list[int]:
    """For each place, the place up to which one part holds."""
    reach = []
    end = held = 0
    for cost in costs:
        while end < len(costs) and held + costs[end] <= room:
            held += costs[end]
            end += 1
        reach.append(end)
        held -= cost
    return reach
