"""What is answered to whoever hands in a mail: an order that is taken, or one sentence that says what to do."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Rejection:
    """`code`: of RFC 5321 (4xx: again later, 5xx: never); `status`: of RFC 3463; `words`: ASCII, one line.

    The words name neither an address nor a number nor what was written: they end in other people's logs.
    """

    code: int
    status: str
    words: str

    @property
    def permanent(self) -> bool:
        return self.code >= 500

    def line(self) -> str:
        """What goes over the wire: one line of ASCII, whatever the words are, or they would be answers of their own."""
        words = " ".join(self.words.split()).encode("ascii", "replace").decode()
        return f"{self.code} {self.status} {words}"[:500]


@dataclass(frozen=True, slots=True)
class Ignored:
    """It is taken and goes nowhere, and nobody is told (RFC 3834 section 2): a machine wrote it. `why`: for the log."""

    why: str


@dataclass(frozen=True, slots=True)
class Order:
    """One text to one or several people, as it was ordered.

    `recipients`: as written before the "@", each once. `mail_from`: the sender's mail address. `said_from`: the one of
    the header From, empty where there is none. `sender_id`: opaque, who has proven to be there.
    """

    sender_id: str
    mail_from: str = field(repr=False)
    said_from: str = field(repr=False)
    recipients: tuple[str, ...] = field(repr=False)
    text: str = field(repr=False)
    message_id: str = field(repr=False)
    segments: int = 1

    def key(self, recipient: str) -> str:
        """Equal for the same mail to the same recipient by the same sender: one that is handed in again.

        A relay may hand in one mail several times, with other recipients each time, so that the Message-ID alone says
        too little. 64 hexadecimal digits; nothing can be read out of it.
        """
        parts = (self.sender_id, self.message_id, recipient)
        framed = b"".join(len(raw).to_bytes(4, "big") + raw for raw in (part.encode() for part in parts))
        return hashlib.sha256(framed).hexdigest()
