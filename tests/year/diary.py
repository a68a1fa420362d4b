"""The diary of a year: plain facts, one JSON object a line, in the order in which they happened.

What is in it, by "what" (times are RFC 3339, UTC, whole seconds):

    instance       engine, ledger_public, diagnosis_days, readers {id: [purposes]}
    account        id, name, extension
    line           id, name, pack, class: as it is from now on (also after a change of policy)
    version        kept {pack: (months, days)}: a version of the policy that is in force from now on
    call           id, line, began, ended, numbers {role: number}, pack, class: as the line was; diagnosis: bool
    recording      id, call, line, pack, began, ended, numbers, kek, tones_hz, sha256
    objection      recording
    event          recording, event, day: entered, or corrected (a contract signed, a case closed)
    ordered        recording, because, done (or: it was refused)
    request        number: somebody asks to be forgotten
    contact        id, kind, number, line, from (attempt: when it was; else until when it ran)
    withdrawal     contact
    emergency      id, account, ended
    usage          account, day
    hold, lift     id; recordings, calls, accounts, numbers that it lies on; lines with since and until (days, included)
    listening      recordings: somebody listens to them, until the next "swept"
    swept          trusted (or: the clock was not believed), whole (or: it was cut short at some step)
    mischief       recording, how (removed, truncated, swapped)
    end

It knows nothing of expiries, keys or receipts: these are what is to be checked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass
class Diary:
    path: Path

    def write(self, what: str, at: datetime, **facts: Any) -> None:
        with self.path.open("a") as file:
            json.dump({"what": what, "at": stamp(at)} | facts, file)
            file.write("\n")

    def policy_change(self, at: datetime, line: dict[str, Any] | None = None, **version: Any) -> None:
        """What a line is for, and what is kept of its calls, from now on; or what a version of the policy says."""
        self.write("line" if line else "version", at, **(line or version))


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
