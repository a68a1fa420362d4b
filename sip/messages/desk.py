"""What a text is to whoever takes it: who wrote it, proven; to whom, as typed; what. And what they answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from sip.edge.protocol import Reply
from storage.accounts import Account
from storage.devices import Device
from storage.numbers_owned import OwnedNumber
from storage.trunks import Trunk


@dataclass(frozen=True, slots=True)
class TextFromPhone:
    """An employee's text. Who sent it is known by the device's credentials, never by From."""

    device: Device
    account: Account
    to: str = field(repr=False)  # user part of the request URI, unescaped, as it was typed
    body: str = field(repr=False)
    call_id: str  # with cseq: the same again is the same text, whatever else has changed
    cseq: int
    peer: str = field(repr=False)  # where it came from: "tls:192.0.2.7:40312"

    @property
    def key(self) -> str:
        """What tells a repetition from a second text of the same words."""
        return f"{self.device.id}:{self.cseq}:{self.call_id}"


@dataclass(frozen=True, slots=True)
class TextFromTrunk:
    """A text that a provider brings."""

    trunk: Trunk
    number: OwnedNumber  # of ours, which it is for
    sender: str = field(repr=False)  # E.164 where it is a number, else as the provider writes it: a short code, a name
    body: str = field(repr=False)
    call_id: str
    cseq: int
    peer: str = field(repr=False)

    @property
    def key(self) -> str:
        return f"{self.trunk.id}:{self.cseq}:{self.call_id}"


Text = TextFromPhone | TextFromTrunk

ACCEPTED = Reply(202, "Accepted")  # once the text is committed: from then on it is ours (RFC 3428 section 7)
DELIVERED = Reply(200, "OK")  # a phone has it
LATER = Reply(503, "Try Again Later")  # with Retry-After, which the edge adds


class TextDesk(Protocol):
    """Whoever takes texts."""

    async def on_text(self, text: Text) -> Reply:
        """202 once it is committed, else a status and a plain reason for the sender. Idempotent by `text.key`. Whatever
        it raises becomes a 503: the sender may try again."""
