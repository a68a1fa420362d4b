"""Texts go on time: the words first, then the rest, and the keys when nothing is under them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from storage import conversations, expiry, holds, inboxes, keys, sms_keys, sms_received, sms_sent, spent_keys
from storage.conversations import Event
from storage.database import Database
from storage.holds import About
from storage.keys import Kek
from storage.sms_keys import SentKey
from storage.sms_received import NewReceived
from storage.sms_sent import NewText
from storage.tx import Tx

HIS = "+33612345678"
DAY = timedelta(days=1)


async def house(tx: Tx, now: datetime) -> tuple[str, str, str]:
    """Ids of an inbox, its sender and a KEK."""
    box = await inboxes.add(tx, "sales", "team", now)
    sender = await inboxes.add_sender(
        tx, box.id, "+33162000001", "number", now, classes=["conversation"], approved_by="a" * 32
    )
    kek = Kek("c" * 32, "inbox.sales", "2026-W47.1", "X", b"p", b"s", now, now + 7 * DAY)
    await keys.add_kek(tx, kek, ())
    return box.id, sender.id, kek.id


def sent(box: str, sender: str, now: datetime, **more: object) -> NewText:
    values: dict[str, object] = {
        "inbox_id": box, "sender_id": sender, "author_id": "system", "recipient": HIS, "texts": ("one", "two"),
        "coding": "gsm7", "reference": 1, "message_class": "conversation", "purpose": "SMS_CONVERSATION",
        "legal_basis": "x", "due_at": now, "valid_until": now + DAY, "content_until": now + 30 * DAY,
        "expires_at": now + 90 * DAY,
    }  # fmt: skip
    return NewText(**{**values, **more})  # type: ignore[arg-type]


async def due(tx: Tx, kind: str, at: datetime) -> list[str]:
    return [one.item_id for one in await expiry.until(tx, kind, at, limit=10)]


@pytest.mark.promise("L10", "2.5")
async def test_words_go_before_the_text_and_keys_after_them(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        await _words_first(tx, now)


async def _words_first(tx: Tx, now: datetime) -> None:
    box, sender, kek = await house(tx, now)
    key = SentKey("e" * 32, "inbox.sales.sent", kek, b"wrap", now)
    await sms_keys.add(tx, key)
    text = sent(box, sender, now, key_id=key.id, body_sealed=b"sealed")
    await sms_sent.add_all(tx, [text], now)
    await conversations.note(tx, [Event(text.id, now, "refused", 1, None, "x")])

    assert await due(tx, "text_words", now + 29 * DAY) == []
    assert await due(tx, "text_words", now + 30 * DAY) == [text.id]
    assert await due(tx, "text_key", now + 400 * DAY) == []
    await expiry.remove(tx, "text_words", [text.id])
    assert (await expiry.left(tx, "text_words", [text.id]), await sms_keys.bodies(tx, [text.id])) == ({}, ())
    assert (await sms_sent.get(tx, text.id)).state == "queued"
    assert await sms_sent.due(tx, now + DAY, limit=9) != ()

    assert await due(tx, "text_sent", now + 89 * DAY) == []
    assert await due(tx, "text_sent", now + 90 * DAY) == [text.id]
    assert dict(await expiry.left(tx, "text_sent", [text.id])) == {text.id: 4}  # the row, an event, two parts
    await expiry.remove(tx, "text_sent", [text.id])
    assert await expiry.left(tx, "text_sent", [text.id]) == {}
    assert not await spent_keys.is_spent(tx, kek, now + 400 * DAY)
    assert await due(tx, "text_key", now + 400 * DAY) == [key.id]
    await expiry.remove(tx, "text_key", [key.id])
    assert await spent_keys.is_spent(tx, kek, now + 400 * DAY)


@pytest.mark.promise("L10")
async def test_what_came_in_keeps_its_key_until_it_goes(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        await _key_stays(tx, now)


async def _key_stays(tx: Tx, now: datetime) -> None:
    box, sender, kek = await house(tx, now)
    await sms_received.add_all(
        tx,
        [NewReceived(
            id="d" * 32, inbox_id=box, carrier="one", sender=HIS, recipient="+33162000001", body_sealed=b"x",
            kek_id=kek, purpose="SMS_REPLIES", legal_basis="x", stop="none", sorting="", rule="", state="new", parts=1,
            missing=0, received_at=now, expires_at=now + 90 * DAY, sender_id=sender,
        )],
    )  # fmt: skip
    assert not await spent_keys.is_spent(tx, kek, now + 30 * DAY)
    assert await due(tx, "text_received", now + 90 * DAY) == ["d" * 32]
    await expiry.remove(tx, "text_received", ["d" * 32])
    assert await spent_keys.is_spent(tx, kek, now + 30 * DAY)


@pytest.mark.promise("3.9")
async def test_a_hold_on_a_number_keeps_its_texts(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        await _held(tx, now)


async def _held(tx: Tx, now: datetime) -> None:
    box, sender, _ = await house(tx, now)
    his, other = sent(box, sender, now), sent(box, sender, now, recipient="+33698765432")
    await sms_sent.add_all(tx, [his, other], now)
    await holds.add(
        tx, "f" * 32, "number", About("A-1", "a", "b", "c", HIS), numbers=[HIS], now=now, review_at=now + DAY
    )
    for kind in ("text_words", "text_sent"):
        assert dict(await holds.on(tx, kind, [his.id, other.id])) == {his.id: ("f" * 32,)}
