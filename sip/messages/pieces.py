"""A long text in pieces that a phone on UDP can be sent. Pure.

A request over UDP has 1300 bytes at most (RFC 3428 section 8), headers included. A phone behind a router is reached
over the way that it came by and no other, so a longer text goes there as several, numbered so that it reads in order:
"(1/3) ". Over TCP and TLS it goes whole.
"""

from __future__ import annotations

import unicodedata

REQUEST_MAX_BYTES = 1300  # over UDP
HEADERS_BYTES = 640  # of a MESSAGE of ours, with URIs of ordinary length
UDP_MAX_BYTES = REQUEST_MAX_BYTES - HEADERS_BYTES
STREAM_MAX_BYTES = 4000  # what Kamailio 5.6 sends by itself (uac_req_send has room for 4085)
_MARK_BYTES = len("(99/99) ")
PIECES_MAX = 99
_JOINER = "\u200d"
_SKIN_COLOURS = frozenset(map(chr, range(0x1F3FB, 0x1F400)))


def split(text: str, max_bytes: int) -> tuple[str, ...]:
    """The text in pieces of at most `max_bytes` bytes of UTF-8, cut between words where there are any. Raises
    ValueError if that would be more than PIECES_MAX."""
    if len(text.encode()) <= max_bytes:
        return (text,)
    bare: list[str] = []
    while text:
        cut = _cut(text, max_bytes - _MARK_BYTES)
        bare.append(text[:cut].rstrip())
        text = text[cut:].lstrip()
    bare = [piece for piece in bare if piece]
    if len(bare) > PIECES_MAX:
        raise ValueError(f"a text has {PIECES_MAX} pieces at most")
    return tuple(f"({n}/{len(bare)}) {piece}" for n, piece in enumerate(bare, 1))


def _cut(text: str, room: int) -> int:
    """Where the first piece ends, in characters: after the last word that fits, else after the last character."""
    fits = len(text.encode()[:room].decode(errors="ignore"))
    if fits == len(text):
        return fits
    space = max(text.rfind(" ", 0, fits + 1), text.rfind("\n", 0, fits + 1))
    return space if space > fits // 2 else _whole(text, fits)


def _whole(text: str, fits: int) -> int:
    """Not before a mark that belongs to the sign before it, and not within signs that are joined to one."""
    cut = fits
    while cut > 1 and (_leans(text[cut]) or text[cut - 1] == _JOINER):
        cut -= 1
    return cut if cut > 1 else fits


def _leans(sign: str) -> bool:
    return sign == _JOINER or sign in _SKIN_COLOURS or unicodedata.category(sign) in ("Mn", "Me")
