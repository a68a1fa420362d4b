"""Keys by which numbers are found: which there are, and a new one in place of the newest, while everything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from config import metadata_ages
from config import packs as pack_data
from retention.ageing import month_key_due
from server import index_keys as keys_of
from server.failure import Failure
from server.index_keys import NUMBER, KeyState
from server.reindexer import Reindexer
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from storage import contact_keys, holds, index_keys, month_keys, reindex
from storage.errors import Conflict
from storage.tx import Tx

Line = Literal["number", "suppression"]
LEGACY = "field.key"


@dataclass(frozen=True, slots=True)
class KeyView:
    """Fields: see `server.commands.keys.FIELDS`."""

    line: str
    version: str
    state: str
    created_at: datetime | None
    goes_at: datetime | None
    left: int
    places: Mapping[str, int]


async def list_(services: Services, actor: Actor) -> list[KeyView]:
    """Versions, times and counts: nobody is looked at, so no entry in the access log."""
    async with services.db.read() as tx:
        return await _views(tx)


async def rotate(services: Services, actor: Actor, *, line: Line) -> list[KeyView]:
    """What is written from now on is under a new key. What was before is found as ever: numbers go over little by
    little, and the old key goes when none is left. Raises Failure where a legal hold cannot follow."""
    now = services.clock()
    async with services.db.transaction() as tx:
        if line == NUMBER:
            await index_keys.add(tx, now)
            try:
                await holds.follow_keys(tx)
            except Conflict as error:
                remedy = "Look at it with beffroi hold show, and lay another in its place"
                raise Failure(str(error), remedy, "conflict") from None
        else:
            await contact_keys.rotate(tx, now)
        await note(services, tx, actor, "add", "key", purpose=f"index.{line}")
    if services.reindexer is not None:
        services.reindexer.asked.set()
    elif line == NUMBER:
        await Reindexer(services).move()
    async with services.db.read() as tx:
        return await _views(tx)


async def _views(tx: Tx) -> list[KeyView]:
    found = [_view(state, await keys_of.left(tx, state)) for state in await keys_of.states(tx)]
    known = [view for view in found if view.line == NUMBER]
    before = await reindex.left(tx)
    for view in (one for one in known if one.state == "replaced"):
        before = {place: count - view.places.get(place, 0) for place, count in before.items()}
    before = {place: count for place, count in before.items() if count > 0}
    if before and known:
        found.insert(0, KeyView(NUMBER, LEGACY, "replaced", None, None, sum(before.values()), before))
    ages, packs = metadata_ages.load(), pack_data.load()
    for key in await month_keys.list_all(tx):
        hashes = await month_keys.hashes(tx, key.month)
        places = {"call_month_peers": hashes} if hashes else {}
        goes_at = month_key_due(key.month, ages, packs)
        found.append(KeyView("month", key.month, "current", key.created_at, goes_at, hashes, places))
    return found


def _view(state: KeyState, left: Mapping[str, int]) -> KeyView:
    replaced = state.replaced_at is not None
    return KeyView(
        line=state.line,
        version=str(state.version),
        state="replaced" if replaced else "current",
        created_at=state.created_at,
        goes_at=None,
        left=sum(left.values()),
        places=left,
    )
