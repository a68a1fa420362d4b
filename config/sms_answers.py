"""What is answered to a text without anybody writing it (data/sms_answers.toml), checked when it is read."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from config.packs import LANGUAGES
from config.shipped import DataError, check_keys, read

KINDS = ("stop_ack", "help")
_FIELDS = frozenset({"org", "contact"})


@functools.cache
def load() -> Mapping[str, Mapping[str, str]]:
    """Kind to language to words, with {org} and {contact}. Raises DataError."""
    return build(read("sms_answers.toml"))


def build(data: Mapping[str, Any]) -> Mapping[str, Mapping[str, str]]:
    """Check the file's content. Raises DataError."""
    check_keys("sms_answers", data, {"version", "checked", "basis", "confidence", "sources", *KINDS}, ())
    found = {}
    for kind in KINDS:
        check_keys(f"sms_answers.{kind}", data[kind], LANGUAGES, ())
        for language, words in data[kind].items():
            try:
                words.format(**dict.fromkeys(_FIELDS, ""))
            except (KeyError, ValueError, IndexError):
                raise DataError(
                    f"sms_answers.{kind}.{language}: only {{org}} and {{contact}} stand in braces"
                ) from None
        found[kind] = MappingProxyType(dict(data[kind]))
    return MappingProxyType(found)


def words(kind: str, language: str, *, org: str, contact: str) -> str:
    """In that language, or in English. Raises KeyError for a kind that is none."""
    said = load()[kind]
    return said.get(language[:2], said["en"]).format(org=org, contact=contact).strip()
