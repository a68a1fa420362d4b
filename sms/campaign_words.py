"""The words of a campaign: a template with fields, filled in for each recipient, with the way to stop at its end. Pure.

Bonjour {prénom}, ...        a field of the list; {{ and }} are braces
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sms.addresses import Address, Number, SenderName, ShortCode
from sms.carriers.carrier import Coding
from sms.text import alphabet, segments
from sms.text.segments import units_of

LONGEST_TEMPLATE = 2000
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_MENTION = {
    "fr": ("STOP au {code}", "Répondez STOP pour ne plus rien recevoir"),
    "en": ("STOP to {code}", "Reply STOP to opt out"),
}


class TemplateError(ValueError):
    """`place`: of the first character that is wrong, from 1."""

    def __init__(self, what: str, place: int) -> None:
        super().__init__(f"{what}, at character {place}")
        self.what = what
        self.place = place


class UnstoppableError(ValueError):
    """Nobody could say STOP to that sender."""


@dataclass(frozen=True, slots=True)
class Template:
    """`pieces`: words, and names of fields in between: every second one is a field."""

    pieces: tuple[str, ...] = field(repr=False)

    @property
    def fields(self) -> frozenset[str]:
        return frozenset(self.pieces[1::2])

    def filled(self, fields: Mapping[str, str]) -> str:
        """A value is data: braces in it mean nothing. Raises KeyError for a field that is not there."""
        by_name = {key_of(name): value for name, value in fields.items()}
        said = [by_name[piece] if n % 2 else piece for n, piece in enumerate(self.pieces)]
        return "".join(said)


def key_of(name: str) -> str:
    """By what a field is found: neither case nor spaces around it matter."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def template(text: str, known: Iterable[str]) -> Template:
    """`known`: names of fields that there are. Raises TemplateError."""
    if not text.strip():
        raise TemplateError("there is nothing in it", 1)
    if len(text) > LONGEST_TEMPLATE:
        raise TemplateError(f"more than {LONGEST_TEMPLATE} characters", LONGEST_TEMPLATE + 1)
    names = {key_of(name) for name in known}
    pieces, words, last = [], "", 0
    for match in _PIECE.finditer(text):
        words += text[last : match.start()]
        last = match.end()
        said = match.group()
        if said in ("{{", "}}"):
            words += said[0]
            continue
        if match.group(1) is None:
            raise TemplateError("a brace that stands alone (two of them are a brace)", match.start() + 1)
        if key_of(match.group(1)) not in names:
            raise TemplateError("a field that the list does not have", match.start() + 1)
        pieces += [words, key_of(match.group(1))]
        words = ""
    return Template((*pieces, words + text[last:]))


def stop_mention(sender: Address, stop_code: str | None, language: str) -> str:
    """How its reader stops it. Raises UnstoppableError for a name without a code beside it."""
    with_code, by_reply = _MENTION.get(language[:2], _MENTION["en"])
    if stop_code:
        return with_code.format(code=stop_code)
    match sender:
        case ShortCode(digits, _):
            return with_code.format(code=digits)
        case Number():
            return by_reply
        case SenderName():
            raise UnstoppableError("nobody can answer a name: it needs a code that STOP is sent to")


def with_mention(words: str, mention: str) -> str:
    """At its end, unless the author has written it already."""
    if not mention or _flat(mention) in _flat(words):
        return words
    return f"{words.rstrip()} {mention}"


def parts_of(words: str) -> tuple[int, Coding]:
    """How many parts it takes, as `sms.text.segments.plan` cuts it, without cutting. Raises TooLongError for nothing:
    the caller compares."""
    text = unicodedata.normalize("NFC", words)
    coding = Coding.GSM7 if alphabet.fits(text) else Coding.UCS2
    units = units_of(text, coding)
    alone, together = (160, 153) if coding is Coding.GSM7 else (70, 67)
    if units <= alone:
        return 1, coding
    if units == len(text):  # nothing in it takes two: every part is filled to its end
        return -(-units // together), coding
    return len(segments.plan(text, limit=segments.PARTS_MAX).parts), coding


def _flat(words: str) -> str:
    return " ".join(words.casefold().split())


def missing(template_fields: Iterable[str], fields: Mapping[str, str]) -> Sequence[str]:
    """Fields of the template that a line leaves empty."""
    filled = {key_of(name) for name, value in fields.items() if value}
    return sorted(set(template_fields) - filled)
