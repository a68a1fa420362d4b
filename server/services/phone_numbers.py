"""Outside numbers as people type them, into what is stored."""

from __future__ import annotations

import re

from server.failure import Failure
from storage.numbers import E164

_BETWEEN = re.compile(r"[\s./()\u00a0\u202f-]")


def e164(text: str) -> str:
    """`+33 1 42 00 00 00` as `+33142000000`. Raises Failure; it does not repeat the number."""
    number = _BETWEEN.sub("", text.replace("(0)", ""))
    if not E164.fullmatch(number):
        raise Failure(
            "this is no number in international form",
            "Write it with + and the country first, such as +33 1 42 00 00 00",
            "invalid",
        )
    return number


def dialled(text: str) -> str:
    """What somebody would dial, without what is only for reading."""
    return _BETWEEN.sub("", text) if text[:1] in "+0123456789*#(" else text.strip()
