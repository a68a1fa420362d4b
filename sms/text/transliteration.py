"""Typographic signs and accents that the GSM alphabet lacks, written with what it has: asked for, never by itself.

One curly apostrophe makes a text of 160 characters three messages instead of one. What the alphabet has is left alone:
é è à ù ì ò and É Ç stay.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from sms.text import alphabet

_SPACES = "\t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_NOTHING = "\u00ad\u200b\u2060\ufeff\u200e\u200f"
_SIGNS = {
    **dict.fromkeys(_SPACES, " "),
    **dict.fromkeys(_NOTHING, ""),
    **dict.fromkeys("‘’‚‛′´`ʼ‹›", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("‐‑‒–—―−•‣◦⁃", "-"),
    "\u2028": "\n", "\u2029": "\n", "…": "...", "·": ".", "⁄": "/", "¦": "|", "°": "deg", "µ": "u", "×": "x", "÷": "/",
    "≤": "<=", "≥": ">=", "≠": "!=", "→": "->", "←": "<-", "⇒": "=>", "©": "(c)", "®": "(R)", "™": "TM", "№": "No",
    "Œ": "OE", "œ": "oe", "Ł": "L", "ł": "l", "Đ": "D", "đ": "d", "ı": "i", "Þ": "Th", "þ": "th", "Ð": "D", "ð": "d",
    "ẞ": "SS", "¢": "c",
}  # fmt: skip
# The space inside guillemets goes with them; the sign of "numéro" is no degree.
_QUOTE = f"«[ {_SPACES}]|[ {_SPACES}]»"
_PIECE = re.compile(f"(?P<quote>{_QUOTE})|(?P<numero>(?<=[Nn])°)|.", re.DOTALL)
_TOGETHER = {"quote": '"', "numero": "o"}


@dataclass(frozen=True, slots=True)
class Change:
    """`before` stood in the text, `after` stands there now."""

    before: str
    after: str


def transliterate(text: str) -> tuple[str, tuple[Change, ...]]:
    """The text with what can be replaced replaced, and what was, each once. What has no likeness stays as it is."""
    changes: dict[Change, None] = {}

    def replaced(match: re.Match[str]) -> str:
        before = match.group()
        after = _TOGETHER[match.lastgroup] if match.lastgroup else _written(before)
        if after != before:
            changes[Change(before, after)] = None
        return after

    return _PIECE.sub(replaced, unicodedata.normalize("NFC", text)), tuple(changes)


def _written(character: str) -> str:
    if alphabet.fits(character):
        return character
    if character in _SIGNS:
        return _SIGNS[character]
    bare = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
    bare = "".join(_SIGNS.get(c, c) for c in bare)
    return bare if bare and alphabet.fits(bare) else character
