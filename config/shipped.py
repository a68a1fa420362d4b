"""Reads the data that ships with the product, and says where a mistake stands in it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

from config.periods import Period


class DataError(Exception):
    """A shipped data file is wrong. Names the file, the entry and the mistake."""


def read(name: str) -> dict[str, Any]:
    """The content of `config/data/<name>`. Raises DataError."""
    try:
        return tomllib.loads(resources.files("config").joinpath("data", name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{name}: {error}") from error


def check_keys(where: str, entry: Mapping[str, Any], required: Iterable[str], optional: Iterable[str]) -> None:
    """Raise DataError unless every required key is there and no key is unknown."""
    required, optional = set(required), set(optional)
    if missing := required - entry.keys():
        raise DataError(f"{where}: missing {', '.join(sorted(missing))}")
    if unknown := entry.keys() - required - optional:
        raise DataError(f"{where}: unknown {', '.join(sorted(unknown))}")


def one_of(where: str, value: str, choices: Iterable[str]) -> str:
    """`value` where it is one of `choices`, else DataError."""
    if value not in set(choices):
        raise DataError(f"{where}: {value!r} is not one of {', '.join(sorted(choices))}")
    return value


def period(where: str, entry: Mapping[str, Any], key: str) -> Period | None:
    """The duration under `key`, None where it is absent; DataError where it does not parse."""
    if key not in entry:
        return None
    try:
        return Period.parse(entry[key])
    except (ValueError, TypeError) as error:
        raise DataError(f"{where}.{key}: {error}") from None
