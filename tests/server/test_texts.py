"""Texts that are sent, as services and from the command line: from which address, what it takes, what became of it."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import fields
from datetime import UTC, timedelta
from typing import Any

import pytest

from server.commands import texts as shown_as
from server.failure import Failure
from server.services import carriers, inboxes, optouts, retention, texts
from server.services.carriers import CarrierView
from server.services.context import Services
from server.services.optouts import OptOutView
from server.services.texts import HistoryView, QuoteView, StepView, TextView
from sms.carriers.carrier import Because, Refused
from sms.messages import State
from storage import sms_sent
from tests.server.conftest import Ran
from tests.server.text_house import BECAUSE, HERS, HIS, ME, OTHER, SHOWN, Desk, furnish, in_doubt, running
from tests.sms.conftest import until

Beffroi = Callable[..., Ran]
LONG = "Bonjour, votre commande est prête. " * 6


@pytest.mark.parametrize(
    ("documented", "record"),
    [
        (shown_as.FIELDS, TextView),
        (shown_as.QUOTE_FIELDS, QuoteView),
        (shown_as.STEP_FIELDS, StepView),
        (shown_as.HISTORY_FIELDS, HistoryView),
        (shown_as.OPTOUT_FIELDS, OptOutView),
        (shown_as.CARRIER_FIELDS, CarrierView),
    ],
)
def test_records_hold_just_the_documented_fields(documented: Any, record: Any) -> None:
    assert {field.name for field in documented} == {field.name for field in fields(record)}


@pytest.fixture
async def house(services: Services) -> Services:
    await furnish(services)
    return services


@pytest.fixture
async def desk(house: Services) -> AsyncIterator[Desk]:
    async with running(house) as opened:
        yield opened


async def send(services: Services, words: str = "Bonjour", **more: Any) -> QuoteView:
    given: dict[str, Any] = {"login": "reader", "inbox": "support", "to": HIS, "words": words}
    return await texts.send(services, ME, **(given | more))


async def reaches(services: Services, text_id: str | None, wanted: str) -> None:
    assert text_id is not None
    async with asyncio.timeout(30):
        while True:
            async with services.db.read() as tx:
                if (await sms_sent.get(tx, text_id)).state == wanted:
                    return
            await asyncio.sleep(0.02)


def soon(services: Services, **by: float) -> str:
    return (services.clock() + timedelta(**by)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M+00:00")


async def test_a_dry_run_says_what_it_takes_and_sends_nothing(house: Services, desk: Desk) -> None:
    said = await send(house, LONG, dry_run=True)
    assert (said.id, said.parts, said.coding, said.sender) == (None, 4, "ucs2", SHOWN)
    assert (said.carriers, said.cost_microeuros, said.forced) == (("one",), 4 * 45_000, ("ê",))
    cheap = await send(house, LONG, dry_run=True, transliterated=True)
    assert (cheap.parts, cheap.coding) == (2, "gsm7") and cheap.changed
    assert HIS not in said.to
    assert await texts.list_(house, ME, login="reader") == [] and desk.carrier.given == []


@pytest.mark.promise("P21", "1.16")
async def test_a_text_and_its_whole_history(house: Services, desk: Desk) -> None:
    said = await send(house, LONG)
    await until(lambda: len(desk.carrier.given) == said.parts)
    assert "".join(part.text for part in sorted(desk.carrier.given, key=lambda part: part.number)) == LONG
    await reaches(house, said.id, State.SENT)
    shown = await texts.show(house, BECAUSE, login="reader", text=str(said.id)[:12])
    assert (shown.text.to, shown.text.state, shown.text.parts) == (HIS, "sent", said.parts)
    assert shown.text.author_id and shown.text.purpose == "SMS_CONVERSATION"
    steps = [(one.what, one.part) for one in shown.history]
    assert steps[0] == ("written", None)
    for number in range(1, said.parts + 1):
        assert steps.count(("handed over", number)) == 1 and steps.count(("accepted", number)) == 1
    masked = await texts.show(house, ME, login="reader", text=str(said.id))
    assert HIS not in masked.text.to


@pytest.mark.promise("1.5", "1.21")
async def test_nobody_sends_from_an_address_of_others(house: Services) -> None:
    for forged in (OTHER, "+33162999999", "Banque", HERS):
        with pytest.raises(Failure, match="that is no address of this inbox"):
            await send(house, sender=forged)
    with pytest.raises(Failure, match="no address that may send marketing texts"):
        await send(house, message_class="marketing")
    await inboxes.add_sender(house, ME, inbox="support", address="+33162000003", approved_by="nora")
    with pytest.raises(Failure, match="more than one such address"):
        await send(house)
    assert (await send(house, sender="+33162000003")).sender == "+33162000003"
    assert (await send(house, message_class="transactional")).sender == SHOWN


@pytest.mark.parametrize("to", ["112", "+33", "0", "somebody", "+3361234567812345"])
async def test_what_is_no_address_is_said_without_it(house: Services, to: str) -> None:
    with pytest.raises(Failure, match="no address of a text") as refused:
        await send(house, to=to)
    assert len(to) < 4 or to not in str(refused.value)


async def test_what_has_not_left_is_called_back(house: Services, desk: Desk) -> None:
    waits = await send(house, at=soon(house, hours=2))
    assert (await texts.cancel(house, ME, login="reader", text=str(waits.id))).state == "cancelled"
    left = await send(house)
    await until(lambda: len(desk.carrier.given) == 1)
    with pytest.raises(Failure, match="that text is"):
        await texts.cancel(house, ME, login="reader", text=str(left.id))
    with pytest.raises(Failure, match="that text is cancelled"):
        await texts.cancel(house, ME, login="reader", text=str(waits.id))
    assert len(desk.carrier.given) == 1


@pytest.mark.promise("P16")
async def test_what_people_make_of_texts_is_told_once_it_is_written(house: Services, desk: Desk) -> None:
    doubtful, waits = await in_doubt(house), await send(house, at=soon(house, hours=2))
    told: list[str] = []
    desk.messaging.outbox.changed = told.extend
    await texts.cancel(house, ME, login="reader", text=str(waits.id))
    assert told == [waits.id]
    with pytest.raises(Failure, match="that text is cancelled"):
        await texts.cancel(house, ME, login="reader", text=str(waits.id))
    await texts.settle(house, BECAUSE, login="reader", text=doubtful, became="lost")
    assert told == [waits.id, doubtful]


async def test_who_knows_what_became_of_a_text_says_how(house: Services, desk: Desk) -> None:
    lost, arrived = await in_doubt(house), await in_doubt(house)
    assert {one.id for one in await texts.list_(house, ME, login="reader", states=["unknown"])} == {lost, arrived}
    with pytest.raises(Failure, match="how is that known"):
        await texts.settle(house, ME, login="reader", text=lost, became="lost")
    said = await texts.settle(house, BECAUSE, login="reader", text=lost, became="lost")
    assert (said.state, said.why) == ("undelivered", "by a person")
    assert (await texts.settle(house, BECAUSE, login="reader", text=arrived, became="delivered")).state == "delivered"
    with pytest.raises(Failure, match="that text is delivered"):
        await texts.settle(house, BECAUSE, login="reader", text=arrived, became="lost")
    shown = await texts.show(house, ME, login="reader", text=lost)
    assert "settled" in [one.what for one in shown.history]
    assert desk.carrier.given == []  # nothing is sent again


@pytest.mark.promise("1.3", "L17")
async def test_who_wants_no_more_gets_no_more(house: Services, desk: Desk) -> None:
    await optouts.add(house, ME, number=HIS, scope="all", source="letter")
    with pytest.raises(Failure, match="asked not to be texted"):
        await send(house)
    assert (await send(house, message_class="transactional")).id is not None
    await desk.comes("STOP", HERS)
    assert not (await optouts.check(house, ME, number=HERS)).advertising
    assert (await send(house, to=HERS)).id is not None  # a person may write; advertising may not
    listed = await optouts.list_(house, ME)
    assert {one.channel for one in listed} == {"all", "sms"}
    assert HIS[1:] not in json.dumps([str(one) for one in listed])


async def test_a_code_is_sent_now_or_not_at_all(house: Services, desk: Desk) -> None:
    with pytest.raises(Failure, match="not kept until later"):
        await send(house, "x", one_time=True, at=soon(house, hours=1))
    said = await send(house, "Votre code est 482915", message_class="transactional")
    await until(lambda: len(desk.carrier.given) == 1)
    async with house.db.read() as tx:
        kept = await sms_sent.get(tx, str(said.id))
    assert kept.one_time and kept.key_id is None and kept.content_until is None
    house.texts = None
    with pytest.raises(Failure, match="by the running daemon alone"):
        await send(house, "x", one_time=True)


@pytest.mark.promise("P21")
async def test_a_carrier_is_tried_by_itself(house: Services, desk: Desk) -> None:
    said = await carriers.test(house, ME, carrier="one", login="reader", inbox="support", to=HIS)
    assert (said.state, said.carriers) == ("sent", ("one",))
    desk.carrier.answer = lambda part: Refused(Because.ADDRESS, True, "11")
    said = await carriers.test(house, ME, carrier="one", login="reader", inbox="support", to=HIS)
    assert said.state == "rejected"
    with pytest.raises(Failure, match="no carrier two"):
        await carriers.test(house, ME, carrier="two", login="reader", inbox="support", to=HIS)


async def test_what_will_go_is_counted_ahead(house: Services, desk: Desk) -> None:
    await send(house)
    await desk.comes("Bonjour")
    ahead = await retention.forecast(house, ME, days=100)
    assert sum(day.text_received for day in ahead) == 1 and sum(day.text_sent for day in ahead) == 1
    assert [one.kind for one in await retention.due(house, ME) if one.kind.startswith("text")] == []


# --- the command line ---------------------------------------------------------------------------------------------


@pytest.fixture
def typed(beffroi: Beffroi, monkeypatch: pytest.MonkeyPatch) -> Beffroi:
    """A house set up as docs/texts.md says; what is typed on standard input as `words`."""

    def run(*argv: str, words: str = "") -> Ran:
        monkeypatch.setattr("sys.stdin", io.StringIO(words))
        return beffroi(*argv)

    for argv in (
        ("person", "add", "rita", "Rita", "--roles", "employee,reader"),
        ("person", "add", "nora", "Nora", "--roles", "dpo"),
        ("inbox", "add", "support"),
        ("inbox", "member", "support", "rita", "--read", "--send", "--sent"),
        ("inbox", "sender", "add", "support", SHOWN, "--classes", "conversation,transactional", "--approved-by",
         "nora"),
    ):  # fmt: skip
        done = run(*argv)
        assert done.status == 0, done.err
    return run


def test_a_text_is_written_on_standard_input(typed: Beffroi) -> None:
    me = ("--as", "rita", "--inbox", "support")
    quote = typed("sms", "send", "06 12 34 56 78", *me, "--dry-run", "--json", words="Bonjour\n").json
    assert (quote["id"], quote["parts"], quote["units"]) == (None, 1, 7)
    empty = typed("sms", "send", "06 12 34 56 78", *me, words=" \n")
    assert empty.status == 2 and "nothing in this text" in empty.err
    sent = typed("sms", "send", HIS, *me, "--json", words="Bonjour\n").json
    assert sent["state"] == "queued"
    listed = typed("sms", "list", "--as", "rita")
    assert sent["id"][:12] in listed.out and HIS not in listed.out and "Bonjour" not in listed.out
    assert HIS in typed("sms", "list", "--as", "rita", "--reason", "a complaint").out
    shown = typed("sms", "show", sent["id"][:8], "--as", "rita")
    assert "written" in shown.out and shown.status == 0
    assert typed("sms", "cancel", sent["id"], "--as", "rita").status == 0
    assert "cancelled" in typed("sms", "list", "--as", "rita", "--states", "cancelled").out


def test_a_forged_sender_is_refused_at_the_command_line(typed: Beffroi) -> None:
    done = typed("sms", "send", HIS, "--as", "rita", "--inbox", "support", "--from", "Banque", words="x")
    assert done.status != 0 and "no address of this inbox" in done.err and HIS not in done.err
