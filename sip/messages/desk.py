"""What a text is to whoever takes it: who wrote it, proven; to whom, as typed; what. And what they answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from sip.edge.protocol import Reply
from storage.accounts import Account
from storage.devices import Device


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
    """A text that a provider brings. `sender` is what the provider vouches for, as it writes it."""

    trunk: str  # id
    sender: str = field(repr=False)  # user part of P-Asserted-Identity, else of From, unescaped
    to: str = field(repr=False)
    to_header: str = field(repr=False)  # user part of To: some providers put the number called there
    body: str = field(repr=False)
    call_id: str
    cseq: int
    peer: str = field(repr=False)

    @property
    def key(self) -> str:
        return f"{self.trunk}:{self.cseq}:{self.call_id}"


Text = TextFromPhone | TextFromTrunk

# Once the text is committed, and not before: from then on it is ours (RFC 3428 section 7).
ACCEPTED = Reply(202, "Accepted")
LATER = Reply(503, "Try Again Later")  # with Retry-After, which the edge adds


class TextDesk(Protocol):
    """Whoever takes texts."""

    async def on_text(self, text: Text) -> Reply:
        """202 once it is committed, else a status and a plain reason for the sender. Idempotent by `text.key`. Whatever
        it raises becomes a 503: the sender may try again."""
