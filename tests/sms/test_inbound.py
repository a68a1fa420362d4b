"""What comes in: committed, heeded, sealed to the one inbox that it belongs to; once, however often it is brought."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from sms import sealing
from sms.addresses import Address, Number, SenderName, ShortCode
from sms.carriers.carrier import Coding, InboundPart
from sms.inbound import Arrived, Intake, Periods
from sms.reactions import AWAY, STOP_ACK
from sms.reading import Reading
from storage import accounts, consents, conversations, inboxes, sms_received, sms_sent, suppressions
from storage.errors import StorageError
from storage.inboxes import Away, Inbox, Sender
from storage.sms_received import Received
from storage.sms_sent import NewText
from tests.sms.conftest import OTHER, SHOWN, House, OwnKeks

HIS = "+33612345678"


def read(text: str) -> Reading:
    """As it is told: the words for it are tested elsewhere."""
    match text:
        case "STOP":
            return Reading(stop="stop", rule="stop.word")
        case "STOP all":
            return Reading(stop="stop", calls_too=True)
        case "perhaps stop":
            return Reading(stop="ambiguous")
        case "my name is wrong":
            return Reading(requests=("rectification",))
        case "buy now":
            return Reading(aside="unwanted")
        case "auto":
            return Reading(machine=True)
        case "auto STOP":
            return Reading(stop="stop", machine=True)
    return Reading()


@dataclass
class Says:
    house: House

    def text(self, kind: str, language: str) -> str:
        return "done, no more texts" if kind == STOP_ACK else "we are a company"

    def prepared(
        self, words: str, *, inbox: Inbox, sender: Sender, recipient: str, author: str, now: datetime
    ) -> NewText:
        more = {"inbox_id": inbox.id, "sender_id": sender.id, "author_id": author, "message_class": "transactional"}
        return self.house.text(recipient, words, **more)


@dataclass
class Desk:
    house: House
    keks: OwnKeks
    intake: Intake
    arrived: list[Arrived] = field(default_factory=list)
    count: int = 0

    async def bring(self, text: str | None, *, sender: Address | str = HIS, recipient: str = SHOWN, link: str = "l1",
                    delivery: str = "", **more: object) -> None:  # fmt: skip
        """A text comes in; a delivery of its own unless one is named."""
        self.count += 1
        who = Number(sender) if isinstance(sender, str) else sender
        part = InboundPart(who, Number(recipient), text, delivery or f"{link}.{self.count}", link, **more)  # type: ignore[arg-type]
        await self.intake.received("one", part)

    async def received(self, inbox: Inbox | None = None) -> list[Received]:
        async with self.house.database.read() as tx:
            return list(await sms_received.list_all(tx, inbox_ids=None if inbox is None else [inbox.id]))

    async def words(self, one: Received) -> str:
        """As a reader opens it."""
        async with self.house.database.read() as tx:
            [sealed] = await sms_received.bodies(tx, [one.id])
        purpose = next(kek.purpose for kek in self.keks.made.values() if kek.id == one.kek_id)
        secret = self.keks.secrets[one.kek_id]
        return sealing.said(sealing.open_received(secret, one.id, purpose, one.kek_id, sealed.body_sealed))

    async def box_of(self, one: Received) -> str:
        async with self.house.database.read() as tx:
            return (await inboxes.get(tx, one.inbox_id)).name


@pytest.fixture
async def desk(house: House, keks: OwnKeks) -> AsyncIterator[Desk]:
    async with _running(house, keks) as desk:
        yield desk


@asynccontextmanager
async def _running(house: House, keks: OwnKeks) -> AsyncIterator[Desk]:
    arrived: list[Arrived] = []

    async def told(one: Arrived) -> None:
        arrived.append(one)

    periods = Periods(
        received=lambda at: at + timedelta(days=90),
        conversation=lambda at: at + timedelta(days=90),
        request=lambda at: at + timedelta(days=365),
        phone_copy=timedelta(hours=72),
    )
    intake = Intake(
        house.database, keks, read, Says(house), periods, house.clock, on_arrived=told, on_queued=lambda: None
    )
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(intake.run())
        try:
            yield Desk(house, keks, intake, arrived)
        finally:
            task.cancel()


async def sent(house: House, recipient: str = HIS, **more: object) -> str:
    """Something was sent there."""
    text = house.text(recipient, **more)
    await house.add(text)
    async with house.database.transaction() as tx:
        await sms_sent.left(tx, [(text.id, "sent", "", 0)], house.clock())
    house.clock.on(minutes=1)
    return text.id


async def test_a_character_that_a_sender_cut_in_two_is_whole_again(desk: Desk) -> None:
    gsm = {"coding": Coding.GSM7, "total": 2, "reference": 7}
    await desk.bring("5 ", raw=b"5 \x1b", number=1, **gsm)
    await desk.bring("e!", raw=b"e!", number=2, **gsm)
    wide = {"coding": Coding.UCS2, "total": 2, "reference": 8}
    await desk.bring("\ufffd!", raw=b"\xde\x00\x00!", number=2, **wide)
    await desk.bring("\ufffd", raw=b"\xd8\x3d", number=1, **wide)
    assert sorted([await desk.words(one) for one in await desk.received()]) == ["5 €!", "😀!"]


@pytest.mark.promise("L16", "1.9")
async def test_a_text_is_sealed_to_the_inbox_of_the_address_that_it_came_to(desk: Desk) -> None:
    await desk.bring("hello")
    await desk.bring("hi there", recipient=OTHER)
    [mine] = await desk.received(desk.house.sales)
    [theirs] = await desk.received(desk.house.care)
    assert (await desk.words(mine), await desk.words(theirs)) == ("hello", "hi there")
    assert mine.kek_id != theirs.kek_id
    assert [one.inbox_id for one in desk.arrived] == [desk.house.sales.id, desk.house.care.id]


@pytest.mark.promise("1.11", "1.22")
async def test_a_reply_goes_to_whoever_wrote(desk: Desk) -> None:
    house = desk.house
    message = await sent(house, inbox_id=house.care.id, sender_id=house.shown.id, campaign_id="c" * 32)
    await desk.bring("yes please")
    [reply] = await desk.received()
    assert (await desk.box_of(reply), reply.in_reply_to, reply.campaign_id) == ("care", message, "c" * 32)


@pytest.mark.promise("1.11")
async def test_where_two_inboxes_wrote_nobody_guesses(desk: Desk) -> None:
    house = desk.house
    await sent(house, inbox_id=house.sales.id)
    await sent(house, inbox_id=house.care.id, sender_id=house.shown.id)
    await desk.bring("yes")
    [reply] = await desk.received()
    assert (await desk.box_of(reply), reply.rule) == ("sealed", "more than one inbox has written")


@pytest.mark.promise("1.11")
async def test_what_belongs_to_nobody_goes_to_the_sealed_box(desk: Desk) -> None:
    await desk.bring("to a number that is not ours", recipient="+33199999999")
    [one] = await desk.received()
    assert await desk.box_of(one) == "sealed"
    assert await desk.words(one) == "to a number that is not ours"


async def test_after_a_month_it_is_no_reply_any_more(desk: Desk) -> None:
    await sent(desk.house, inbox_id=desk.house.care.id, sender_id=desk.house.shown.id)
    desk.house.clock.on(days=31)
    await desk.bring("late")
    [one] = await desk.received()
    assert await desk.box_of(one) == "sales"


@pytest.mark.promise("1.3", "L17")
async def test_stop_counts_before_the_next_text_and_is_confirmed_once(desk: Desk) -> None:
    house = desk.house
    waiting = house.text(HIS, message_class="marketing")
    others = house.text("+33698765432", message_class="marketing")
    service = house.text(HIS, message_class="transactional")
    await house.add(waiting, others, service)
    await desk.bring("STOP")
    await desk.bring("STOP")
    async with house.database.read() as tx:
        listed = await suppressions.of_number(tx, HIS, "sms")
        calls = await suppressions.of_number(tx, HIS, "voice")
        answers = [one for one in await sms_sent.list_all(tx) if one.author_id == STOP_ACK]
    assert [(one.channel, one.source, one.reason, one.until) for one in listed] == [("sms", "sms", "withdrawal", None)]
    assert calls == ()
    assert [await house.state(one.id) for one in (waiting, others, service)] == ["refused", "queued", "queued"]
    assert len(answers) == 1


@pytest.mark.promise("L17", "2.15")
async def test_stop_may_mean_calls_too_and_takes_consents_back(desk: Desk) -> None:
    house, now = desk.house, desk.house.clock()
    said = {
        "number": HIS, "purpose": "other", "act": "checkbox", "given_at": now, "expires_at": now + timedelta(days=90),
        "legal_basis": "GDPR 6(1)(a)", "kept_until": now + timedelta(days=900), "collector": "us", "source": "form",
    }  # fmt: skip
    async with house.database.transaction() as tx:
        for channel in ("sms", "voice"):
            await consents.add(tx, now, channel=channel, **said)
    await desk.bring("STOP all")
    async with house.database.read() as tx:
        assert {(one.channel, one.withdrawn_by) for one in await consents.of_number(tx, HIS)} == {
            ("sms", "sms"), ("voice", "sms"),
        }  # fmt: skip
        assert [one.channel for one in await suppressions.of_number(tx, HIS, "voice")] == ["*"]


async def test_doubt_is_held_for_a_person(desk: Desk) -> None:
    await desk.bring("perhaps stop")
    [one] = await desk.received()
    assert (one.state, one.stop) == ("held", "ambiguous")
    async with desk.house.database.read() as tx:
        assert await suppressions.of_number(tx, HIS, "sms") == ()


@pytest.mark.parametrize("sender", [ShortCode("36105", "FR"), SenderName("BANK")])
async def test_machines_and_short_codes_are_never_answered(desk: Desk, sender: Address) -> None:
    async with desk.house.database.transaction() as tx:
        await inboxes.set_away(tx, desk.house.sales.id, Away("away", desk.house.clock() + timedelta(days=3)))
    desk.intake.inboxes_changed()
    for text in ("STOP", "hello"):
        await desk.bring(text, sender=sender)
    await desk.bring("auto")
    async with desk.house.database.read() as tx:
        assert await sms_sent.list_all(tx) == ()
    assert len(await desk.received()) == 3


@pytest.mark.promise("1.3", "L17")
async def test_a_stop_that_looks_like_a_machines_counts_and_is_not_confirmed(desk: Desk) -> None:
    await desk.bring("auto STOP")
    async with desk.house.database.read() as tx:
        assert [one.channel for one in await suppressions.of_number(tx, HIS, "sms")] == ["sms"]
        assert await sms_sent.list_all(tx) == ()


async def test_out_of_office_answers_once_a_day(desk: Desk) -> None:
    async with desk.house.database.transaction() as tx:
        await inboxes.set_away(tx, desk.house.sales.id, Away("back on Monday", desk.house.clock() + timedelta(days=3)))
    desk.intake.inboxes_changed()
    for hours in (0, 1, 25):
        desk.house.clock.on(hours=hours)
        await desk.bring(f"hello {hours}")
    async with desk.house.database.read() as tx:
        assert [one.author_id for one in await sms_sent.list_all(tx)] == [AWAY, AWAY]


@pytest.mark.promise("1.13", "1.14")
async def test_what_asks_for_something_opens_a_request_and_the_unwanted_is_set_aside(desk: Desk) -> None:
    await desk.bring("my name is wrong")
    desk.house.clock.on(seconds=1)
    await desk.bring("buy now")
    unwanted, correction = await desk.received()
    async with desk.house.database.read() as tx:
        [request] = await sms_received.requests(tx)
    assert (request.kind, request.received_id, request.due_at - request.opened_at) == (
        "rectification", correction.id, timedelta(days=30),
    )  # fmt: skip
    assert (unwanted.state, unwanted.sorting, correction.state) == ("aside", "unwanted", "new")


async def test_the_same_delivery_is_taken_once_and_the_same_words_twice(desk: Desk) -> None:
    await desk.bring("yes", delivery="l1.900")
    await desk.bring("yes", delivery="l1.900")  # the same PDU again
    await desk.bring("yes", link="l2", delivery="l2.1")  # over the next link: the answer had been lost
    assert len(await desk.received()) == 1
    await desk.bring("yes", link="l2", delivery="l2.2")  # somebody wrote it once more
    desk.house.clock.on(hours=1)
    await desk.bring("yes", link="l3", delivery="l3.1")
    assert len(await desk.received()) == 3


@pytest.mark.promise("P21")
async def test_parts_of_a_long_text_in_any_order_become_one(desk: Desk) -> None:
    part = {"total": 3, "reference": 9, "coding": Coding.UCS2}
    for number, text in ((3, "c🌊"), (1, "a"), (3, "c🌊"), (2, "b")):
        await desk.bring(text, number=number, delivery=f"l1.{number}", **part)
    [one] = await desk.received()
    assert await desk.words(one) == "abc🌊"
    assert (one.parts, one.missing) == (3, 0)
    async with desk.house.database.read() as tx:
        assert await sms_received.unfinished(tx, desk.house.clock() + timedelta(days=9)) == {}


async def test_two_long_texts_with_one_reference_from_two_telephones_stay_apart(desk: Desk) -> None:
    for number in (1, 2):
        for who in (HIS, "+33698765432"):
            await desk.bring(f"{who[-1]}{number}", sender=who, number=number, total=2, reference=1)
    assert sorted([await desk.words(one) for one in await desk.received()]) == ["2122", "8182"]


async def test_of_a_text_whose_parts_do_not_come_what_is_there_is_kept(desk: Desk) -> None:
    await desk.bring("begin ", number=1, total=3, reference=4)
    await desk.bring(" end", number=3, total=3, reference=4)
    assert await desk.intake.give_up_waiting() == 0
    desk.house.clock.on(hours=25)
    assert await desk.intake.give_up_waiting() == 1
    [one] = await desk.received()
    assert (await desk.words(one), one.missing) == ("begin  […]  end", 1)


async def test_what_is_no_text_is_kept_as_it_came(desk: Desk) -> None:
    await desk.bring(None, raw=b"\x00\x01\x02")
    [one] = await desk.received()
    assert await desk.words(one) == "[3 bytes that are no text]"


@pytest.mark.promise("P21")
async def test_a_persons_phones_get_a_copy_that_waits(desk: Desk) -> None:
    house, now = desk.house, desk.house.clock()
    async with house.database.transaction() as tx:
        alice = await accounts.add(tx, "alice", "101", "Alice", now)
        box = await inboxes.add(tx, "alice", "person", now, account_id=alice.id)
        by = "a" * 32
        await inboxes.add_sender(tx, box.id, "+33162000003", "number", now, classes=["conversation"], approved_by=by)
    desk.intake.inboxes_changed()
    await desk.bring("are you there?", recipient="+33162000003")
    async with house.database.read() as tx:
        [copy] = await sms_received.waiting(tx, alice.id)
    assert copy.text == '{"from": "+33612345678", "text": "are you there?"}'
    assert copy.expires_at - now == timedelta(hours=72)
    assert desk.arrived[-1].account_id == alice.id


async def test_one_conversation_for_one_telephone(desk: Desk) -> None:
    await desk.bring("one")
    await desk.bring("two")
    await desk.bring("three", sender="+33698765432")
    async with desk.house.database.read() as tx:
        found = await conversations.list_all(tx, [desk.house.sales.id])
    assert len(found) == 2
    assert len({one.conversation_id for one in await desk.received()}) == 2


@pytest.mark.promise("1.3", "L17")
async def test_what_comes_at_once_is_told_apart_as_if_it_had_come_one_by_one(desk: Desk) -> None:
    house = desk.house
    waiting = house.text(HIS, message_class="marketing")
    await house.add(waiting)
    async with asyncio.TaskGroup() as tasks:
        for text, delivery in (("one", "l1.900"), ("one", "l1.900"), ("STOP", ""), ("STOP", ""), ("two", "")):
            tasks.create_task(desk.bring(text, delivery=delivery))
        for number in range(20):
            tasks.create_task(desk.bring("hi", sender=f"+3360000{number:04d}", recipient=OTHER))
        for number, text in ((2, "b"), (1, "a")):
            tasks.create_task(desk.bring(text, sender="+33698765432", number=number, total=2, reference=1))
    mine, theirs = await desk.received(house.sales), await desk.received(house.care)
    assert sorted([await desk.words(one) for one in mine]) == ["STOP", "STOP", "ab", "one", "two"]
    assert len(theirs) == 20 == len({one.conversation_id for one in theirs})
    async with house.database.read() as tx:
        assert len(await conversations.list_all(tx, [house.sales.id])) == 2
        assert [one.reason for one in await suppressions.of_number(tx, HIS, "sms")] == ["withdrawal"]
        answers = [one for one in await sms_sent.list_all(tx) if one.author_id == STOP_ACK]
    assert len(answers) == 1
    assert await house.state(waiting.id) == "refused"
    assert dict(desk.intake.counted) == {"received": 25, "repeated": 1, "stop": 2}


async def test_one_that_cannot_be_kept_costs_the_others_nothing(desk: Desk) -> None:
    house, now, unknown = desk.house, desk.house.clock(), "+33162000009"
    await desk.bring("first")
    async with house.database.transaction() as tx:  # behind its back: it has no key of that inbox
        box = await inboxes.add(tx, "night", "team", now)
        await inboxes.add_sender(tx, box.id, unknown, "number", now, classes=["conversation"], approved_by="a" * 32)
    results = await asyncio.gather(
        *(desk.bring(f"text {n}", sender=f"+3360000{n:04d}") for n in range(5)),
        desk.bring("to the night", recipient=unknown, delivery="l1.900"),
        desk.bring("STOP"),
        return_exceptions=True,
    )
    assert [type(one).__name__ for one in results] == ["NoneType"] * 5 + ["Unavailable", "NoneType"]
    assert len(await desk.received()) == 7
    async with house.database.read() as tx:
        assert [one.channel for one in await suppressions.of_number(tx, HIS, "sms")] == ["sms"]
    await desk.bring("to the night", recipient=unknown, delivery="l1.900")
    [late] = await desk.received(box)
    assert await desk.words(late) == "to the night"


async def test_of_an_account_that_has_just_gone_the_text_stays_without_a_copy(desk: Desk) -> None:
    house, now, hers = desk.house, desk.house.clock(), "+33162000003"
    async with house.database.transaction() as tx:
        alice = await accounts.add(tx, "alice", "101", "Alice", now)
        box = await inboxes.add(tx, "alice", "person", now, account_id=alice.id)
        await inboxes.add_sender(tx, box.id, hers, "number", now, classes=["conversation"], approved_by="a" * 32)
    await desk.bring("before", recipient=hers)
    async with house.database.transaction() as tx:
        for copy in await sms_received.waiting(tx, alice.id):
            await sms_received.taken(tx, copy.id)
        await inboxes.release(tx, alice.id)
        await accounts.remove(tx, alice.id)
    await asyncio.gather(desk.bring("after", recipient=hers), desk.bring("elsewhere"))
    assert sorted([await desk.words(one) for one in await desk.received()]) == ["after", "before", "elsewhere"]
    assert desk.arrived[0].account_id == alice.id
    assert [one.account_id for one in desk.arrived[1:]] == [None, None]


async def test_nothing_is_acknowledged_that_the_database_did_not_take(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr("storage.sms_received.add_all", fail)
    with pytest.raises(StorageError):
        await desk.bring("hello", delivery="l1.5")
    monkeypatch.undo()
    assert await desk.received() == []
    await desk.bring("hello", delivery="l1.5")
    assert len(await desk.received()) == 1


@pytest.mark.promise("0.1")
async def test_no_word_and_no_number_lies_in_the_database(house: House, keks: OwnKeks, url: str) -> None:
    if not url.startswith("sqlite"):
        url = ""  # its bytes lie in a cluster of many tests; what is stored is the same
    async with _running(house, keks) as desk:
        await desk.bring("a secret that nobody else may read")
        await desk.bring("one part of a secret", number=1, total=2, reference=1)
    async with house.database.read() as tx:
        rows = [
            dict(row)
            for table in ("sms_received", "sms_fragments", "sms_deliveries", "conversations")
            for row in await tx.rows(sms_received.tables.metadata.tables[table].select())
        ]
    said = repr(rows).encode()
    assert b"secret" not in said and HIS.encode() not in said and HIS[1:].encode() not in said
