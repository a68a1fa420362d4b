"""The queue: what is about to leave is written down first, and nothing that may have been sent is sent again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from sms import outbound
from sms.addresses import Number
from sms.carriers.carrier import (
    Accepted,
    Because,
    Carrier,
    Delivery,
    Health,
    NotSent,
    OutboundPart,
    Receipt,
    Refused,
    Submitted,
    Throttled,
    Unknown,
)
from sms.outbound import Outbox, Stay
from sms.routing import Route
from storage import conversations, sms_sent
from storage.conversations import Event
from storage.errors import Unavailable
from storage.sms_sent import NewText, Queued
from storage.tx import Tx
from tests.sms.conftest import House, Told, until

HIS = "+33612345678"


class Permits:
    def __init__(self) -> None:
        self.stay: dict[str, Stay] = {}

    async def stays(self, tx: Tx, texts: Sequence[Queued], now: object) -> Mapping[str, Stay]:
        return {one.sent.id: self.stay[one.sent.id] for one in texts if one.sent.id in self.stay}


def outbox(house: House, *carriers: Carrier, permits: Permits | None = None, routes: Sequence[Route] = ()) -> Outbox:
    given = routes or [Route(one.name, preference=-place) for place, one in enumerate(carriers)]
    return Outbox(house.database, list(zip(carriers, given, strict=True)), permits or Permits(), house.clock)


def later(house: House, box: Outbox, seconds: float) -> None:
    house.clock.on(seconds=seconds)
    box.wake()


@asynccontextmanager
async def running(box: Outbox) -> AsyncIterator[Outbox]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(box.run())
        try:
            yield box
        finally:
            task.cancel()


@pytest.mark.promise("1.16", "P21")
async def test_a_text_goes_its_whole_way(house: House) -> None:
    carrier, text = Told(), house.text(HIS)
    box = outbox(house, carrier)
    await house.add(text)
    async with running(box):
        assert await house.reaches(text.id, "sent") == "sent"
        await box.receipt("one", Receipt(("1",), Delivery.DELIVERED))
    async with house.database.transaction() as tx:
        [part] = (await sms_sent.parts_of(tx, [text.id]))[text.id]
        assert await sms_sent.due(tx, house.clock() + timedelta(days=1), limit=9) == ()
    assert (part.state, part.carrier, part.network_id) == ("delivered", "one", "1")
    assert await house.state(text.id) == "delivered"
    assert [(one.text, one.recipient, one.sender) for one in carrier.given] == [
        ("hello", Number(HIS), Number("+33162000001"))
    ]


async def test_what_waited_of_its_words_is_gone_once_the_network_has_it(house: House) -> None:
    text = house.text(HIS, "the only place where these words stand")
    await house.add(text)
    async with running(outbox(house, Told())):
        await house.reaches(text.id, "sent")
    async with house.database.read() as tx:
        row = await tx.row(sms_sent._T.select().where(sms_sent._T.c.id == text.id))
    assert row is not None and row["queued_sealed"] is None


@pytest.mark.promise("P21")
async def test_it_goes_by_another_carrier_only_where_nothing_left(house: House) -> None:
    first, second = Told("one", answer=lambda _: NotSent()), Told("two")
    text = house.text(HIS)
    await house.add(text)
    async with running(outbox(house, first, second)):
        await house.reaches(text.id, "sent")
    assert (len(first.given), len(second.given)) == (1, 1)


@pytest.mark.parametrize(
    ("answer", "state"),
    [(Unknown("the link broke"), "unknown"), (Refused(Because.ADDRESS, True, "0x0b"), "rejected")],
)
async def test_it_is_never_sent_again_where_somebody_may_have_it_or_has_said_no(
    house: House, answer: Submitted, state: str
) -> None:
    first, second = Told("one", answer=lambda _: answer), Told("two")
    text = house.text(HIS)
    await house.add(text)
    async with running(outbox(house, first, second)) as box:
        await house.reaches(text.id, state)
        house.clock.on(minutes=10)
        box.wake()
        await asyncio.sleep(0.3)
    assert (len(first.given), second.given) == (1, [])
    async with house.database.read() as tx:
        assert [event.what for event in await conversations.events(tx, text.id)] == [
            "unknown" if state == "unknown" else "refused"
        ]


async def test_a_carrier_that_raises_may_have_sent_it(house: House) -> None:
    def fail(_part: OutboundPart) -> Submitted:
        raise RuntimeError("a mistake of its own")

    text = house.text(HIS)
    await house.add(text)
    async with running(outbox(house, Told(answer=fail))):
        assert await house.reaches(text.id, "unknown", "sent") == "unknown"


async def test_what_was_being_handed_over_when_the_process_ended_is_unknown(house: House) -> None:
    silent = asyncio.Event()
    carrier, text = Told(silent=silent), house.text(HIS)
    await house.add(text)
    async with running(outbox(house, carrier)):
        await house.reaches(text.id, "sending")
        await until(lambda: bool(carrier.given))
    after, again = Told(), outbox(house, carrier)
    assert await again.recover() == 1
    assert await house.state(text.id) == "unknown"
    async with running(outbox(house, after)) as box:
        box.wake()
        await asyncio.sleep(0.2)
    assert after.given == []


async def test_a_queue_that_is_begun_again_goes_on_and_sends_nothing_twice(house: House) -> None:
    """What was in a carrier's hands is in doubt; what had not left goes."""
    silent, permits = asyncio.Event(), Permits()
    carrier, first, second = Told(silent=silent, window=1), house.text(HIS), house.text(HIS)
    box = outbox(house, carrier, permits=permits)
    await house.add(first)
    async with running(box):
        await until(lambda: len(carrier.given) == 1)
    carrier.silent = None
    await house.add(second)
    async with running(box):
        await house.reaches(second.id, "sent")
    assert await house.state(first.id) == "unknown"
    assert len(carrier.given) == 2


async def test_a_receipt_settles_what_nobody_knew(house: House) -> None:
    text, other = house.text(HIS), house.text("+33698765432")
    await house.add(text, other)
    async with running(outbox(house, Told(answer=lambda _: Unknown("silence")))) as box:
        await house.reaches(text.id, "unknown")
        await house.reaches(other.id, "unknown")
        await box.receipt("one", Receipt(("9f",), Delivery.DELIVERED, recipient=Number(HIS)))
        assert await house.state(text.id) == "delivered"
        assert await house.state(other.id) == "unknown"


async def test_of_two_doubts_about_one_telephone_a_receipt_settles_neither(house: House) -> None:
    texts = [house.text(HIS), house.text(HIS)]
    await house.add(*texts)
    async with running(outbox(house, Told(answer=lambda _: Unknown("silence")))) as box:
        for text in texts:
            await house.reaches(text.id, "unknown")
        await box.receipt("one", Receipt(("9f",), Delivery.DELIVERED, recipient=Number(HIS)))
    assert [await house.state(text.id) for text in texts] == ["unknown", "unknown"]


async def test_a_receipt_that_overtakes_the_answer_is_not_lost(house: House) -> None:
    silent = asyncio.Event()
    text = house.text(HIS)
    await house.add(text)
    async with running(outbox(house, Told(silent=silent))) as box:
        await house.reaches(text.id, "sending")
        await box.receipt("one", Receipt(("1",), Delivery.DELIVERED))
        silent.set()
        assert await house.reaches(text.id, "sent", "delivered") == "delivered"
    async with house.database.read() as tx:
        assert await sms_sent.early_ids(tx) == frozenset()


async def test_receipts_that_come_twice_or_late_change_nothing(house: House) -> None:
    text = house.text(HIS)
    await house.add(text)
    async with running(outbox(house, Told())) as box:
        await house.reaches(text.id, "sent")
        for delivery in (Delivery.ON_ITS_WAY, Delivery.DELIVERED, Delivery.DELIVERED, Delivery.UNDELIVERABLE):
            await box.receipt("one", Receipt(("1",), delivery))
        await box.receipt("one", Receipt(("77",), Delivery.DELIVERED))  # of nothing that is known
    assert await house.state(text.id) == "delivered"


async def test_throttled_texts_wait_and_go_by_the_same_carrier(house: House) -> None:
    answers: list[Submitted] = [Throttled(0.05), Accepted("a")]
    carrier, text = Told(answer=lambda _: answers.pop(0)), house.text(HIS)
    await house.add(text)
    async with running(outbox(house, carrier)) as box:
        await until(lambda: len(carrier.given) == 2, meanwhile=lambda: later(house, box, 0.1))
        await house.reaches(text.id, "sent")
    assert len(carrier.given) == 2


@pytest.mark.promise("P21")
async def test_the_parts_of_a_long_text_go_in_order_and_what_came_of_each_is_kept(house: House) -> None:
    carrier = Told()
    text = house.text(HIS, "one ", "two ", "three")
    await house.add(text)
    async with running(outbox(house, carrier)) as box:
        await house.reaches(text.id, "sent")
        await box.receipt("one", Receipt(("1",), Delivery.DELIVERED))
        await box.receipt("one", Receipt(("2",), Delivery.DELIVERED))
        assert await house.state(text.id) == "sent"
        await box.receipt("one", Receipt(("3",), Delivery.EXPIRED))
    assert [(part.number, part.total, part.reference, part.text) for part in carrier.given] == [
        (1, 3, 7, "one "), (2, 3, 7, "two "), (3, 3, 7, "three"),
    ]  # fmt: skip
    assert await house.state(text.id) == "expired"


async def test_a_part_that_is_refused_ends_the_text_and_its_rest_is_not_sent(house: House) -> None:
    def answer(part: OutboundPart) -> Submitted:
        return Accepted("a") if part.number == 1 else Refused(Because.CONTENT, True)

    carrier, text = Told(answer=answer), house.text(HIS, "one", "two", "three")
    await house.add(text)
    async with running(outbox(house, carrier)):
        await house.reaches(text.id, "rejected")
    async with house.database.read() as tx:
        parts = (await sms_sent.parts_of(tx, [text.id]))[text.id]
    assert [part.state for part in parts] == ["sent", "rejected", "cancelled"]
    assert len(carrier.given) == 2


async def test_the_rest_of_a_text_is_sent_when_the_link_is_back_and_nothing_twice(house: House) -> None:
    answers: list[Submitted] = [Accepted("a"), NotSent(), Accepted("b"), Accepted("c")]
    carrier, text = Told(answer=lambda _: answers.pop(0)), house.text(HIS, "one", "two", "three")
    await house.add(text)
    async with running(outbox(house, carrier)) as box:
        await until(lambda: len(carrier.given) == 4, meanwhile=lambda: later(house, box, 1))
        await house.reaches(text.id, "sent")
    assert [part.number for part in carrier.given] == [1, 2, 2, 3]


@pytest.mark.promise("1.3", "1.6")
async def test_who_may_not_be_texted_is_not(house: House) -> None:
    permits, carrier = Permits(), Told()
    never, later, now = house.text(HIS), house.text(HIS), house.text(HIS)
    permits.stay = {
        never.id: Stay("they have asked for no more"),
        later.id: Stay("it is night there", house.clock() + timedelta(hours=10)),
    }
    await house.add(never, later, now)
    async with running(outbox(house, carrier, permits=permits)) as box:
        await house.reaches(now.id, "sent")
        assert (await house.state(never.id), await house.state(later.id)) == ("refused", "held")
        permits.stay.clear()
        house.clock.on(hours=10)
        box.wake()
        await house.reaches(later.id, "sent")
    assert len(carrier.given) == 2


async def test_what_nobody_takes_in_time_expires_and_one_that_no_carrier_knows_fails(house: House) -> None:
    down, text = Told(health=Health.CONNECTING), house.text(HIS)
    code = house.text("36105/FR")
    await house.add(text)
    async with running(outbox(house, down)) as box:
        await asyncio.sleep(0.1)
        assert await house.state(text.id) == "queued"
        house.clock.on(days=2)
        box.wake()
        await house.reaches(text.id, "expired")
        down.health = Health.UP
        await house.add(code)
        box.wake()
        await house.reaches(code.id, "failed", "expired")
    assert down.given == []


@pytest.mark.promise("0.1")
async def test_a_one_time_code_stands_nowhere_and_is_lost_with_the_process(house: House) -> None:
    kept, lost = house.text(HIS, "code 4711", one_time=True), house.text(HIS, "code 4712", one_time=True)
    carrier = Told()
    box = outbox(house, carrier)
    box.remember(kept.id, kept.texts)
    await house.add(kept, lost)
    async with running(box):
        await house.reaches(kept.id, "sent")
        assert await house.reaches(lost.id, "failed", "sent") == "failed"
    assert [part.text for part in carrier.given] == ["code 4711"]


async def test_by_which_carrier(house: House) -> None:
    island, cheap, any_ = Told("island"), Told("cheap"), Told("any")
    routes = [
        Route("island", prefixes=("+262",)),
        Route("cheap", cost_microeuros=30_000),
        Route("any", cost_microeuros=50_000),
    ]
    there, here = house.text("+262692123456"), house.text(HIS)
    await house.add(there, here)
    async with running(outbox(house, island, cheap, any_, routes=routes)):
        await house.reaches(there.id, "sent")
        await house.reaches(here.id, "sent")
    assert (len(island.given), len(cheap.given), len(any_.given)) == (1, 1, 0)
    async with house.database.read() as tx:
        assert (await sms_sent.get(tx, here.id)).cost_microeuros == 30_000


async def test_ten_at_a_time_and_all_of_them(house: House) -> None:
    carrier = Told(window=10)
    texts = [house.text(f"+336{n:08d}") for n in range(300)]
    await house.add(*texts)
    async with running(outbox(house, carrier)) as box:
        await until(lambda: box.counted["sent"] == 300)
    assert len({part.part_id for part in carrier.given}) == len(carrier.given) == 300


@pytest.mark.promise("P16")
async def test_what_became_of_it_is_told_once_it_may_be_read(house: House) -> None:
    """Whoever is told looks at once: what is not committed yet would be missed for good."""
    carriers = Told("one"), Told("two", answer=lambda _: Unknown("the link broke"))
    gone, doubtful = house.text(HIS), house.text(HIS)
    late = house.text(HIS, valid_until=house.clock())
    read: list[tuple[str, asyncio.Task[str]]] = []
    async with asyncio.TaskGroup() as looking:

        def look(ids: Collection[str]) -> None:
            read.extend((each, looking.create_task(house.state(each))) for each in ids)

        async def goes(carrier: Told, text: NewText, receipt: Receipt | None) -> None:
            box = outbox(house, carrier)
            box.changed = look
            await house.add(text)
            async with running(box):
                await until(lambda: text.id in {each for each, _ in read})
                if receipt is not None:
                    await box.receipt(carrier.name, receipt)

        await goes(carriers[0], gone, Receipt(("1",), Delivery.DELIVERED))
        await goes(carriers[0], late, None)
        await goes(carriers[1], doubtful, Receipt(("9",), Delivery.DELIVERED, recipient=Number(HIS)))
    told = [(each, task.result()) for each, task in read]
    assert told == [
        (gone.id, "sent"),
        (gone.id, "delivered"),
        (late.id, "expired"),
        (doubtful.id, "unknown"),
        (doubtful.id, "delivered"),
    ]


@pytest.mark.promise("P16")
async def test_what_is_rolled_back_is_not_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    text, told, real, fails = house.text(HIS), list[str](), conversations.note, [True, True]

    async def note(tx: Tx, events: Sequence[Event]) -> None:
        if fails:
            fails.pop()
            raise Unavailable("for a moment")
        await real(tx, events)

    box = outbox(house, Told(answer=lambda _: Unknown("the link broke")))
    box.changed = told.extend
    monkeypatch.setattr(outbound, "DATABASE_S", 0.05)
    monkeypatch.setattr(conversations, "note", note)
    await house.add(text)
    async with running(box):
        await house.reaches(text.id, "unknown")
        await until(lambda: bool(told))
    assert told == [text.id] and not fails
