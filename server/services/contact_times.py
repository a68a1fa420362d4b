"""Moments as people type them: when a consent was given, when somebody would be called."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from server.failure import Failure


def moment(text: str, zone: str = "UTC") -> datetime:
    """`2026-11-24T21:00+01:00`, `2026-11-24T21:00` or `2026-11-24`; without an offset it is the time in `zone`.

    Raises Failure.
    """
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Failure("this is no date and time", "Write it as 2026-11-24T21:00", "invalid") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(zone))
