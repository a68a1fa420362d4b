"""What becomes of a text: the states of a part and of a message, and what leads from one to the next. Pure.

    part     queued ─▶ sending ─▶ sent ─▶ delivered | undelivered | expired | rejected
                          ├─▶ rejected      the network said no
                          ├─▶ queued        nothing left: it may go by another carrier
                          └─▶ unknown       somebody may have it: never sent again by a program

`unknown` is left by a receipt, or by a person who says what became of it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sms.carriers.carrier import Delivery


class State(enum.StrEnum):
    """Of a part, and of the message that it belongs to."""

    HELD = "held"  # a message only: it waits for an hour, a person or a campaign
    QUEUED = "queued"
    SENDING = "sending"  # in a carrier's hands; what is in the database was written before the first byte left
    SENT = "sent"  # the network has it
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"  # the network has given up
    EXPIRED = "expired"  # its time was over, here or in the network
    REJECTED = "rejected"  # the network did not take it
    FAILED = "failed"  # no carrier could be had for it, or its words were lost; nothing left
    REFUSED = "refused"  # by law, by right or by its addressee; nothing left
    CANCELLED = "cancelled"  # by a person; nothing left
    UNKNOWN = "unknown"  # it may have been sent


class Happened(enum.StrEnum):
    """To a part."""

    HANDED = "handed"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_SENT = "not sent"
    LOST = "lost"  # the link, the answer, or the process
    GIVEN_UP = "given up"
    OUT_OF_TIME = "out of time"
    FORBIDDEN = "forbidden"
    CANCELLED = "cancelled"
    DELIVERED = "delivered"
    UNDELIVERABLE = "undeliverable"
    NETWORK_EXPIRED = "network expired"
    NETWORK_REJECTED = "network rejected"
    ON_ITS_WAY = "on its way"


_RECEIPTS = {
    Happened.DELIVERED: State.DELIVERED,
    Happened.UNDELIVERABLE: State.UNDELIVERED,
    Happened.NETWORK_EXPIRED: State.EXPIRED,
    Happened.NETWORK_REJECTED: State.REJECTED,
    Happened.ON_ITS_WAY: State.SENT,
}
# A receipt may overtake the answer to what it is about.
TRANSITIONS: Mapping[State, Mapping[Happened, State]] = MappingProxyType(
    {
        State.QUEUED: {
            Happened.HANDED: State.SENDING,
            Happened.GIVEN_UP: State.FAILED,
            Happened.OUT_OF_TIME: State.EXPIRED,
            Happened.FORBIDDEN: State.REFUSED,
            Happened.CANCELLED: State.CANCELLED,
        },
        State.SENDING: {
            Happened.ACCEPTED: State.SENT,
            Happened.REFUSED: State.REJECTED,
            Happened.NOT_SENT: State.QUEUED,
            Happened.LOST: State.UNKNOWN,
            **_RECEIPTS,
        },
        State.SENT: dict(_RECEIPTS),
        # The answer may come after all: to a node that was thought dead, or after a receipt.
        State.UNKNOWN: {Happened.ACCEPTED: State.SENT, Happened.REFUSED: State.REJECTED, **_RECEIPTS},
        # The network's last word counts: some say "expired" and deliver all the same.
        State.EXPIRED: {Happened.DELIVERED: State.DELIVERED},
        State.UNDELIVERED: {Happened.DELIVERED: State.DELIVERED},
    }
)
OPEN = frozenset({State.HELD, State.QUEUED, State.SENDING, State.SENT, State.UNKNOWN})
NEVER_LEFT = frozenset({State.FAILED, State.REFUSED, State.CANCELLED})
_HAPPENED = {
    Delivery.DELIVERED: Happened.DELIVERED,
    Delivery.EXPIRED: Happened.NETWORK_EXPIRED,
    Delivery.UNDELIVERABLE: Happened.UNDELIVERABLE,
    Delivery.DELETED: Happened.UNDELIVERABLE,
    Delivery.REJECTED: Happened.NETWORK_REJECTED,
    Delivery.UNKNOWN: Happened.ON_ITS_WAY,  # the network does not know either: nothing is known better than before
    Delivery.ON_ITS_WAY: Happened.ON_ITS_WAY,
}
# The worst of its parts is what became of a message.
_WORST = (
    State.SENDING,
    State.UNKNOWN,
    State.REJECTED,
    State.UNDELIVERED,
    State.EXPIRED,
    State.REFUSED,
    State.FAILED,
    State.CANCELLED,
    State.QUEUED,
    State.SENT,
)


def after(state: State, happened: Happened) -> State | None:
    """The next state of a part; None where it changes nothing: a receipt that repeats or contradicts the last word."""
    return TRANSITIONS.get(state, {}).get(happened)


def told(delivery: Delivery) -> Happened:
    """What a receipt says has happened."""
    return _HAPPENED[delivery]


def of_parts(parts: Iterable[State]) -> State:
    """What became of the message. Raises ValueError for one without parts."""
    there = set(parts)
    if not there:
        raise ValueError("a message has at least one part")
    return next((state for state in _WORST if state in there), State.DELIVERED)


@dataclass(frozen=True, slots=True)
class Class:
    """What a kind of message may and must."""

    pack: str
    needs_permission: bool  # consent, hours, ceilings
    stop_mention: bool
    mobile_numbers: bool  # may be sent from 06/07 (Arcep 2018-0881: never to many)


CLASSES: Mapping[str, Class] = MappingProxyType(
    {
        "transactional": Class("SMS_TRANSACTIONAL", False, False, False),
        "marketing": Class("SMS_MARKETING", True, True, False),
        "conversation": Class("SMS_CONVERSATION", False, False, True),
        "internal": Class("SMS_INTERNAL", False, False, True),
    }
)
