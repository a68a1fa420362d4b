"""A company's own words in place of a shipped prompt: whether they may be said. Pure.

What a prompt tells somebody of a recording it has to go on telling: who, why, how long, by which right or key (GDPR
art. 13(1), 7; promise 2.4). So no placeholder of the shipped text may be missing but those that it leaves out itself
where there is nothing to say, and what the law or the script of the call wants said has to be there
(`PromptText.must`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from config.prompt_texts import OPTIONAL, PLACEHOLDER, PromptText, brackets_fit

LONGEST = 800
FILLED = frozenset({"org", "purpose", "basis", "recipients", "time", "url", "dpo_contact"})
"""What can be filled in where a call is recorded."""
MAY_BE_EMPTY = frozenset({"url", "dpo_contact"})

What = Literal["empty", "long", "characters", "brackets", "unknown", "missing", "optional", "fixed", "unsaid"]


@dataclass(frozen=True, slots=True)
class Flaw:
    """`name`: the placeholder, or what would have to be said."""

    what: What
    name: str = ""

    def __str__(self) -> str:
        return _SAID[self.what].format(self.name)


_SAID: Mapping[What, str] = {
    "empty": "nothing is said",
    "long": f"it is longer than {LONGEST} characters",
    "characters": "it holds characters that cannot be spoken",
    "brackets": "a bracket is not closed, or stands within another",
    "unknown": "{} is no placeholder of this prompt",
    "missing": "{} has to be said, outside square brackets",
    "optional": "{} may be empty: put what it belongs to in [square brackets]",
    "fixed": "a recording says the same in every call: {} cannot be filled in",
    "unsaid": "it has to say one of: {}",
}


def required(text: PromptText, language: str) -> tuple[str, ...]:
    """Placeholders that every wording has to hold, in the order of the shipped one."""
    return tuple(dict.fromkeys(PLACEHOLDER.findall(OPTIONAL.sub("", text.texts[language]))))


def allowed(text: PromptText) -> frozenset[str]:
    """Placeholders that there is something to say for."""
    return FILLED if text.informs else text.placeholders


def flaws(text: PromptText, language: str, words: str) -> tuple[Flaw, ...]:
    """All that stands against these words, as they would be typed; none: they may be said."""
    found = list(_shape(words))
    if found:
        return tuple(found)
    bare = OPTIONAL.sub("", words)
    outside, used = set(PLACEHOLDER.findall(bare)), set(PLACEHOLDER.findall(words))
    known, wanted = allowed(text), required(text, language)
    found += [Flaw("unknown", f"{{{name}}}") for name in sorted(used - known)]
    found += [Flaw("missing", f"{{{name}}}") for name in wanted if name not in outside]
    found += [Flaw("optional", f"{{{name}}}") for name in sorted(outside & known & MAY_BE_EMPTY - set(wanted))]
    return (*found, *_unsaid(text, language, bare))


def flaws_recorded(text: PromptText, language: str, words: str, said: Mapping[str, str]) -> tuple[Flaw, ...]:
    """The same of a recording in which `words` are spoken. `said`: what each required placeholder stands for."""
    found = list(_shape(words))
    if found:
        return tuple(found)
    found += [Flaw("fixed", f"{{{name}}}") for name in dict.fromkeys(PLACEHOLDER.findall(words))]
    found += [Flaw("unsaid", value) for value in said.values() if plain(value) not in plain(words)]
    return (*found, *_unsaid(text, language, words))


def plain(words: str) -> str:
    """For comparing: one kind of apostrophe and space, small letters."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", words).replace("’", "'").casefold()).strip()


def _shape(words: str) -> list[Flaw]:
    if not words.strip():
        return [Flaw("empty")]
    if len(words) > LONGEST:
        return [Flaw("long")]
    if any(
        not char.isprintable() and char not in "\n\r\t\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}" for char in words
    ):
        return [Flaw("characters")]
    if not brackets_fit(words):
        return [Flaw("brackets")]
    return []


def _unsaid(text: PromptText, language: str, words: str) -> list[Flaw]:
    said = plain(words)
    return [
        Flaw("unsaid", ", ".join(any_of))
        for any_of in text.must.get(language, ())
        if not any(re.search(rf"(?<!\w){re.escape(plain(one))}(?!\d)", said) for one in any_of)
    ]
