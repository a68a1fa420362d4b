"""Templates of texts: fields in braces, strictly; a value is data and never read as a template.

`{prénom}` is a field, `{{` and `}}` are braces. For marketing the sender's identity and the way to say STOP are added
where the author has not written them (CPCE L34-5): they are part of the text, and counted in its segments.
"""

from __future__ import annotations

import difflib
import functools
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sms.addresses import Number, ShortCode
from sms.words import folding

TEMPLATE_MOST = 2000  # characters
VALUE_MOST = 160
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME = re.compile(r"[^\W\d_][\w -]{0,39}")


class TemplateError(ValueError):
    """`place`: of the mistake, from 0. `name`: of the field that it is about, if it is about one."""

    def __init__(self, message: str, place: int = 0, name: str = "") -> None:
        super().__init__(message)
        self.place = place
        self.name = name


@dataclass(frozen=True, slots=True)
class Field:
    """`most`: characters of a value. `default`: written where there is no value; None: then there must be one.

    `one_time`: a code that opens something; the text is never stored.
    """

    name: str
    most: int = 60
    default: str | None = None
    one_time: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError("a field's name begins with a letter and has at most 40 letters, digits and spaces")
        if not 1 <= self.most <= VALUE_MOST:
            raise ValueError(f"most: from 1 to {VALUE_MOST} characters")


@dataclass(frozen=True, slots=True)
class Template:
    """Checked text: what stands between the fields, and the fields. Made by `parse`."""

    _pieces: tuple[str | Field, ...] = field(repr=False)

    @property
    def fields(self) -> tuple[Field, ...]:
        """Those that occur, each once."""
        return tuple(dict.fromkeys(piece for piece in self._pieces if isinstance(piece, Field)))

    @property
    def holds_one_time_code(self) -> bool:
        return any(each.one_time for each in self.fields)

    def render(self, values: Mapping[str, str]) -> str:
        """The text for one recipient. Raises TemplateError that names the field, and never its value."""
        known = {_same(name): value for name, value in values.items()}
        written = {each: _value(each, known.get(_same(each.name))) for each in self.fields}
        return "".join(written[piece] if isinstance(piece, Field) else piece for piece in self._pieces)


def parse(text: str, fields: Iterable[Field]) -> Template:
    """Check a template. Raises TemplateError with the place of the first mistake."""
    if not text.strip():
        raise TemplateError("the text is empty")
    if len(text) > TEMPLATE_MOST:
        raise TemplateError(f"the text has more than {TEMPLATE_MOST} characters", TEMPLATE_MOST)
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    for place, character in enumerate(text):
        if character != "\n" and unicodedata.category(character) in ("Cc", "Cs"):
            raise TemplateError(f"character {place + 1} is a control character", place)
    known = {_same(each.name): each for each in fields}
    pieces: list[str | Field] = []
    end = 0
    for match in _PIECE.finditer(text):
        pieces.append(text[end : match.start()])
        end = match.end()
        pieces.append(_piece(match, known))
    pieces.append(text[end:])
    return Template(tuple(piece for piece in pieces if piece != ""))


def _piece(match: re.Match[str], known: Mapping[str, Field]) -> str | Field:
    written, place = match.group(), match.start()
    if written in ("{{", "}}"):
        return written[0]
    if match[1] is None:
        other = "closed by }" if written == "{" else "opened by {"
        raise TemplateError(f"the brace at character {place + 1} is not {other}; for a brace write it twice", place)
    found = known.get(_same(match[1]))
    if found is None:
        near = difflib.get_close_matches(_same(match[1]), known, 1, 0.6)
        hint = f"; did you mean {{{known[near[0]].name}}}?" if near else ""
        raise TemplateError(f"there is no field {{{match[1]}}} (character {place + 1}){hint}", place, match[1])
    return found


@functools.lru_cache(maxsize=1024)
def _same(name: str) -> str:
    """How names are compared: capitals and spaces around do not count, accents do."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def _value(each: Field, value: str | None) -> str:
    """One line without control characters. What looks like a field stays as it is."""
    clean = value or ""
    if not clean.isprintable():  # most are: a campaign has a hundred thousand
        clean = "".join(c if unicodedata.category(c) not in ("Cc", "Cs") else " " for c in clean)
    clean = " ".join(unicodedata.normalize("NFC", clean).split())
    if not clean:
        if each.default is None:
            raise TemplateError(f"the field {{{each.name}}} has no value", name=each.name)
        return each.default
    if len(clean) > each.most:
        raise TemplateError(f"the value of {{{each.name}}} is longer than {each.most} characters", name=each.name)
    return clean


# --- what marketing has to say ----------------------------------------------------------------------------------------

_MENTIONS = {
    "fr": ("STOP au {}", "Répondez STOP pour refuser"),
    "en": ("STOP to {}", "Reply STOP to end"),
    "de": ("STOP an {}", "Antworten Sie STOP zum Abmelden"),
    "es": ("STOP al {}", "Responda STOP para darse de baja"),
    "it": ("STOP al {}", "Rispondi STOP per cancellarti"),
    "nl": ("STOP naar {}", "Antwoord STOP om te stoppen"),
}
LANGUAGES = tuple(_MENTIONS)
_WRITTEN = re.compile(r"\bstop\b[^\n]{0,24}?(?<![\d+])(\+?\d{3,15})(?!\d)", re.IGNORECASE)
_ANSWER = re.compile(
    r"\b(?:repond\w*|reply|text|send|envoy\w*|antwort\w*|responda|rispondi|antwoord)\b.{0,20}\bstop\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Composed:
    """`text`: as it leaves. What was added to what the author wrote."""

    text: str = field(repr=False)
    added_identity: bool
    added_mention: bool


def mention(language: str, to: ShortCode | Number | None) -> str:
    """How to say STOP; `to` None: by answering. Raises KeyError for a language that is none of LANGUAGES."""
    elsewhere, by_answer = _MENTIONS[language]
    match to:
        case None:
            return by_answer
        case ShortCode(digits, _):
            return elsewhere.format(digits)
        case Number(e164):
            return elsewhere.format(e164)


def for_marketing(text: str, *, identity: str, language: str, stop_to: ShortCode | Number | None) -> Composed:
    """The text with who sends it and how to say STOP, each added unless it is there.

    `stop_to`: where STOP is read; None: at the sender itself, which then must be one that can be answered. Raises
    TemplateError where the author sends STOP to another number, and for an empty identity.
    """
    if not identity.strip():
        raise TemplateError("marketing says who sends it: the identity is empty")
    said = mention(language, stop_to)
    body = text.rstrip()
    named = _is_named(body, identity)
    has_mention = _has_mention(body, stop_to)
    if not named:
        body = f"{identity.strip()}: {body}"
    if not has_mention:
        end = "" if body.endswith((".", "!", "?", "…", ":", ";", "\n")) else "."
        body = f"{body}{end} {said}"
    return Composed(body, not named, not has_mention)


def _is_named(text: str, identity: str) -> bool:
    name = folding.words(folding.folded(identity))
    return f" {name} " in f" {folding.words(folding.folded(text))} "


def _has_mention(text: str, stop_to: ShortCode | Number | None) -> bool:
    own = stop_to.digits if isinstance(stop_to, ShortCode) else stop_to.e164 if stop_to else ""
    other = [match for match in _WRITTEN.finditer(text) if match[1].lstrip("+") != own.lstrip("+")]
    if other:
        raise TemplateError("the text sends STOP to a number where nobody reads it", other[0].start())
    if stop_to is None:
        return _ANSWER.search(folding.folded(text)) is not None
    return _WRITTEN.search(text) is not None
