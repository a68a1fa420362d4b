"""The words of stop (data/sms_words.toml), checked when they are read. What they are for: `sms.words.stop`."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.emergency import CONFIDENCE
from config.shipped import DataError, check_keys, one_of, read

SCOPES = ("texts", "calls", "everything")
_CLASS = re.compile(r"<([a-z]+)>")


@dataclass(frozen=True, slots=True)
class Pattern:
    """`scope`: of SCOPES. `erase`: also a request for erasure."""

    id: str
    scope: str
    erase: bool
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class StopWords:
    """All of the file. Words as they stand in it; patterns compiled, for texts without accents, signs and capitals."""

    version: str
    polite: frozenset[str]
    alone: frozenset[str]
    near: tuple[str, ...]
    not_near: frozenset[str]
    with_: frozenset[str]
    calls: frozenset[str]
    everything: frozenset[str]
    firm: tuple[Pattern, ...]
    patterns: tuple[Pattern, ...]
    elsewhere: re.Pattern[str]
    matters: frozenset[str]
    texts: re.Pattern[str]
    doubtful: re.Pattern[str]
    start: frozenset[str]
    help_: frozenset[str]
    help_patterns: re.Pattern[str]


@functools.cache
def load() -> StopWords:
    """The shipped words. Raises DataError."""
    return build(read("sms_words.toml"))


_HEAD = {"version", "checked", "basis", "confidence", "sources"}
_PARTS = {
    "polite": {"words"},
    "alone": {"words", "near", "not_near", "calls", "everything", "with"},
    "elsewhere": {"patterns"},
    "matters": {"words"},
    "doubtful": {"patterns"},
    "start": {"whole"},
    "help": {"whole", "patterns"},
}


def build(data: Mapping[str, Any]) -> StopWords:
    """Check the file's content. Raises DataError."""
    check_keys("sms_words", data, {*_HEAD, *_PARTS, "classes", "firm", "patterns"}, ())
    one_of("sms_words", data["confidence"], CONFIDENCE)
    for name, keys in _PARTS.items():
        check_keys(f"sms_words.{name}", data[name], keys, ())
    classes = data["classes"]
    check_keys("sms_words.classes", classes, {"texts"}, classes)
    alone = data["alone"]
    if strange := set(alone["near"]) - set(alone["words"]):
        raise DataError(f"sms_words.alone.near: {', '.join(sorted(strange))} is not one of the words")
    rules = _rules(data["firm"], classes, "firm"), _rules(data["patterns"], classes, "patterns")
    ids = [rule.id for part in rules for rule in part]
    if len(ids) != len(set(ids)):
        raise DataError("sms_words: an id stands twice")
    return StopWords(
        version=data["version"],
        polite=frozenset(data["polite"]["words"]),
        alone=frozenset(alone["words"]),
        near=tuple(alone["near"]),
        not_near=frozenset(alone["not_near"]),
        with_=frozenset(alone["with"]),
        calls=frozenset(alone["calls"]),
        everything=frozenset(alone["everything"]),
        firm=rules[0],
        patterns=rules[1],
        elsewhere=_any("elsewhere", data["elsewhere"]["patterns"], classes),
        matters=frozenset(data["matters"]["words"]),
        texts=compiled_pattern("sms_words.classes.texts", r"\b<texts>", classes),
        doubtful=_any("doubtful", data["doubtful"]["patterns"], classes),
        start=frozenset(data["start"]["whole"]),
        help_=frozenset(data["help"]["whole"]),
        help_patterns=_any("help", data["help"]["patterns"], classes),
    )


def _rules(entries: Sequence[Mapping[str, Any]], classes: Mapping[str, str], name: str) -> tuple[Pattern, ...]:
    found = []
    for entry in entries:
        where = f"sms_words.{name}.{entry.get('id', '?')}"
        check_keys(where, entry, {"id", "scope", "pattern"}, {"erase"})
        one_of(where, entry["scope"], SCOPES)
        compiled = compiled_pattern(where, entry["pattern"], classes)
        found.append(Pattern(entry["id"], entry["scope"], entry.get("erase", False), compiled))
    return tuple(found)


def _any(name: str, patterns: Sequence[str], classes: Mapping[str, str]) -> re.Pattern[str]:
    for pattern in patterns:
        compiled_pattern(f"sms_words.{name}", pattern, classes)
    return compiled_pattern(f"sms_words.{name}", "|".join(f"(?:{pattern})" for pattern in patterns), classes)


def compiled_pattern(where: str, pattern: str, classes: Mapping[str, str]) -> re.Pattern[str]:
    """A pattern with its classes put in. Raises DataError."""
    if unknown := set(_CLASS.findall(pattern)) - classes.keys():
        raise DataError(f"{where}: no class {', '.join(sorted(unknown))}")
    try:
        return re.compile(_CLASS.sub(lambda match: classes[match[1]], pattern))
    except re.error as error:
        raise DataError(f"{where}: {error}") from None
