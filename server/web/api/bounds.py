"""How large what a program sends may be, whatever an operation would take: pure.

The same bounds stand in the OpenAPI document, so that a program can know them.
"""

from __future__ import annotations

import json
import re

from server.web.api.problems import Refused

MAX_BODY_BYTES = 2 << 20
MAX_DEPTH = 8
MAX_TEXT_CHARS = 4000
MAX_DOCUMENT_CHARS = 500_000
MAX_AUDIO_CHARS = 1_000_000
MAX_ITEMS = 10_000
MAX_INT = 2**31 - 1

PATTERN = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ud800-\udfff]*$"
"""Texts hold no control characters besides tab, line feed and carriage return, and no half of a character."""

_TEXT = re.compile("[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]*")
_NESTING = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


class Unbounded(ValueError):
    """A value beyond what is taken; the message says which bound."""


def parse(body: bytes) -> object:
    """JSON as RFC 8259 has it, no key twice, no NaN, not nested too deeply. Raises Refused."""
    if _depth(body) > MAX_DEPTH:
        raise Refused(f"the body is nested more than {MAX_DEPTH} deep", "Send it flatter", "malformed")
    try:
        found: object = json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_constant)
    except (ValueError, RecursionError):
        raise Refused("the body is no JSON in UTF-8, or names a field twice", "Correct it", "malformed") from None
    return found


def check(value: object, *, longest: int = MAX_TEXT_CHARS) -> None:
    """Raises Unbounded."""
    if isinstance(value, str):
        if len(value) > longest:
            raise Unbounded(f"is longer than {longest} characters")
        if not _TEXT.fullmatch(value):
            raise Unbounded("holds control characters")
    elif isinstance(value, int) and abs(value) > MAX_INT:
        raise Unbounded(f"is beyond {MAX_INT}")
    elif isinstance(value, list):
        if len(value) > MAX_ITEMS:
            raise Unbounded(f"has more than {MAX_ITEMS} items")
        for item in value:
            check(item, longest=longest)
    elif isinstance(value, dict):
        check(list(value), longest=longest)
        check(list(value.values()), longest=longest)


def _depth(body: bytes) -> int:
    deepest = now = 0
    for found in _NESTING.finditer(body):
        if found[0] in b"[{":
            now += 1
            deepest = max(deepest, now)
        elif found[0] in b"]}":
            now -= 1
    return deepest


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


def _constant(name: str) -> object:
    raise ValueError(name)
