"""Whose a call or a recording is: what those see who may not see all (`Actor.within`).

A line's calls are theirs where all of its members are: a colleague of another team is never among them. What belongs
to nobody in particular is seen by those who see all. What is not theirs is answered as if it were not there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Theirs:
    """Accounts, all lines that ring at one of them (`reached`), and those among these that are theirs alone
    (`lines`). Used within one transaction."""

    tx: Tx
    accounts: Sequence[Account]
    reached: Sequence[Line]
    lines: Sequence[Line]
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
        return Heard(self.account_ids, frozenset(numbers), self.line_ids)


async def theirs(tx: Tx, actor: Actor) -> Theirs | None:
    """None: everything."""
    if actor.within is None:
        return None
    own = await accounts.named(tx, actor.within)
    ids = frozenset(one.id for one in own)
    reached = await lines.ringing_at(tx, ids)
    alone = [line for line in reached if ids.issuperset(line.members)]
    since = {text: one.created_at for one in own for text in (one.name, one.extension)}
    calls = await OwnedCalls.of(tx, Owners(since, frozenset(line.id for line in alone)))
    return Theirs(tx, own, reached, alone, calls)
