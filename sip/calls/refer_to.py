"""Where a REFER points to: Refer-To (RFC 3515 section 2.1) with, for an attended transfer, Replaces (RFC 3891)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

_URI = re.compile(r"sips?:(?:([^@;?>]*)@)?[^@;?>]+(?:;[^?>]*)?(?:\?([^>]*))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Replaces:
    """A dialog, by its Call-ID and the tags of its two ends (RFC 3891 section 6.1). ``early_only``: it must not have
    been answered yet."""

    call_id: str
    tags: frozenset[str]
    early_only: bool = False


@dataclass(frozen=True, slots=True)
class ReferTo:
    """``user`` is what would be dialled; with ``replaces`` it does not matter."""

    user: str
    replaces: Replaces | None = None


def parse(text: str) -> ReferTo | None:
    """None for what names nobody: no SIP URI, no user, a Replaces without both tags."""
    found = _URI.search(text)
    if found is None or not found[1]:
        return None
    user = unquote(found[1]).partition(":")[0]  # a password, as RFC 2543 had it, is nobody's name
    for header in (found[2] or "").split("&"):
        name, _, value = header.partition("=")
        if unquote(name).strip().lower() == "replaces":
            replaces = _replaces(unquote(value))
            return ReferTo(user, replaces) if replaces is not None else None
    return ReferTo(user) if user else None


def _replaces(value: str) -> Replaces | None:
    call_id, *parameters = (part.strip() for part in value.split(";"))
    given = {name.strip().lower(): what.strip() for name, _, what in (each.partition("=") for each in parameters)}
    tags = frozenset(given[name] for name in ("to-tag", "from-tag") if given.get(name))
    if not call_id or not all(given.get(name) for name in ("to-tag", "from-tag")):
        return None
    return Replaces(call_id, tags, "early-only" in given)
