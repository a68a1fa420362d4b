"""Who may know of what happens: the same as may look at it (`server.services.belonging`, inboxes by membership)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from server.happenings.hub import Happening
from server.operation_rules import RULES
from server.rights import Identity, Reach
from server.services.actor import Actor
from server.services.belonging import theirs
from server.services.context import Services
from storage import accounts, inboxes, lines, readers
from storage.tx import Tx

CALLS, TEXTS = RULES["calls.live"].right, RULES["sms.list"].right


@dataclass(frozen=True, slots=True)
class Sight:
    """What one person sees, as it was when it was read. `every`: all calls; names are of those that they may see."""

    every: bool = False
    accounts: Mapping[str, str] = field(default_factory=dict)  # id -> name
    lines: Mapping[str, str] = field(default_factory=dict)
    reads: Mapping[str, str] = field(default_factory=dict)  # inboxes: what comes in
    sent: Mapping[str, str] = field(default_factory=dict)  # inboxes: what goes out

    def sees(self, one: Happening) -> bool:
        if one.kind.startswith("call."):
            return self.every or not one.accounts.isdisjoint(self.accounts) or one.line_id in self.lines
        return one.inbox_id in (self.reads if one.kind == "text.in" else self.sent)

    def told(self, one: Happening) -> dict[str, object]:
        """What it is told as: no more than ids, states and names of ours."""
        said: dict[str, object] = {"kind": one.kind, "at": one.at.isoformat(timespec="milliseconds")}
        if one.kind.startswith("call."):
            said |= {"call": one.subject, "state": one.state, "direction": one.direction}
            said["accounts"] = sorted(self.accounts[each] for each in one.accounts if each in self.accounts)
            said["line"] = self.lines.get(one.line_id or "")
        else:
            boxes = {**self.sent, **self.reads}
            said |= {"text": one.subject, "state": one.state, "inbox": boxes.get(one.inbox_id or "")}
        return said


async def sight_of(services: Services, who: Identity) -> Sight:
    """Raises StorageError."""
    async with services.db.read() as tx:
        return await read_sight(tx, who)


async def read_sight(tx: Tx, who: Identity) -> Sight:
    """As `sight_of`, in a transaction. Raises StorageError."""
    reach = who.reach(CALLS)
    every, named, lined = False, dict[str, str](), dict[str, str]()
    if reach is Reach.ALL:
        every = True
        named = {one.id: one.name for one in await accounts.list_all(tx)}
        lined = {one.id: one.name for one in await lines.list_all(tx)}
    elif reach is not None:
        within = who.own if reach is Reach.OWN else who.own | who.team
        own = await theirs(tx, Actor(who.person_id, "", within=within))
        assert own is not None  # within is given
        named = {one.id: one.name for one in own.accounts}
        lined = {one.id: one.name for one in own.lines}
    reads, sent = await _boxes(tx, who) if who.may(TEXTS) else ({}, {})
    return Sight(every, named, lined, reads, sent)


async def _boxes(tx: Tx, who: Identity) -> tuple[dict[str, str], dict[str, str]]:
    """Inboxes that they read, and those of which they see what was sent."""
    every = {box.id: box for box in await inboxes.list_all(tx)}
    held = await readers.purposes(tx, who.person_id)
    reads = {box.id: box.name for box in every.values() if box.purpose in held}
    own = await inboxes.members(tx, person_id=who.person_id)
    return reads, {one.inbox_id: every[one.inbox_id].name for one in own if one.sees_sent}
