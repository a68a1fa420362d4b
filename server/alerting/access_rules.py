"""Rules over the access log: what somebody did that others should know of. Pure: entries in, alerts out.

The log is what every look and every change writes in its own transaction, whatever way it came by: there is no second
list of places to watch, and none that can be forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from config.alerts import Kind
from server.alerting.raised import Raised, Windows

_OPENS = ("open", "export")
_UNLOCKS, _SEALED = ("unlock", "wrap", *_OPENS), ("recording", "hold", "reader")  # all by one passphrase
_FACTORS = ("totp", "passkey")
_REFUSED = ("denied", "wrong", "replayed", "locked")
LOOKS = frozenset({"list", "search", "show"})
NAMING = frozenset({"account", "call", "consent", "contact", "contract", "device", "hold", "mail_login", "number",
                    "person", "recording", "suppression", "emergency", "trunk"})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Looked:
    """One entry, as far as rules need it."""

    at: datetime
    actor_id: str
    action: str
    object: str
    outcome: str
    person_id: str = ""
    rec_id: str = ""
    count: int = 1
    reasoned: bool = False  # with a reason, hence in clear
    purpose: str = ""  # of a recording; of a look that needs a right of its own, such as "circle"
    rule: str = ""  # which operation was refused

    @property
    def opens(self) -> bool:
        """Whether a recording was opened."""
        return self.object == "recording" and self.action in _OPENS and self.outcome == "done"


def looked(body: bytes) -> Looked:
    """Of an entry's body. Raises ValueError, KeyError for what is no entry."""
    said = json.loads(body)
    return Looked(
        at=datetime.fromisoformat(said["at"]),
        actor_id=said["actor_id"],
        action=said["action"],
        object=said.get("object", ""),
        outcome=said.get("outcome", "done"),
        person_id=said.get("person_id", ""),
        rec_id=said.get("rec_id", ""),
        count=max(1, said.get("count", 1)),
        reasoned="reason_id" in said,
        purpose=said.get("purpose", ""),
        rule=said.get("rule", ""),
    )


def _proves(entry: Looked) -> bool:
    """Whether somebody tried to prove who they are: at sign-in, or once more within a session (step-up)."""
    return entry.action == "sign_in" or (entry.action == "verify" and entry.object in _FACTORS)


def shows_in_clear(action: str, subject: str, *, reasoned: bool) -> bool:
    """Whether such a look shows numbers or names."""
    return reasoned and action in LOOKS and subject in NAMING


def longest(kinds: Mapping[str, Kind]) -> timedelta:
    """How far back an entry can still count."""
    return timedelta(minutes=max(kind.limits.get("within_min", 0) for kind in kinds.values()))


class AccessRules:
    """Remembers what was within the windows, for as many subjects as `Windows` holds."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self._openings = _windows(kinds["bulk-listening"])
        self._refusals = _windows(kinds["unlock-guessing"])
        self._passwords = _windows(kinds["sign-in-guessing"])
        self._factors = _windows(kinds["second-factor-guessing"])
        self._shown = _windows(kinds["bulk-numbers"])

    def feed(self, entry: Looked, *, took_part: bool = False) -> list[Raised]:
        """`took_part`: in the recorded call that is opened."""
        found = []
        if entry.opens:
            if count := self._openings.add(entry.person_id, entry.at):
                found.append(Raised("bulk-listening", entry.person_id, count))
            if took_part:
                found.append(Raised("own-call-listening", entry.person_id))
        elif entry.object in _SEALED and entry.action in _UNLOCKS and entry.outcome in _REFUSED:
            if count := self._refusals.add(entry.person_id, entry.at):
                found.append(Raised("unlock-guessing", entry.person_id, count))
        elif _proves(entry) and entry.outcome in _REFUSED and entry.person_id:
            found += self._guessed(entry)
        elif (entry.action, entry.object, entry.outcome) == ("restore", "invitation", "done"):
            found.append(Raised("sign-in-reset", entry.person_id))
        elif shows_in_clear(entry.action, entry.object, reasoned=entry.reasoned):
            if entry.outcome == "denied":
                if not entry.purpose:  # else a right was missing, and no limit was reached
                    found.append(Raised("numbers-refused", entry.actor_id))
            elif count := self._shown.add(entry.actor_id, entry.at, entry.count):
                found.append(Raised("bulk-numbers", entry.actor_id, count))
        elif (entry.action, entry.object, entry.outcome) == ("grant", "right", "done"):
            found.append(Raised("right-given", entry.person_id))
        return found

    def _guessed(self, entry: Looked) -> list[Raised]:
        """A wrong password, or a wrong second factor after the right one."""
        is_password = entry.object == "session"
        count = (self._passwords if is_password else self._factors).add(entry.person_id, entry.at)
        kind = "sign-in-guessing" if is_password else "second-factor-guessing"
        return [Raised(kind, entry.person_id, count)] if count else []


def _windows(kind: Kind) -> Windows:
    return Windows(kind.limits["count"], timedelta(minutes=kind.limits["within_min"]))
