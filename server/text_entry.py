"""Texts that employees hand in by ways other than a command: from their phones, and by mail. And what providers bring.

Each is a text of the person's own inbox, under the same rules as one that is typed. Its id is derived from what the
peer calls it, so that the same one, handed in again after whatever went wrong, is the same row.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from server.company import site_numbering
from server.failure import Failure
from server.services.context import Services
from server.services.inbox_rights import sender_of
from server.services.texts import conversation_with, recipient_of, respect
from server.text_writer import draft, new_text
from sms import addresses
from sms.addresses import Address
from sms.words import one_time_codes
from storage import inboxes, ledger, mail_orders, sms_received, sms_sent
from storage.accounts import Account
from storage.errors import Duplicate
from storage.inboxes import Inbox
from storage.mail_orders import Ordered

CLASS = "conversation"


async def hand_in(
    services: Services, account: Account, to: str, words: str, key: str, *, message_class: str = CLASS,
    ordered: Ordered | None = None,
) -> str:  # fmt: skip
    """From the inbox of that account to somebody outside; committed when it returns. Its id. `ordered`: by mail, and
    whom to tell when it fails, in the language of the inbox. Raises Failure, StorageError."""
    assert services.texts is not None  # the daemon alone takes what comes this way
    recipient, now, settings = recipient_of(services, to), services.clock(), services.settings.sms
    drafted = draft(words, message_class, transliterated=settings.transliterate, max_parts=settings.max_parts)
    box = await _box(services, account)
    writer, text_id = services.texts.writer, derived_id(key)
    kek = await writer.ready(box, now)
    secret = one_time_codes.holds(words)
    try:
        async with services.db.transaction() as tx:
            sender = await sender_of(tx, box, message_class, None)
            await respect(tx, recipient, message_class)
            conversation_id = await conversation_with(tx, box, sender, recipient, message_class, now)
            text = new_text(
                drafted, inbox=box, sender=sender, recipient=addresses.as_text(recipient), author_id=account.id,
                now=now, conversation_id=conversation_id, one_time=secret,
            )  # fmt: skip
            text = replace(text, id=text_id)
            if secret:
                services.texts.outbox.remember(text.id, text.texts)
            await sms_sent.add_all(tx, [await writer.sealed(tx, kek, text, now)], now)
            if ordered is not None:
                language = "fr" if box.language.startswith("fr") else "en"
                await mail_orders.add(tx, text.id, replace(ordered, language=language), now)
            actor_id = account.person_id or "system"
            entry = {"actor_id": actor_id, "action": "send", "object": "text", "text_id": text.id}
            await ledger.append(tx, "access", {**entry, "inbox_id": box.id, "account_id": account.id}, now)
    except Duplicate:  # handed in before
        return text_id
    except BaseException:
        writer.forget()
        raise
    services.texts.outbox.wake()
    return text_id


async def may_go(services: Services, account: Account, to: str) -> None:
    """Whether a text of theirs may go there, before it is known what it says. Raises Failure, StorageError."""
    recipient = recipient_of(services, to)
    async with services.db.read() as tx:
        box = await _box(services, account)
        await sender_of(tx, box, CLASS, None)
        await respect(tx, recipient, CLASS)


async def wait_for(services: Services, account: Account, sender: str, words: str, key: str) -> bool:
    """A colleague's text for somebody whose phones are not there; whether it waits now. Raises StorageError."""
    hours = services.settings.sms.phone_copy_h
    if not hours:
        return False
    said = json.dumps({"from": sender, "text": words}, ensure_ascii=False)
    now = services.clock()
    waiting_id, until = derived_id(f"{key}\0{account.id}"), now + timedelta(hours=hours)
    with suppress(Duplicate):  # handed in before
        async with services.db.transaction() as tx:
            await sms_received.wait(tx, account.id, said, now, until, waiting_id=waiting_id)
    return True


def address_from(services: Services, text: str) -> Address:
    """Who wrote, as a provider writes it: a number, a short code or a name."""
    if text.startswith("+") and text[1:].isdigit():
        return addresses.Number(text)
    if text.isdigit():
        return addresses.ShortCode(text, site_numbering(services.settings).country)
    return addresses.SenderName(text[:11])


def derived_id(key: str) -> str:
    """32 hexadecimal digits; nothing can be read out of it."""
    return hashlib.blake2b(key.encode(), digest_size=16, person=b"beffroi-text").hexdigest()


async def _box(services: Services, account: Account) -> Inbox:
    async with services.db.read() as tx:
        box = await inboxes.of_account(tx, account.id)
    if box is None:
        remedy = f"Type: beffroi inbox add NAME --account {account.name}"
        raise Failure("this account has no inbox for texts", remedy, "denied")
    return box
