"""The GSM 7 bit default alphabet with its extension (3GPP TS 23.038 §6.2.1): one septet a byte, as SMPP carries it."""

from __future__ import annotations

import re

_DEFAULT = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
ESCAPE = 0x1B
_EXTENSION = {
    "\f": 0x0A, "^": 0x14, "{": 0x28, "}": 0x29, "\\": 0x2F, "[": 0x3C, "~": 0x3D, "]": 0x3E, "|": 0x40, "€": 0x65,
}  # fmt: skip
_SEPTETS = {character: bytes([code]) for code, character in enumerate(_DEFAULT) if code != ESCAPE}
_SEPTETS |= {character: bytes([ESCAPE, code]) for character, code in _EXTENSION.items()}
_EXTENDED = {code: character for character, code in _EXTENSION.items()}
_STRANGE = re.compile(f"[^{re.escape(''.join(_SEPTETS))}]")
_PAIRS = re.compile(f"[{re.escape(''.join(_EXTENSION))}]")


class NotInAlphabetError(ValueError):
    """`character` stands at `place` (from 0) and the alphabet has no such thing."""

    def __init__(self, character: str, place: int) -> None:
        super().__init__(f"character {place + 1} (U+{ord(character):04X}) is not in the GSM alphabet")
        self.character = character
        self.place = place


def fits(text: str) -> bool:
    """Whether every character is in the alphabet or its extension."""
    return _STRANGE.search(text) is None


def strangers(text: str) -> tuple[str, ...]:
    """The characters that are not, each once, in the order of their first place."""
    return tuple(dict.fromkeys(_STRANGE.findall(text)))


def septets(text: str) -> int:
    """How many septets a text that fits takes: two for each character of the extension."""
    return len(text) + len(_PAIRS.findall(text))


def encode(text: str) -> bytes:
    """Unpacked septets. Raises NotInAlphabetError."""
    if strange := _STRANGE.search(text):
        raise NotInAlphabetError(strange.group(), strange.start())
    return b"".join(map(_SEPTETS.__getitem__, text))


def decode(data: bytes) -> str:
    """The text of unpacked septets; never fails on what a network brings.

    After an escape that the extension does not know, the character of the main table; a second escape, and one with
    nothing after it, is a space (TS 23.038 §6.2.1.1). The highest bit of a byte says nothing.
    """
    found = []
    codes = iter(data)
    for code in codes:
        code &= 0x7F
        if code != ESCAPE:
            found.append(_DEFAULT[code])
            continue
        following = next(codes, ESCAPE) & 0x7F
        found.append(" " if following == ESCAPE else _EXTENDED.get(following, _DEFAULT[following]))
    return "".join(found)
