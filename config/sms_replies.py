"""What sets a reply apart (data/sms_replies.toml), checked when it is read. What it is for: `sms.words.replies`."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config.emergency import CONFIDENCE
from config.shipped import DataError, check_keys, one_of, read
from config.sms_words import compiled_pattern

CATEGORIES = ("unwanted", "sensitive", "correction", "rights", "machine")


REQUESTS = ("access", "rectification", "erasure", "objection")


@dataclass(frozen=True, slots=True)
class Rule:
    """`category`: of CATEGORIES; `request`: of REQUESTS, or "".

    It counts where `pattern` is found and `unless` is not.
    """

    id: str
    category: str
    request: str
    pattern: re.Pattern[str]
    unless: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Replies:
    """`harmless_hosts`: links that begin with one of them are no risk."""

    version: str
    harmless_hosts: tuple[str, ...]
    rules: tuple[Rule, ...]


@functools.cache
def load() -> Replies:
    """The shipped rules. Raises DataError."""
    return build(read("sms_replies.toml"))


def build(data: Mapping[str, Any]) -> Replies:
    """Check the file's content. Raises DataError."""
    check_keys("sms_replies", data, {"version", "checked", "basis", "confidence", "harmless_hosts", "rule"}, ())
    one_of("sms_replies", data["confidence"], CONFIDENCE)
    rules: dict[str, Rule] = {}
    for entry in data["rule"]:
        where = f"sms_replies.rule.{entry.get('id', '?')}"
        check_keys(where, entry, {"id", "category", "pattern"}, {"unless", "request"})
        one_of(where, entry["category"], CATEGORIES)
        request = entry.get("request", "rectification" if entry["category"] == "correction" else "")
        one_of(where, request, ("", *REQUESTS))
        if (entry["category"] in ("rights", "correction")) is not bool(request):
            raise DataError(f"{where}: rights name a request, and nothing else does")
        if entry["id"] in rules:
            raise DataError(f"{where} stands twice")
        unless = compiled_pattern(where, entry["unless"], {}) if "unless" in entry else None
        pattern = compiled_pattern(where, entry["pattern"], {})
        rules[entry["id"]] = Rule(entry["id"], entry["category"], request, pattern, unless)
    if missing := set(CATEGORIES) - {rule.category for rule in rules.values()}:
        raise DataError(f"sms_replies: no rule for {', '.join(sorted(missing))}")
    return Replies(data["version"], tuple(data["harmless_hosts"]), tuple(rules.values()))
