"""What is wrong with a configuration, said so that the reader can put it right.

A problem names the key, the value as written, what is wrong, and the remedy. All problems of a file are
reported together: nobody should have to start the program five times to find five mistakes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Names of keys that would hold a secret. The configuration file is read by many and kept in backups.
_SECRET_NAME = re.compile(
    r"(^|_)(pass(word|wd|phrase)?|pwd|secret|pin|token|api_?key|private_?key|credentials?|ha1)($|_)",
    re.IGNORECASE,
)
HIDDEN = "(not shown)"
SECRET_REMEDY = "put it into a file of its own under keys/ (mode 0600) or a credential, see [secrets]"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `key` is dotted (`sip.tls_listen`), `value` is as written, or HIDDEN for a secret."""

    key: str
    value: str
    message: str
    remedy: str

    def __str__(self) -> str:
        shown = f" = {self.value}" if self.value else ""
        return f"{self.key}{shown}: {self.message}. Remedy: {self.remedy}."


class ConfigError(Exception):
    """The configuration cannot be used. `problems` holds every mistake found, never empty."""

    def __init__(self, problems: Sequence[Problem], source: str = "configuration") -> None:
        self.problems = tuple(problems)
        self.source = source
        lines = [f"{source}: {len(self.problems)} problem(s)", *(f"  {p}" for p in self.problems)]
        super().__init__("\n".join(lines))


def looks_like_secret(key: str) -> bool:
    """True where the last part of a dotted key names a secret (`storage.password`)."""
    return bool(_SECRET_NAME.search(key.rpartition(".")[2]))


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """`did you mean 'x'?`, or the known words where none is near."""
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return "known here: " + ", ".join(sorted(known))


def explain(kind: str, ctx: Mapping[str, object], fallback: str) -> tuple[str, str]:
    """Message and remedy for one pydantic error type; its own words where we have none better."""
    bound = {
        "greater_than_equal": ("is too small", f"give at least {ctx.get('ge')}"),
        "greater_than": ("is too small", f"give more than {ctx.get('gt')}"),
        "less_than_equal": ("is too large", f"give at most {ctx.get('le')}"),
        "less_than": ("is too large", f"give less than {ctx.get('lt')}"),
        "too_short": ("has too few entries", f"give at least {ctx.get('min_length')}"),
        "too_long": ("has too many entries", f"give at most {ctx.get('max_length')}"),
        "string_too_short": ("is too short", f"give at least {ctx.get('min_length')} character(s)"),
        "string_too_long": ("is too long", f"give at most {ctx.get('max_length')} characters"),
        "literal_error": ("is not one of the choices", f"choose {ctx.get('expected')}"),
        "int_type": ("is not a whole number", "write a number without quotes"),
        "int_from_float": ("is not a whole number", "write a number without a decimal point"),
        "bool_type": ("is not true or false", "write true or false without quotes"),
        "string_type": ("is not a text", 'write it between quotes, as in "text"'),
        "tuple_type": ("is not a list", 'write a list, as in ["one", "two"]'),
        "model_type": ("is not a section", "write it as [section] followed by its keys"),
        "model_attributes_type": ("is not a section", "write it as [section] followed by its keys"),
    }
    return bound.get(kind, (fallback, "see the annotated sample"))
