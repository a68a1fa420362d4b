"""Opaque identifiers and the shapes of the internal ones."""

import re
import secrets

from storage.errors import Invalid

ACCOUNT_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
DIALLED = re.compile(r"[0-9*#+]{1,32}")
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?")
CODE = re.compile(r"[a-z][a-z_]{0,31}")
COUNTRY = re.compile(r"[A-Z]{2}")


def new_id() -> str:
    """32 hexadecimal characters that tell nothing and cannot be guessed."""
    return secrets.token_hex(16)


def require(field: str, value: str, shape: re.Pattern[str]) -> str:
    """`value` itself; raises `Invalid` when it has not that shape."""
    if not shape.fullmatch(value):
        raise Invalid(field, f"must match {shape.pattern}")
    return value


def require_in(field: str, value: str, allowed: frozenset[str]) -> str:
    """`value` itself; raises `Invalid` when it is not one of `allowed`."""
    if value not in allowed:
        raise Invalid(field, f"must be one of {', '.join(sorted(allowed))}")
    return value
