"""Where a reader sees one character and the text has several: accents set apart, flags, families of emoji.

The part of Unicode's annex 29 (rules GB3 to GB13) that texts need. Indic conjuncts are left to what cutting between
them shows: two letters instead of a ligature.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

_JOINER = "\u200d"
_ATTACHED = frozenset({"Mn", "Me", "Mc"})


def boundaries(text: str) -> Iterator[int]:
    """The places (from 0, ascending, the end included, the start not) where a text may be cut and nobody sees it."""
    flags = 0  # regional indicators that precede without a break
    for place in range(1, len(text)):
        before, after = text[place - 1], text[place]
        flags = flags + 1 if _is_flag(before) else 0
        if not _belong(before, after, flags):
            yield place
    if text:
        yield len(text)


def _belong(before: str, after: str, flags: int) -> bool:
    if before < "\u0300" and after < "\u0300":
        return before == "\r" and after == "\n"
    if before in "\r\n":
        return False
    if _attaches(after):
        return True
    if before == _JOINER and _is_pictograph(after):
        return True
    return (_is_flag(before) and _is_flag(after) and flags % 2 == 1) or _same_syllable(before, after)


def _attaches(character: str) -> bool:
    """What follows and cannot stand alone: marks, joiners, skin tones, tags."""
    return (
        character in "\u200c\u200d"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\U000e0020" <= character <= "\U000e007f"
        or unicodedata.category(character) in _ATTACHED
    )


def _is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _is_pictograph(character: str) -> bool:
    return unicodedata.category(character) == "So"


def _same_syllable(before: str, after: str) -> bool:
    """Korean letters that are written apart (GB6 to GB8)."""
    leading, vowel = "\u1100" <= before <= "\u115f", "\u1160" <= before <= "\u11a7"
    if leading:
        return "\u1100" <= after <= "\u11a7" or "\uac00" <= after <= "\ud7a3"
    if vowel:
        return "\u1160" <= after <= "\u11ff"
    if "\u11a8" <= before <= "\u11ff":
        return "\u11a8" <= after <= "\u11ff"
    if "\uac00" <= before <= "\ud7a3":
        return "\u1160" <= after <= "\u11ff"
    return False
