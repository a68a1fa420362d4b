"""Whose request somebody is at: the number, with reason and case, for as long as they are at it.

In memory alone, so that no number stands in an address, a log or a history of a browser; a restart forgets it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from server.failure import Failure

KEPT = timedelta(minutes=30)
MOST = 20  # of one person


@dataclass(frozen=True, slots=True)
class SubjectCase:
    """Only who has begun it finds it again."""

    id: str
    person_id: str
    until: datetime
    number: str = field(repr=False)
    reason: str = field(repr=False)
    case: str | None = field(repr=False)


class SubjectCases:
    """Those that are under way."""

    def __init__(self) -> None:
        self._cases: dict[str, SubjectCase] = {}

    def begin(self, person_id: str, number: str, reason: str, case: str | None, now: datetime) -> SubjectCase:
        """The person's own oldest gives way where they have too many: nobody else's."""
        self._forget(now)
        theirs = [one.id for one in self._cases.values() if one.person_id == person_id]
        for case_id in theirs[: max(0, len(theirs) - MOST + 1)]:
            del self._cases[case_id]
        made = SubjectCase(secrets.token_hex(16), person_id, now + KEPT, number, reason, case)
        self._cases[made.id] = made
        return made

    def get(self, case_id: str, person_id: str, now: datetime) -> SubjectCase:
        """Raises Failure."""
        self._forget(now)
        found = self._cases.get(case_id)
        if found is None or found.person_id != person_id:
            raise Failure("that is not there any more", "Look the number up again", "not_found")
        return found

    def _forget(self, now: datetime) -> None:
        self._cases = {one.id: one for one in self._cases.values() if now < one.until}
