"""By which carrier a text goes, and in which inbox a reply belongs. Pure: the same facts give the same answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sms.addresses import Address, Number, SenderName, ShortCode
from sms.carriers.carrier import Health

ALL_CLASSES = frozenset({"transactional", "marketing", "conversation", "internal"})


@dataclass(frozen=True, slots=True)
class Route:
    """A carrier as the company has set it up. `prefixes`: E.164, longest counts; none: everywhere.

    `cost_microeuros`: of one part. `preference`: the higher goes first, before the cost.
    """

    carrier: str
    prefixes: tuple[str, ...] = ()
    classes: frozenset[str] = ALL_CLASSES
    senders: frozenset[str] = frozenset({"number", "short", "name"})
    short_codes: bool = False  # takes texts to short codes
    cost_microeuros: int = 0
    preference: int = 0


def kind_of(address: Address) -> str:
    """number, short or name."""
    match address:
        case Number():
            return "number"
        case ShortCode():
            return "short"
        case SenderName():
            return "name"


def carriers_for(
    routes: Sequence[Route],
    health: Mapping[str, Health],
    *,
    message_class: str,
    sender: Address,
    recipient: Address,
    only: Sequence[str] = (),
    tried: frozenset[str] = frozenset(),
) -> tuple[str, ...]:
    """Carriers that may take it, in the order in which they are asked. `only`: those that know the sender. Those that
    are down stand last: what waits for them is better than nothing, and they may be up by then."""
    fitting = [
        route
        for route in routes
        if message_class in route.classes
        and kind_of(sender) in route.senders
        and (not only or route.carrier in only)
        and route.carrier not in tried
        and _reaches(route, recipient)
    ]
    ordered = sorted(
        fitting,
        key=lambda route: (
            health.get(route.carrier, Health.OFF) is not Health.UP,
            -_length(route, recipient),
            -route.preference,
            route.cost_microeuros,
            route.carrier,
        ),
    )
    return tuple(route.carrier for route in ordered)


def _reaches(route: Route, recipient: Address) -> bool:
    match recipient:
        case Number(e164):
            return not route.prefixes or any(e164.startswith(prefix) for prefix in route.prefixes)
        case ShortCode():
            return route.short_codes
        case SenderName():
            return False


def _length(route: Route, recipient: Address) -> int:
    if not isinstance(recipient, Number):
        return 0
    return max((len(p) for p in route.prefixes if recipient.e164.startswith(p)), default=0)


# --- where a reply belongs ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Written:
    """A text that went to whoever replies now, from the address that they have replied to."""

    message_id: str
    inbox_id: str
    at: datetime
    campaign_id: str | None = None
    conversation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """`inbox_id` None: the sealed box. `rule`: why there."""

    inbox_id: str | None
    rule: str
    in_reply_to: str | None = None
    campaign_id: str | None = None
    conversation_id: str | None = None


def place_of_reply(written: Sequence[Written], owner_inbox_id: str | None) -> Place:
    """`written`: what was sent lately, in any order; `owner_inbox_id`: of the address that they have written to.

    Where two inboxes have written to the same person from the same address nobody knows which of them is meant, and
    neither may see what was perhaps for the other: it goes to the sealed box, whose readers hand it on.
    """
    if not written:
        return Place(owner_inbox_id, "own address") if owner_inbox_id else Place(None, "nobody's")
    if len({one.inbox_id for one in written}) > 1:
        return Place(None, "more than one inbox has written")
    newest = max(written, key=lambda one: (one.at, one.message_id))
    return Place(
        newest.inbox_id,
        "campaign" if newest.campaign_id else "conversation" if newest.conversation_id else "message",
        newest.message_id,
        newest.campaign_id,
        newest.conversation_id,
    )
