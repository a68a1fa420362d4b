"""Whose a call or a recording is: what those see who may not see all (`Actor.within`).

A line's calls are theirs where all of its members are: a colleague of another team is never among them. What belongs
to nobody in particular is seen by those who see all. What is not theirs is answered as if it were not there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from server.services.actor import Actor
from sip.calls.control import LiveCall
from storage import accounts, lines, owned_recordings
from storage.accounts import Account
from storage.call_records import CallRecord
from storage.lines import Line
from storage.owned_calls import OwnedCalls, Owners
from storage.owned_recordings import Heard
from storage.recordings import Recording
from storage.tx import Tx

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Theirs:
    """Accounts, all lines that ring at one of them (`reached`), and those among these that are theirs alone
    (`lines`). `since`, `lines_since`: from when on what each account and each of these lines does is theirs, by its
    id. Used within one transaction."""

    tx: Tx
    accounts: Sequence[Account]
    reached: Sequence[Line]
    lines: Sequence[Line]
    since: Mapping[str, datetime]
    lines_since: Mapping[str, datetime]
    calls: OwnedCalls

    def live(self, call: LiveCall) -> bool:
        """Whether one of theirs takes part in a call that goes on, or it is one of their lines'."""
        return not call.accounts.isdisjoint(self.account_ids) or call.line_id in self.line_ids

    async def recordings_of(self, rows: Collection[Recording]) -> list[Recording]:
        """Those that are theirs, in the same order."""
        found = await owned_recordings.among(self.tx, self.heard, [row.id for row in rows])
        return [row for row in rows if row.id in found]

    async def calls_of(self, records: Collection[CallRecord]) -> list[CallRecord]:
        """Those that are theirs, in the same order."""
        found = await self.calls.among([record.id for record in records])
        return [record for record in records if record.id in found]

    @property
    def account_ids(self) -> frozenset[str]:
        return frozenset(one.id for one in self.accounts)

    @property
    def line_ids(self) -> frozenset[str]:
        return frozenset(one.id for one in self.lines)

    @property
    def heard(self) -> Heard:
        names = {text for one in self.accounts for text in (one.name, one.extension)}
        numbers = names | {text for one in self.reached for text in (one.name, one.number)}
        return Heard(self.since, frozenset(numbers), self.lines_since)


async def theirs(tx: Tx, actor: Actor) -> Theirs | None:
    """None: everything."""
    if actor.within is None:
        return None
    own = await accounts.named(tx, actor.within)
    ids = frozenset(one.id for one in own)
    reached = await lines.ringing_at(tx, ids)
    alone = [line for line in reached if ids.issuperset(line.members)]
    since = {one.id: _since(one, actor) for one in own}
    lines_since = {line.id: _line_since(line, own, actor) for line in alone}
    named = {text: since[one.id] for one in own for text in (one.name, one.extension)}
    calls = await OwnedCalls.of(tx, Owners(named, lines_since))
    return Theirs(tx, own, reached, alone, since, lines_since, calls)


def _since(account: Account, actor: Actor) -> datetime:
    """One's own account may have been somebody else's before; a team sees what its accounts did."""
    return account.theirs_since if account.name in actor.own else account.created_at


def _line_since(line: Line, members: Sequence[Account], actor: Actor) -> datetime:
    """From the beginning, but for what it did while one of one's own accounts was somebody else's."""
    given = [one.given_at for one in members if one.id in line.members and one.name in actor.own and one.given_at]
    return max(given, default=_BEGINNING)
