"""What has to be done before a pack is used, in plain words (data/preconditions.toml)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config.packs import LANGUAGES
from config.shipped import DataError, check_keys, read


@dataclass(frozen=True, slots=True)
class Words:
    """In one language: what has to be done, and what is entered as its evidence."""

    what: str
    evidence: str


@functools.cache
def load() -> Mapping[str, Mapping[str, Words]]:
    """Kind of precondition -> language -> words. Raises DataError."""
    return build(read("preconditions.toml"))


def build(data: Mapping[str, Any]) -> Mapping[str, Mapping[str, Words]]:
    """Check the file's content. Raises DataError."""
    check_keys("preconditions", data, {"version", "precondition"}, ())
    return {kind: _words(f"preconditions.{kind}", entry) for kind, entry in data["precondition"].items()}


def _words(where: str, entry: Mapping[str, Any]) -> Mapping[str, Words]:
    check_keys(where, entry, LANGUAGES, ())
    found = {}
    for language, said in entry.items():
        check_keys(f"{where}.{language}", said, {"what", "evidence"}, ())
        if not all(isinstance(text, str) and text.strip() for text in said.values()):
            raise DataError(f"{where}.{language}: says nothing")
        found[language] = Words(**said)
    return found
