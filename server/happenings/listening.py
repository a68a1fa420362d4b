"""To begin to listen is to look: it is written down who does, and to which kinds."""

from __future__ import annotations

from collections.abc import Collection

from config.happenings import KINDS
from server.happenings.sight import CALLS, TEXTS, Sight, read_sight
from server.rights import Identity
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.failures import told

_OBJECTS = {"call": CALLS, "text": TEXTS}  # what a kind begins with, and the right that it takes


async def begin(services: Services, who: Identity, actor: Actor, kinds: Collection[str]) -> Sight:
    """What they see; `kinds`: empty for all. Raises Failure."""
    with told():
        async with services.db.transaction() as tx:
            sight = await read_sight(tx, who)
            for subject, right in _OBJECTS.items():
                theirs = [kind for kind in KINDS if kind.startswith(f"{subject}.")]
                heard: list[str] = [kind for kind in theirs if not kinds or kind in kinds]
                if heard and who.may(right):
                    await note(services, tx, actor, "listen", subject, person_id=who.person_id, kinds=heard)
    return sight
