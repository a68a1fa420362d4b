"""Events from which a recording's period runs: a contract concluded or signed, a case closed. Pure.

An event is a day. Its period runs from that day's end (Regulation 1182/71 Art. 3: the day of the event is not counted),
so that what the law wants kept for two years is there for two whole years.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from config.packs import Pack
from config.periods import Period

EVENTS = ("contract_concluded", "contract_signed", "case_closed", "transferred_to_care_record")
CONTRACTS = frozenset({"contract_concluded", "contract_signed"})


def moment_of(day: date) -> datetime:
    """From when the period runs: the end of that day (UTC)."""
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def day_of(moment: datetime) -> date:
    """The day that `moment_of` was made of."""
    return moment.astimezone(UTC).date() - timedelta(days=1)


def refusal(pack: Pack | None, event: str, day: date, began: datetime, today: date) -> str:
    """Why this event cannot be entered, "" where it can. `began`: the recording's start; `today`: UTC."""
    if pack is None:
        return "its purpose is not known any more"
    if pack.start_event == "recording_end" or pack.provisional is None:
        return f"the period of {pack.id} runs from the end of the recording"
    if event != pack.start_event:
        return f"the period of {pack.id} runs from {pack.start_event}"
    if day > today:
        return f"{day} lies in the future"
    if day < began.astimezone(UTC).date():
        return f"{day} lies before the recording"
    return ""


def expiry(pack: Pack, kept_for: str | None, day: date) -> datetime:
    """When the recording goes: not before the pack's minimum is over, and never later than its maximum.

    `kept_for`: the period that was decided when it was recorded (ISO 8601); None: the pack's own.
    """
    began = moment_of(day)
    until = (Period.parse(kept_for) if kept_for else pack.retention or Period()).after(began)
    if pack.minimum is not None:
        until = max(until, pack.minimum.after(began))
    return min(until, pack.maximum.after(began)) if pack.maximum is not None else until
