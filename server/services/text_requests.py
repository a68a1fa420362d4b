"""Of somebody who asks to be forgotten: their texts, and what has to end before these can go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from config import packs as pack_data
from retention.contact_case import SUPPRESSION_PACK, kept_until
from retention.gate import Item
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from storage import holds, suppressions, texts_of_number
from storage.texts_of_number import OfNumber
from storage.tx import Tx

AND_LISTED = "erase_plus_suppression_entry"
KINDS = frozenset({"text_sent", "text_received", "conversation", "campaign_recipient"})
BEING_SENT = "it is just being handed to a carrier"
UNREAD = "it may say that they want no more, and nobody has read it yet: beffroi inbox decide"
SEALED_LIST = "its campaign is not over; nothing more of it goes there"
QUEUED = "it waits to be sent: that is cancelled first"
OPEN_REQUEST = "nobody has closed it yet: beffroi inbox done"
LISTED = "an entry on the list of objections stays"
TO_LIST = "an entry on the list of objections is made"
# What a second person has approved is one sealed list: a line less, and the campaign would stop.
_LIST_IN_USE = frozenset({"importing", "approved", "running", "paused"})


@dataclass(frozen=True, slots=True)
class TextThing:
    """`word`: what its pack says of Art. 17. `waits`: why it cannot go now. `hint`: what else is to be said of it."""

    item: Item
    word: str
    waits: str = ""
    hint: str = ""


async def stop(tx: Tx, services: Services, number: str) -> None:
    """Nothing more is sent there. What waits is cancelled and loses its words, but for what a legal hold lies on."""
    await texts_of_number.stop_campaigns(tx, number)
    sent = [one.id for one in await texts_of_number.find(tx, number) if one.kind == "text_sent"]
    held = frozenset(await holds.on(tx, "text_sent", sent))
    await texts_of_number.stop_sending(tx, sent, held, services.clock())


async def enter(tx: Tx, services: Services, actor: Actor, number: str) -> None:
    """On the list of objections, where it does not stand for texts yet."""
    if await _listed(tx, services, number):
        return
    now, pack = services.clock(), pack_data.load()[SUPPRESSION_PACK]
    made = await suppressions.add(
        tx, number, now, channel="sms", reason="objection", source="cli", since=now, until=None, purpose=pack.purpose,
        legal_basis=pack.legal_basis, kept_until=kept_until(SUPPRESSION_PACK, now),
    )  # fmt: skip
    await note(services, tx, actor, "add", "suppression", suppression_id=made.id)


def wants_entry(items: Sequence[Item]) -> bool:
    """Whether one of these is kept by a pack that says so of Art. 17."""
    packs = pack_data.load()
    return any(one.kind in KINDS and packs[one.pack.partition("@")[0]].art17 == AND_LISTED for one in items)


async def things(tx: Tx, services: Services, number: str) -> list[TextThing]:
    """Sent and received, conversations, places on lists, what was asked for by law."""
    packs = pack_data.load()
    entry = LISTED if await _listed(tx, services, number) else TO_LIST
    found = []
    for one in await texts_of_number.find(tx, number):
        pack = packs[one.pack]
        item = Item(one.id, one.kind, f"{pack.id}@{pack.version}", one.at, one.expires_at)
        hints = [_hint(one), entry if pack.art17 == AND_LISTED else ""]
        found.append(TextThing(item, pack.art17, _waits(one), "; ".join(hint for hint in hints if hint)))
    return found


def _waits(one: OfNumber) -> str:
    match one.kind:
        case "text_sent" if one.state == "sending":
            return BEING_SENT
        case "text_received" if one.state == "held" and one.stop == "ambiguous":
            return UNREAD
        case "campaign_recipient" if one.state in _LIST_IN_USE:
            return SEALED_LIST
    return ""


def _hint(one: OfNumber) -> str:
    if one.kind == "text_sent" and one.state in ("queued", "held"):
        return QUEUED
    return OPEN_REQUEST if one.kind == "text_request" and one.state == "open" else ""


async def _listed(tx: Tx, services: Services, number: str) -> bool:
    now = services.clock()
    known = await suppressions.of_number(tx, number, "sms")
    return any(one.until is None or one.until > now for one in known)
