"""Texts made ready for the queue: split, counted, with pack, periods and reference; kept sealed to their inbox."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from config import packs
from config.packs import Pack
from server.failure import Failure
from server.week_keys import WeekKeys
from sms import sealing
from sms.messages import CLASSES
from sms.sealing import SentKeys
from sms.text import segments
from sms.text.segments import NotTextError, Plan, TooLongError
from storage.inboxes import Inbox, Sender
from storage.keys import Kek
from storage.sms_sent import NewText
from storage.tx import Tx

VALID = timedelta(days=2)  # how long it is tried


@dataclass(frozen=True, slots=True)
class Draft:
    """A text that may be sent: what it takes, before anybody pays."""

    plan: Plan
    message_class: str
    pack: Pack


def draft(words: str, message_class: str, *, transliterated: bool, max_parts: int) -> Draft:
    """Raises Failure: too long, nothing in it, half a character, no such class."""
    if message_class not in CLASSES:
        raise Failure(f"{message_class} is no class of texts", f"Choose one of {', '.join(CLASSES)}", "invalid")
    if not words.strip():
        raise Failure("there is nothing in this text", "Write something", "invalid")
    try:
        plan = segments.plan(words, transliterated=transliterated, limit=max_parts)
    except TooLongError as error:
        raise Failure(
            f"this text takes {error.parts} parts, {error.limit} are allowed",
            "Shorten it; characters outside of the GSM alphabet more than halve what fits",
            "invalid",
        ) from None
    except NotTextError as error:
        raise Failure(f"this is no text: {error}", "Write it anew", "invalid") from None
    return Draft(plan, message_class, packs.load()[CLASSES[message_class].pack])


def new_text(
    drafted: Draft,
    *,
    inbox: Inbox,
    sender: Sender,
    recipient: str,
    author_id: str,
    now: datetime,
    due_at: datetime | None = None,
    evidence: str = "",
    conversation_id: str | None = None,
    campaign_id: str | None = None,
    one_time: bool = False,
) -> NewText:
    """Ready to be added. `recipient`: as `sms.addresses.as_text` writes it."""
    pack, due = drafted.pack, due_at or now
    assert pack.retention is not None and pack.content is not None  # checked when it was read
    return NewText(
        inbox_id=inbox.id,
        sender_id=sender.id,
        author_id=author_id,
        recipient=recipient,
        texts=drafted.plan.parts,
        coding=str(drafted.plan.coding),
        reference=secrets.randbelow(65536),
        message_class=drafted.message_class,
        purpose=pack.id,
        legal_basis=pack.legal_basis,
        due_at=due,
        valid_until=due + VALID,
        content_until=None if one_time else pack.content.after(now),
        expires_at=pack.retention.after(due),
        state="queued" if due <= now else "held",
        why="" if due <= now else "its hour has not come",
        evidence=evidence,
        conversation_id=conversation_id,
        campaign_id=campaign_id,
        one_time=one_time,
    )


class TextWriter:
    """Seals what is kept of a text. One for the daemon; a command that finds none makes its own."""

    def __init__(self, keks: WeekKeys) -> None:
        self._keks = keks
        self._keys = SentKeys()

    async def ready(self, inbox: Inbox, now: datetime) -> Kek:
        """The key of the week for what that inbox sends: before the transaction that writes. Raises StorageError."""
        return await self._keks.current(inbox.sent_purpose, now)

    async def sealed(self, tx: Tx, kek: Kek, text: NewText, now: datetime) -> NewText:
        """The text with its words sealed to whoever may see what its inbox sends; those of a one-time code nowhere."""
        if text.one_time:
            return text
        said = sealing.words("".join(text.texts))
        key_id, body = await self._keys.seal(tx, kek, now, text.id, said)
        return replace(text, key_id=key_id, body_sealed=body)

    def forget(self) -> None:
        """A transaction failed: the key that it wrote may not be there."""
        self._keys.forget()
