"""The texts spoken to people (data/prompt_texts.toml): checked, filled in, versioned."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from config import packs
from config.shipped import DataError, check_keys, one_of, read

MODES = frozenset({"announce", "opt-out", "opt-in", "result", "notice", "failure", "written"})
INFORMING = frozenset({"announce", "opt-out", "opt-in"})
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
OPTIONAL = re.compile(r"\[([^\[\]]*)\]")


class PlaceholderError(ValueError):
    """A text cannot be filled in: `names` are missing, or empty where something must be said."""

    def __init__(self, prompt_id: str, names: tuple[str, ...]) -> None:
        self.names = names
        super().__init__(f"{prompt_id}: nothing to say for {', '.join('{' + n + '}' for n in names)}")


@dataclass(frozen=True, slots=True)
class PromptText:
    """One prompt in every language. `version` changes with any change of a text.

    `must`: by language, what other words in its place have to hold (`config.prompt_words`).
    """

    prompt_id: str
    version: int
    mode: str
    texts: Mapping[str, str]
    must: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)

    @property
    def informs(self) -> bool:
        """Whether a consent or a duty to inform rests on it (GDPR art. 7, 13)."""
        return self.mode in INFORMING or self.prompt_id == "PROMPT_LONG"

    @property
    def placeholders(self) -> frozenset[str]:
        """Names that `render` needs (those of optional parts included)."""
        return frozenset(PLACEHOLDER.findall(next(iter(self.texts.values()))))

    def render(self, language: str, values: Mapping[str, str]) -> str:
        """The text to be spoken. Raises PlaceholderError naming what is missing, KeyError for the language."""
        text = self.texts[language]
        missing = sorted({name for name in PLACEHOLDER.findall(text) if name not in values})
        if missing:
            raise PlaceholderError(self.prompt_id, tuple(missing))
        text = OPTIONAL.sub(lambda part: _kept(part[1], values), text)
        empty = sorted({name for name in PLACEHOLDER.findall(text) if not values[name].strip()})
        if empty:
            raise PlaceholderError(self.prompt_id, tuple(empty))
        return PLACEHOLDER.sub(lambda found: values[found[1]].strip(), text)


def brackets_fit(words: str) -> bool:
    """Whether curly ones hold the name of a placeholder each, and square ones are closed, none within another."""
    bare = OPTIONAL.sub(lambda part: part[1], PLACEHOLDER.sub("", words))
    return re.search(r"[{}\[\]]", bare) is None


def _kept(part: str, values: Mapping[str, str]) -> str:
    return part if all(values[name].strip() for name in PLACEHOLDER.findall(part)) else ""


@functools.cache
def load() -> Mapping[str, PromptText]:
    """Every shipped text by its id; also checks that each prompt that a pack names exists. Raises DataError."""
    texts = build(read("prompt_texts.toml"))
    for pack in packs.load().values():
        if unknown := set(pack.prompts) - texts.keys():
            raise DataError(f"policy_packs.{pack.id}: no such prompt {', '.join(sorted(unknown))}")
    return texts


def build(data: Mapping[str, Any]) -> Mapping[str, PromptText]:
    """Check the file's content and make texts of it. Raises DataError."""
    return {prompt_id: _text(prompt_id, entry) for prompt_id, entry in data.items()}


def _text(prompt_id: str, entry: Mapping[str, Any]) -> PromptText:
    where = f"prompt_texts.{prompt_id}"
    check_keys(where, entry, {"version", "mode", *packs.LANGUAGES}, {f"must_{one}" for one in packs.LANGUAGES})
    one_of(where, entry["mode"], MODES)
    if not isinstance(entry["version"], int) or entry["version"] < 1:
        raise DataError(f"{where}.version: write a number from 1")
    texts = {language: str(entry[language]) for language in packs.LANGUAGES}
    for language, text in texts.items():
        if not text.strip() or not brackets_fit(text):
            raise DataError(f"{where}.{language}: empty, or a bracket that is not closed")
    if len({tuple(sorted(PLACEHOLDER.findall(text))) for text in texts.values()}) != 1:
        raise DataError(f"{where}: the languages differ in their placeholders")
    must = {
        language: tuple(tuple(one.split("|")) for one in entry.get(f"must_{language}", ()))
        for language in packs.LANGUAGES
    }
    return PromptText(prompt_id, entry["version"], entry["mode"], texts, must)
