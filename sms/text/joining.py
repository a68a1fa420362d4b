"""Parts of a text that came in, put together again. Pure.

A sender may have cut between an escape and its character, or between two surrogates; each half alone says nothing, so
parts carry what they were read from.
"""

from __future__ import annotations

from collections.abc import Sequence

from sms.carriers.carrier import Coding
from sms.text import alphabet

Piece = tuple[str | None, Coding | None, bytes]
"""As in `InboundPart`: text, coding, raw (unpacked septets or UTF-16, where there is a text; may be empty)."""


def joined(pieces: Sequence[Piece]) -> str | None:
    """All of a text, in order. None: one of them is no text."""
    texts = [text for text, _, _ in pieces if text is not None]
    if len(texts) < len(pieces):
        return None
    codings = {coding for _, coding, _ in pieces}
    if len(codings) == 1 and all(raw for _, _, raw in pieces):
        whole = b"".join(raw for _, _, raw in pieces)
        if codings == {Coding.UCS2} and not any(len(raw) % 2 for _, _, raw in pieces):
            return whole.decode("utf-16-be", "replace")
        if codings == {Coding.GSM7}:
            return alphabet.decode(whole)
    return "".join(texts)
