"""The shipped roles (data/roles.toml): role -> right -> how far it reaches."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from config.shipped import DataError, read

REACHES = ("own", "team", "all")


@functools.cache
def load() -> Mapping[str, Mapping[str, str]]:
    """Raises DataError naming role and right."""
    found: dict[str, Mapping[str, str]] = {}
    for role, rights in read("roles.toml").items():
        for right, reach in rights.items():
            if reach not in REACHES:
                raise DataError(f"roles.toml: {role}: {right}: write {', '.join(REACHES)}")
        found[role] = dict(rights)
    return found
