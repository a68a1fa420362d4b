"""From the bytes of a mail to an order, or to the sentence that says why not. Pure.

The recipients are those of the envelope, so that a blind copy stays one. The Subject is not read: it shows up in too
many places to hold anything that counts.
"""

from __future__ import annotations

import email.errors
import email.parser
import email.policy
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.message import Message
from email.utils import getaddresses

from sms.mail.answers import Ignored, Order, Rejection
from sms.mail.body import Unreadable, words

RECEIVED_MAX = 25  # more stations than that: it goes round in a ring (RFC 5321 section 6.3)
NULL_SENDERS = frozenset({"", "<>"})
_MESSAGE_ID = re.compile(r"[\x21-\x7e]{3,250}")
_LISTS = ("List-Id", "List-Post", "List-Unsubscribe", "List-Help", "Mailing-List")
_PRECEDENCE = ("bulk", "junk", "list", "auto_reply")
_ANSWERING = ("X-Autoreply", "X-Autorespond", "X-Auto-Response-From", "X-Loop")


@dataclass(frozen=True, slots=True)
class HandedIn:
    """The envelope (RFC 5321). `automatic`: a program's login, whose mails may say that nobody typed them."""

    sender_id: str
    mail_from: str = field(repr=False)
    recipients: Sequence[str] = field(repr=False)
    automatic: bool = False
    relayed: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a text may be. `count`: how many segments a text takes."""

    max_segments: int
    count: Callable[[str], int]

    def __post_init__(self) -> None:
        if not 1 <= self.max_segments <= 255:
            raise ValueError("a text has 1 to 255 segments (GSM 03.40 section 9.2.3.24.1)")


def read(content: bytes, envelope: HandedIn, bounds: Bounds) -> Order | Rejection | Ignored:
    """What was handed in."""
    if bare_ends(content):
        return Rejection(554, "5.6.0", "lines end with CR LF together (RFC 5321 section 2.3.8)")
    try:
        message = email.parser.BytesParser(policy=email.policy.compat32).parsebytes(content)
        return _read(message, envelope, bounds)
    except Unreadable as unreadable:
        return unreadable.because
    except (email.errors.MessageError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        # What Python's parser raises for headers that nobody would write.
        return Rejection(554, "5.6.0", "it cannot be read: send plain text")


def bare_ends(content: bytes) -> bool:
    """Whether a CR or a LF stands alone: where two servers disagree on it, one mail becomes two."""
    whole = content.count(b"\r\n")
    return content.count(b"\r") != whole or content.count(b"\n") != whole


def _read(message: Message, envelope: HandedIn, bounds: Bounds) -> Order | Rejection | Ignored:
    machine = by_a_machine(message, envelope)
    if machine:
        # Who hands in their own mail hears of it. A relay would write to the sender, which is an answer to a machine.
        refusal = Rejection(550, "5.7.1", f"{machine}: a text is ordered by a person, or by a login made for a program")
        return Ignored(machine) if envelope.relayed else refusal
    if len(message.get_all("Received", [])) > RECEIVED_MAX:
        return Rejection(554, "5.4.6", "it goes round in a ring")
    ids = [str(one).strip() for one in message.get_all("Message-ID", [])]
    if len(ids) != 1 or not _MESSAGE_ID.fullmatch(ids[0]):
        return Rejection(554, "5.6.0", "it needs one Message-ID: by that it is not sent twice")
    said_from = _said_from(message)
    if said_from is None:
        return Rejection(554, "5.6.0", "it has more than one sender: name one in From")
    text = words(message)
    segments = bounds.count(text)
    if segments > bounds.max_segments:
        return Rejection(
            552, "5.3.4", f"{segments} segments, and {bounds.max_segments} may be sent: shorten it, the signature too"
        )
    once = tuple(dict.fromkeys(envelope.recipients))
    return Order(envelope.sender_id, envelope.mail_from, said_from, once, text, ids[0], segments)


def by_a_machine(message: Message, envelope: HandedIn) -> str:
    """Why nobody typed it (RFC 3834 section 2, RFC 2919, RFC 2369), or ""."""
    if envelope.mail_from in NULL_SENDERS:
        return "a mail without a sender"
    automatic = re.split(r"[;(\s]", str(message.get("Auto-Submitted", "no")).strip().lower())[0]
    if automatic == "auto-generated" and envelope.automatic:
        automatic = "no"
    if automatic != "no":
        return "an automatic mail"
    if any(name in message for name in _LISTS) or str(message.get("Precedence", "")).strip().lower() in _PRECEDENCE:
        return "a mail of a list"
    if any(name in message for name in _ANSWERING) or str(message.get("Return-Path", "x")).strip() == "<>":
        return "an automatic answer"
    return ""


def _said_from(message: Message) -> str | None:
    """The address in From; "" where there is none, None where there are several."""
    raw = [str(value) for name, value in message.raw_items() if name.lower() == "from"]
    lines = [value.encode("ascii", "surrogateescape").decode("utf-8", "replace") for value in raw]
    found = [address for _, address in getaddresses(lines)]
    if len(found) > 1:
        return None
    return found[0] if found else ""
