"""Somebody asks to be forgotten: their texts. What waits is not sent, what proves is kept, what goes has receipts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from server import erasables, ordered
from server.services import accounts as account_service
from server.services import number_requests as service
from storage import accounts, campaigns, conversations, inboxes, people, sms_received, sms_sent, suppressions, sweeps
from storage.campaigns import Recipient
from storage.sms_received import NewReceived
from storage.tx import Tx
from tests.server.test_orders import ME
from tests.server.test_sweeper import DAY, NOW, NUMBER, House, Killed, house
from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir
from tests.storage.test_campaigns import make
from tests.storage.test_text_expiry import house as inbox_of
from tests.storage.test_text_expiry import sent

__all__ = ["db", "field_keys", "fresh_url", "house", "ledger_key", "made_once", "postgres_dir"]
pytestmark = [pytest.mark.promise("1.12", "L3", "2.12")]
OTHER = "+33187654321"


async def asked(house: House, **said: Any) -> Any:
    return await service.erase(house.services, ME, number=NUMBER, **said)


@dataclass(frozen=True)
class There:
    """Ids."""

    queued: str
    left: str
    advertising: str
    other: str
    received: str
    doubtful: str
    request: str
    talk: str
    over: str
    running: str


def received(text_id: str, box: str, kek: str, **more: Any) -> NewReceived:
    said: dict[str, Any] = {
        "id": text_id, "inbox_id": box, "carrier": "one", "sender": NUMBER, "recipient": "+33162000001",
        "body_sealed": b"x", "kek_id": kek, "purpose": "SMS_REPLIES", "legal_basis": "x", "stop": "none", "sorting": "",
        "rule": "", "state": "new", "parts": 1, "missing": 0, "received_at": NOW - DAY, "expires_at": NOW + 90 * DAY,
    }  # fmt: skip
    return NewReceived(**{**said, **more})


async def campaign(tx: Tx, name: str, state: str) -> str:
    made = await make(tx, NOW, name)
    listed = [Recipient(2, NUMBER, {}), Recipient(3, OTHER, {})]
    await campaigns.add_recipients(tx, made.id, listed, NOW)
    await campaigns.move(tx, made.id, "draft", state, NOW)
    return made.id


async def known(house: House) -> There:
    async with house.services.db.transaction() as tx:
        box, sender, kek = await inbox_of(tx, NOW)
        to = {"recipient": NUMBER}
        queued, left, other = sent(box, sender, NOW, **to), sent(box, sender, NOW, state="sent", **to), sent(
            box, sender, NOW, recipient=OTHER
        )  # fmt: skip
        advertising = sent(
            box, sender, NOW, state="delivered", message_class="marketing", purpose="SMS_MARKETING", **to
        )
        await sms_sent.add_all(tx, [queued, left, advertising, other], NOW)
        held = received("e" * 32, box, kek, state="held", stop="ambiguous")
        await sms_received.add_all(tx, [received("d" * 32, box, kek), held])
        request = await sms_received.open_request(
            tx, "erasure", "d" * 32, box, NOW, due_at=NOW + 30 * DAY, expires_at=NOW + 900 * DAY
        )
        talk = await conversations.open_(tx, box, sender, NUMBER, NOW, NOW + 90 * DAY)
        over, running = await campaign(tx, "over", "done"), await campaign(tx, "running", "running")
    return There(
        queued.id, left.id, advertising.id, other.id, "d" * 32, "e" * 32, request.id, talk, f"{over}.2", f"{running}.2"
    )


async def test_each_text_is_decided_and_what_goes_is_what_was_foretold(house: House) -> None:
    there = await known(house)
    foretold = await asked(house, dry_run=True)
    answers = {one.id: one.answer for one in foretold.items}
    assert answers == {
        **dict.fromkeys([there.queued, there.left, there.advertising, there.received, there.talk, there.over], "erase"),
        there.doubtful: "wait", there.running: "wait", there.request: "keep",
    }  # fmt: skip
    rules = {one.id: one.rule for one in foretold.items}
    assert "cancelled first" in rules[there.queued] and "cancelled" not in rules[there.left]
    assert "objections is made" in rules[there.advertising] and "nobody has closed it" in rules[there.request]
    async with house.services.db.read() as tx:
        assert (await sms_sent.get(tx, there.queued)).state == "queued"
        assert await suppressions.of_number(tx, NUMBER) == ()

    done = await asked(house)
    assert {one.id: one.answer for one in done.items} == answers
    assert {one.id for one in done.items if one.gone} == {one for one, said in answers.items() if said == "erase"}
    assert {(one.kind, one.count) for one in done.receipts} == {
        ("text_sent", 2), ("text_sent", 1), ("text_received", 1), ("conversation", 1), ("campaign_recipient", 1),
    }  # fmt: skip
    async with house.services.db.read() as tx:
        assert [one.id for one in await sms_sent.list_all(tx)] == [there.other]
        assert [one.id for one in await sms_received.list_all(tx)] == [there.doubtful]
        over, running = (one.partition(".")[0] for one in (there.over, there.running))
        assert [(one.line, one.state) for one in await campaigns.fates(tx, over)] == [(3, "waiting")]
        fates = await campaigns.fates(tx, running)
        assert [(one.line, one.state) for one in fates] == [(2, "cancelled"), (3, "waiting")]
        (entry,) = await suppressions.of_number(tx, NUMBER, "sms")
        assert (entry.reason, entry.until) == ("objection", None)
        assert not await suppressions.of_number(tx, OTHER) and not await sweeps.under_way(tx)
    again = await asked(house)
    assert (again.erased, again.waiting) == (0, 2) and "objections stays" in again.items[-1].rule
    async with house.services.db.read() as tx:
        assert await suppressions.of_number(tx, NUMBER, "sms") == (entry,)


async def test_a_hold_keeps_its_texts_and_nothing_is_sent_all_the_same(house: House) -> None:
    there = await known(house)
    hold_id = await house.hold("number", NUMBER)
    done = await asked(house)
    assert done.erased == 0 and not done.receipts
    kept = [one for one in done.items if one.id in (there.queued, there.received, there.talk, there.over)]
    assert len(kept) == 4 and all(one.article == "17(3)(e)" and hold_id in one.rule for one in kept)
    async with house.services.db.read() as tx:
        assert (await sms_sent.get(tx, there.queued)).state == "cancelled"
        assert await suppressions.of_number(tx, NUMBER, "sms")


async def test_what_a_carrier_is_being_given_waits(house: House) -> None:
    there = await known(house)
    async with house.services.db.transaction() as tx:
        await sms_sent.hand_over(tx, {(there.queued, 1): "one"}, NOW)
    done = await asked(house)
    assert {one.answer for one in done.items if one.id == there.queued} == {"wait"}
    async with house.services.db.read() as tx:
        assert (await sms_sent.get(tx, there.queued)).state == "sending"


@pytest.mark.promise("2.5")
@pytest.mark.parametrize("step", ["begun", "after rows", "before proof"])
async def test_killed_at_any_step_it_is_finished_once(house: House, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    there = await known(house)
    whose: Any
    whose, name = {
        "begun": (ordered, "carry_out"),
        "after rows": (erasables.Rows, "remains"),
        "before proof": (ordered, "prove_all"),
    }[step]

    async def dies(*_: Any, **__: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(whose, name, dies)
        with pytest.raises(Killed):
            await asked(house)
    await ordered.resume(house.services)
    async with house.services.db.read() as tx:
        assert [one.id for one in await sms_sent.list_all(tx)] == [there.other]
        assert not await sweeps.under_way(tx)
    proven = sorted((one["object"], one["count"]) for one in await house.entries() if one["complete"])
    assert proven == [("conversation", 1), ("recipient", 1), ("text", 1), ("text", 1), ("text", 2)]
    assert not (await asked(house, dry_run=True)).erased


async def test_an_account_goes_with_its_copies_and_its_inbox_is_closed(house: House) -> None:
    async with house.services.db.transaction() as tx:
        doris = await people.add(tx, "doris", "Doris", NOW)
        his = await accounts.add(tx, "doris", "201", "Doris", NOW, person_id=doris.id)
        other = await accounts.add(tx, "emil", "202", "Emil", NOW)
        box = await inboxes.add(tx, "doris", "person", NOW, account_id=his.id)
        await sms_received.wait(tx, his.id, "for you", NOW, NOW + DAY)
        await sms_received.wait(tx, other.id, "for me", NOW, NOW + DAY)
    gone = await account_service.remove(house.services, ME, name="doris")
    assert gone.receipt
    async with house.services.db.read() as tx:
        assert await accounts.remains(tx, his.id) == 0
        assert [one.account_id for one in await sms_received.waiting(tx)] == [other.id]
        closed = await inboxes.get(tx, box.id)
        assert closed.account_id is None and closed.disabled_at is not None and closed.away is None
