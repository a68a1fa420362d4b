"""What a carrier is to the rest: it takes one part at a time and says what became of it, and hands over what comes in.

Two promises hold everything up:

- `submit` returns `NotSent` only where nothing can have left, `Refused` only where the other side has said no, and
  `Unknown` wherever somebody may have it. `Unknown` is never sent again by a program.
- `Receiver.received` and `Receiver.receipt` return once what was brought is committed. A carrier acknowledges to its
  network after that and not before; where they raise, it says "temporarily not" to its network, or nothing at all.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sms.addresses import Address


class Coding(enum.StrEnum):
    """GSM 03.38: the default alphabet with its extension, or UCS-2 (with surrogate pairs, as every network does)."""

    GSM7 = "gsm7"
    UCS2 = "ucs2"


@dataclass(frozen=True, slots=True)
class OutboundPart:
    """One segment. `reference`: 0 to 65535, the same in all parts of a text. `part_id`: opaque, ours.

    `text`: what stands in this part; it fits. `validity_s`: how long the network may keep trying; None: as it likes.
    """

    part_id: str
    sender: Address
    recipient: Address
    text: str = field(repr=False)
    coding: Coding
    number: int = 1
    total: int = 1
    reference: int = 0
    wants_receipt: bool = True
    validity_s: int | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The network has it. `message_id`: as the network writes it; empty where it gives none."""

    message_id: str


class Because(enum.StrEnum):
    """Why a part was refused or did not leave."""

    ADDRESS = "address"  # no such recipient, or not from here
    SENDER = "sender"
    CONTENT = "content"
    CREDIT = "credit"
    TEMPORARY = "temporary"
    OTHER = "other"
    DOWN = "down"  # no link
    CLASS = "class"  # this carrier does not carry messages of that class


@dataclass(frozen=True, slots=True)
class Refused:
    """The network said no. `permanent`: by any way of this kind it would say no again. `code`: in its own words."""

    because: Because
    permanent: bool
    code: str = ""


@dataclass(frozen=True, slots=True)
class Throttled:
    """Too fast: nothing was taken, and nothing is to be offered before `after_s` have passed."""

    after_s: float


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of it can have reached the network: it may go by another carrier."""

    because: Because = Because.DOWN


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have been taken: the link broke, or no answer came in time. `why`: for the history."""

    why: str


Submitted = Accepted | Refused | Throttled | NotSent | Unknown


@dataclass(frozen=True, slots=True)
class InboundPart:
    """What came from a telephone (MO). `text` None: it is no text, and `raw` has what came.

    `delivery`: what tells a second delivery of the same part from a second text of the same words: a link's own name
    and its sequence number, or the file it was in. Equal: the same delivery.
    """

    sender: Address
    recipient: Address
    text: str | None = field(repr=False)
    delivery: str
    link: str  # the session over which it came: a repetition comes over another one
    coding: Coding | None = None
    raw: bytes = field(default=b"", repr=False)
    number: int = 1
    total: int = 1
    reference: int | None = None
    sent_at: datetime | None = None  # by the network's clock


class Delivery(enum.StrEnum):
    """What a receipt says (SMPP 3.4 §5.2.28, appendix B)."""

    DELIVERED = "delivered"
    EXPIRED = "expired"
    UNDELIVERABLE = "undeliverable"
    REJECTED = "rejected"
    DELETED = "deleted"
    UNKNOWN = "unknown"
    ON_ITS_WAY = "on its way"  # ENROUTE, ACCEPTED: not the end


@dataclass(frozen=True, slots=True)
class Receipt:
    """`message_ids`: every reading of the network's id (hexadecimal, decimal), the likeliest first."""

    message_ids: tuple[str, ...]
    delivery: Delivery
    error: str = ""
    done_at: datetime | None = None
    recipient: Address | None = None


class Health(enum.StrEnum):
    UP = "up"
    CONNECTING = "connecting"  # never been up, or lost
    REFUSED = "refused"  # signed in wrongly: a person has to look
    OFF = "off"


@dataclass(frozen=True, slots=True)
class State:
    """What a carrier says of itself, for people. `why`: without numbers and without secrets."""

    health: Health
    since: datetime
    why: str = ""
    in_flight: int = 0


class Receiver(Protocol):
    """Whoever commits what comes in. Both are idempotent."""

    async def received(self, carrier: str, part: InboundPart) -> None:
        """Committed when it returns. Raises what the database raises: then it was not."""

    async def receipt(self, carrier: str, receipt: Receipt) -> None:
        """Committed when it returns."""


class Carrier(Protocol):
    """One way out. `run` lives for as long as the daemon does, and reconnects by itself."""

    @property
    def name(self) -> str: ...

    @property
    def window(self) -> int:
        """How many parts it takes at a time before `submit` waits."""

    def state(self) -> State: ...

    async def run(self) -> None:
        """Connect, keep up, reconnect; until cancelled. Says goodbye then."""

    async def submit(self, part: OutboundPart) -> Submitted:
        """One part; returns what became of it. Never raises for what the network does. Cancelled: as `Unknown`."""
