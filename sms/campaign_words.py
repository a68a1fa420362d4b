"""The words of a campaign, filled in for each recipient; of advertising with who sends it and how to stop it. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from sms.addresses import Address, Number, SenderName, ShortCode
from sms.carriers.carrier import Coding
from sms.messages import CLASSES
from sms.text import alphabet, segments, templates
from sms.text.segments import units_of
from sms.text.templates import VALUE_MOST, Composed, Field, Template

_STOP = "stop"
_ENDS = (".", "!", "?", "…", ":", ";", "\n")
_ALONE = {Coding.GSM7: 160, Coding.UCS2: 70}
_TOGETHER = {Coding.GSM7: 153, Coding.UCS2: 67}


class UnstoppableError(ValueError):
    """Nobody could say STOP to that sender."""


@dataclass(frozen=True, slots=True)
class Words:
    """Made by `words_of`. `stop_to` None: STOP is read where the text comes from."""

    template: Template
    advertises: bool
    identity: str
    language: str
    stop_to: ShortCode | Number | None = field(repr=False)
    named: bool = False  # who sends it stands in the template's own words

    def text(self, fields: Mapping[str, str]) -> str:
        """For one recipient. Raises TemplateError that names the field, and never its value."""
        said = self.template.render(fields)
        if not self.advertises:
            return said
        if _STOP in said.casefold():
            return self.composed(said).text
        # Of most texts it is known without looking: nothing in them is a way to stop.
        body = said.rstrip() if self.named else f"{self.identity.strip()}: {said.rstrip()}"
        end = "" if body.endswith(_ENDS) else "."
        return f"{body}{end} {templates.mention(self.language, self.stop_to)}"

    def composed(self, said: str) -> Composed:
        """With what advertising needs, where it is not there. Raises TemplateError."""
        return templates.for_marketing(said, identity=self.identity, language=self.language, stop_to=self.stop_to)


def words_of(
    text: str,
    columns: Iterable[str],
    *,
    message_class: str,
    identity: str,
    language: str,
    sender: Address,
    stop_code: str | None,
    country: str,
) -> Words:
    """`columns`: of the list. `country`: of a code that STOP is sent to. Raises TemplateError, UnstoppableError."""
    made = templates.parse(text, [Field(name, VALUE_MOST) for name in columns if _can_be_a_field(name)])
    advertises = CLASSES[message_class].stop_mention
    stop_to = ShortCode(stop_code, country) if stop_code else None
    if advertises and stop_to is None and isinstance(sender, SenderName):
        raise UnstoppableError("nobody can answer a name: it needs a code that STOP is sent to")
    spoken = language[:2] if language[:2] in templates.LANGUAGES else "en"
    words = Words(made, advertises, identity, spoken, stop_to)
    if not advertises:
        return words
    # A letter in each field: what stands right beside one is part of a word.
    tried = words.composed(made.render({each.name: "x" for each in made.fields}))
    return replace(words, named=not tried.added_identity)


def _can_be_a_field(name: str) -> bool:
    try:
        Field(name)
    except ValueError:
        return False
    return True


def parts_of(words: str, *, transliterated: bool = False) -> tuple[int, Coding]:
    """How many parts it takes, as `sms.text.segments.plan` cuts it, without cutting where that can be known."""
    text = unicodedata.normalize("NFC", words)
    coding = Coding.GSM7 if alphabet.fits(text) else Coding.UCS2
    if coding is Coding.GSM7 or not transliterated:
        units = units_of(text, coding)
        if units <= _ALONE[coding]:
            return 1, coding
        if units == len(text):  # nothing in it takes two: every part is filled to its end
            return -(-units // _TOGETHER[coding]), coding
    made = segments.plan(text, transliterated=transliterated, limit=segments.PARTS_MAX)
    return len(made.parts), made.coding
