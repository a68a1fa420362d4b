"""What is said of an alert, in each channel's own form: kind, severity, id, count, times, machine. Pure.

No subject, no name, no number: what leaves the machine tells nothing of anybody.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

from config.alerts import Kind

_FACILITY = 13  # log audit (RFC 5424 section 6.2.1)
_LEVELS: Mapping[str, int] = {"critical": 2, "warning": 4, "note": 5}


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert as it is told. `words`: of its kind, in the company's language."""

    alert_id: str
    kind: str
    severity: str
    count: int
    first_at: datetime
    last_at: datetime
    machine: str
    words: str
    tell: tuple[str, ...] = ()
    again: bool = False  # it had been acknowledged, and has happened again


def notice(kind: Kind, language: str, machine: str, alert_id: str, count: int, first_at: datetime, last_at: datetime,
           *, again: bool = False) -> Notice:  # fmt: skip
    return Notice(alert_id, kind.id, kind.severity, count, first_at, last_at, machine, kind.says[language], kind.tell,
                  again)  # fmt: skip


def line(one: Notice) -> str:
    """For the log."""
    return f"alert {one.alert_id}: {one.severity} {one.kind}, {one.count} (see: beffroi alert show)"


def syslog(one: Notice, at: datetime) -> bytes:
    """One message of RFC 5424; the fields once more as structured data (section 6.3)."""
    priority = 8 * _FACILITY + _LEVELS[one.severity]
    data = f'[beffroi@32473 id="{one.alert_id}" kind="{one.kind}" severity="{one.severity}" count="{one.count}"]'
    head = f"<{priority}>1 {_time(at)} {one.machine or '-'} beffroi - {one.kind[:32]} {data}"
    return f"{head} {line(one)}".encode()


def mail(one: Notice, sender: str, recipients: Sequence[str]) -> EmailMessage:
    """Without content: what a relay may keep for ever."""
    message = EmailMessage()
    message["From"], message["To"] = sender, ", ".join(recipients)
    message["Subject"] = f"[Beffroi {one.machine}] {one.severity}: {one.kind}"
    message["Date"] = format_datetime(one.last_at)
    message["Message-ID"] = f"<{one.alert_id}.{one.count}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody answers a machine
    message.set_content(
        f"{one.words}\n\n"
        f"severity  {one.severity}\nkind      {one.kind}\ncount     {one.count}{' (again)' if one.again else ''}\n"
        f"first     {_time(one.first_at)}\nlast      {_time(one.last_at)}\nmachine   {one.machine}\n\n"
        f"beffroi alert show {one.alert_id}\nbeffroi alert runbook {one.kind}\n"
        f"beffroi alert ack {one.alert_id} --verdict false_alarm|real_danger|misuse\n"
    )
    return message


def webhook(one: Notice) -> bytes:
    """The body of a POST: JSON."""
    said = {
        "v": 1,
        "id": one.alert_id,
        "kind": one.kind,
        "severity": one.severity,
        "count": one.count,
        "again": one.again,
        "first_at": _time(one.first_at),
        "last_at": _time(one.last_at),
        "machine": one.machine,
        "words": one.words,
    }
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
