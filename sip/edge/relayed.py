"""Emergency calls that the edge has relayed alone, as its table `alone` has them. Pure: text in, calls out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

_KEY = re.compile(r"[0-9a-f]{32}")
_BEGUN = re.compile(r"(?P<at>\d{1,12}):(?P<account>[^:]*):(?P<device>[^:]*):(?P<number>[0-9*#]+)")
_OVER = re.compile(r"(?P<at>\d{1,12}):(?P<how>ended|failed|cancelled)")


@dataclass(frozen=True, slots=True)
class RelayedCall:
    """Of one Call-ID, which is known here by `key_of`."""

    key: str
    at: datetime  # when the edge began to relay it
    account_id: str  # "" where the edge was not told
    device: str  # auth user
    number: str  # the service's, as a provider is asked for it
    trunk_id: str | None  # by which the service was reached; None: by none, or not yet
    over_at: datetime | None = None  # None: it goes on
    how: str = ""  # ended, failed, cancelled; "" while it goes on


def key_of(call_id: str) -> str:
    """How the edge names a call in its table: a Call-ID may hold anything."""
    return hashlib.md5(call_id.encode(), usedforsecurity=False).hexdigest()


def names(key: str) -> tuple[str, ...]:
    """What belongs to one call in the table; the call itself first, for the rest alone means nothing."""
    return key, f"{key}/took", f"{key}/over"


def read(table: Iterable[tuple[str, str]]) -> list[RelayedCall]:
    """Oldest first. What is no call is left out."""
    held = dict(table)
    found = []
    for key, value in held.items():
        begun = _BEGUN.fullmatch(value) if _KEY.fullmatch(key) else None
        if begun is None:
            continue
        _, took, over = names(key)
        ended = _OVER.fullmatch(held.get(over, ""))
        found.append(
            RelayedCall(
                key=key,
                at=_time(begun["at"]),
                account_id=begun["account"],
                device=begun["device"],
                number=begun["number"],
                trunk_id=held.get(took),
                over_at=_time(ended["at"]) if ended else None,
                how=ended["how"] if ended else "",
            )
        )
    return sorted(found, key=lambda call: (call.at, call.key))


def _time(seconds: str) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
