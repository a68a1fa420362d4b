"""All texts of one number: found, stopped, and a place on a list taken away without the list."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from storage import campaigns, conversations, expiry, holds, sms_received, sms_sent, texts_of_number
from storage.campaigns import Recipient
from storage.database import Database
from storage.holds import About
from storage.tx import Tx
from tests.storage.test_campaigns import make
from tests.storage.test_text_expiry import DAY, HIS, house, sent

OTHER = "+33698765432"
pytestmark = pytest.mark.promise("1.12", "2.12")


async def found(tx: Tx, number: str) -> dict[str, list[tuple[str, str]]]:
    of: dict[str, list[tuple[str, str]]] = {}
    for one in await texts_of_number.find(tx, number):
        of.setdefault(one.kind, []).append((one.id, one.state))
    return of


async def test_one_place_on_a_list_goes_and_the_list_stays(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        made, other = await make(tx, now), await make(tx, now, "winter")
        listed = [Recipient(2, HIS, {"name": "Doris"}), Recipient(12, OTHER, {})]
        for one in (made, other):
            await campaigns.add_recipients(tx, one.id, listed, now)
    async with db.transaction() as tx:
        places = await found(tx, HIS)
        ids = [f"{one.id}.2" for one in (made, other)]
        assert {kind: sorted(some) for kind, some in places.items()} == {
            "campaign_recipient": sorted((one, "draft") for one in ids)
        }
        assert dict(await expiry.left(tx, "campaign_recipient", [*ids, f"{made.id}.3"])) == dict.fromkeys(ids, 1)
        await holds.add(
            tx, "f" * 32, "number", About("A-1", "a", "b", "c", HIS), numbers=[HIS], now=now, review_at=now + DAY
        )
        assert dict(await holds.on(tx, "campaign_recipient", [*ids, f"{made.id}.12"])) == {
            one: ("f" * 32,) for one in ids
        }
        assert await texts_of_number.stop_campaigns(tx, HIS) == 2
        assert [(one.line, one.state) for one in await campaigns.fates(tx, made.id)] == [
            (2, "cancelled"), (12, "waiting"),
        ]  # fmt: skip
        await expiry.remove(tx, "campaign_recipient", ids[:1])
        assert await campaigns.recipients(tx, made.id) == tuple(listed[1:])
        assert await campaigns.recipients(tx, other.id) == tuple(listed)
        assert dict(await expiry.left(tx, "campaign_recipient", ids)) == {ids[1]: 1}


async def test_what_waits_is_cancelled_and_a_hold_keeps_its_words(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        box, sender, _ = await house(tx, now)
        queued, held, gone, other = (
            sent(box, sender, now), sent(box, sender, now), sent(box, sender, now, state="sending"),
            sent(box, sender, now, recipient=OTHER),
        )  # fmt: skip
        await sms_sent.add_all(tx, [queued, held, gone, other], now)
        ids = [queued.id, held.id, gone.id]
        assert await texts_of_number.stop_sending(tx, ids, frozenset({held.id}), now + timedelta(hours=1)) == 2
        assert dict((await found(tx, HIS))["text_sent"]) == {
            queued.id: "cancelled", held.id: "cancelled", gone.id: "sending",
        }  # fmt: skip
        assert set(await expiry.left(tx, "text_words", [*ids, other.id])) == {held.id, gone.id, other.id}
        assert [one.sent.id for one in await sms_sent.due(tx, now + DAY, limit=9)] == [other.id]


async def test_what_was_asked_for_is_found_by_the_text_that_asked(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        box, sender, kek = await house(tx, now)
        talk = await conversations.open_(tx, box, sender, HIS, now, now + DAY)
        await sms_received.add_all(
            tx,
            [sms_received.NewReceived(
                id="d" * 32, inbox_id=box, carrier="one", sender=HIS, recipient="+33162000001", body_sealed=b"x",
                kek_id=kek, purpose="SMS_REPLIES", legal_basis="x", stop="none", sorting="", rule="", state="new",
                parts=1, missing=0, received_at=now, expires_at=now + 90 * DAY, sender_id=sender,
            )],
        )  # fmt: skip
        asked = await sms_received.open_request(
            tx, "erasure", "d" * 32, box, now, due_at=now + 30 * DAY, expires_at=now + 900 * DAY
        )
        assert await found(tx, HIS) == {
            "text_received": [("d" * 32, "new")], "conversation": [(talk, "")], "text_request": [(asked.id, "open")],
        }  # fmt: skip
        assert await found(tx, OTHER) == {}
