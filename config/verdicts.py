"""What is said about a call (data/verdicts.toml): verdicts in plain words, each with its remedy."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config.packs import LANGUAGES
from config.shipped import DataError, check_keys, one_of, read

KINDS = frozenset({"problem", "ordinary", "note", "good"})
_PLACEHOLDER = re.compile(r"\{([a-z]+)\}")
_KNOWN = frozenset({"leg", "percent", "seconds", "ms", "code"})
_ANYBODY = "b"  # how a leg is called that has no name of its own


@dataclass(frozen=True, slots=True)
class VerdictText:
    """One verdict in every language."""

    id: str
    kind: str
    says: Mapping[str, str]
    remedies: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class VerdictTexts:
    """All of them, and what legs are called."""

    verdicts: Mapping[str, VerdictText]
    legs: Mapping[str, Mapping[str, str]]  # first letter of a leg, or "trunk" -> language -> words

    def leg(self, name: str, language: str, *, trunk: bool = False) -> str:
        """What the leg is called in a sentence."""
        return self.legs.get("trunk" if trunk else name[:1], self.legs[_ANYBODY])[language]

    def says(
        self, verdict: str, language: str, values: Mapping[str, int], leg: str = "", *, trunk: bool = False
    ) -> str:
        """The sentence, with its first letter large. Raises KeyError for a verdict or language that is not there."""
        filled = {
            **{key: str(value) for key, value in values.items()},
            "leg": self.leg(leg or "a", language, trunk=trunk),
        }
        text = _PLACEHOLDER.sub(lambda found: filled.get(found[1], "?"), self.verdicts[verdict].says[language])
        return text[:1].upper() + text[1:]

    def remedy(self, verdict: str, language: str) -> str:
        """What to do about it. Raises KeyError."""
        return self.verdicts[verdict].remedies[language]


@functools.cache
def load() -> VerdictTexts:
    """The shipped texts. Raises DataError."""
    return build(read("verdicts.toml"))


def build(data: Mapping[str, Any]) -> VerdictTexts:
    """Check the file's content. Raises DataError."""
    check_keys("verdicts", data, {"legs", "verdict"}, ())
    legs = {}
    for name, words in data["legs"].items():
        check_keys(f"verdicts.legs.{name}", words, LANGUAGES, ())
        legs[name] = {language: str(words[language]) for language in LANGUAGES}
    return VerdictTexts({name: _text(name, entry) for name, entry in data["verdict"].items()}, legs)


def _text(name: str, entry: Mapping[str, Any]) -> VerdictText:
    where = f"verdicts.{name}"
    check_keys(where, entry, {"kind", *LANGUAGES, *(f"remedy_{language}" for language in LANGUAGES)}, ())
    one_of(where, entry["kind"], KINDS)
    says = {language: str(entry[language]) for language in LANGUAGES}
    remedies = {language: str(entry[f"remedy_{language}"]) for language in LANGUAGES}
    wanted = {language: set(_PLACEHOLDER.findall(text)) for language, text in says.items()}
    if unknown := set().union(*wanted.values()) - _KNOWN:
        raise DataError(f"{where}: unknown placeholder {', '.join(sorted(unknown))}")
    if len({frozenset(names) for names in wanted.values()}) != 1:
        raise DataError(f"{where}: the languages differ in their placeholders")
    if any(not text.strip() for text in (*says.values(), *remedies.values())):
        raise DataError(f"{where}: an empty text")
    return VerdictText(name, entry["kind"], says, remedies)
