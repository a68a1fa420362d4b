"""A modem that answers AT commands over a pty, and the real libgammu: everything that may happen in between."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from sms.addresses import Number, SenderName, ShortCode
from sms.carriers.carrier import (
    Accepted,
    Because,
    Coding,
    Delivery,
    Health,
    InboundPart,
    NotSent,
    OutboundPart,
    Receipt,
    Refused,
    Submitted,
    Throttled,
    Unknown,
)
from sms.carriers.modem import Modem, ModemSettings
from tests.peers import pdu
from tests.peers.modem_emulator import ModemEmulator, plugged

AT = datetime(2026, 11, 28, 12, 0, 1, tzinfo=timezone(timedelta(hours=1)))
ALICE = Number("+33612345678")


@dataclass
class House:
    """Whoever commits. `down`: it cannot."""

    down: bool = False
    parts: list[InboundPart] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    refused: int = 0
    before_commit: Callable[[], None] = lambda: None
    after_commit: Callable[[], None] = lambda: None

    async def received(self, carrier: str, part: InboundPart) -> None:
        self.before_commit()
        if self.down:
            self.refused += 1
            raise RuntimeError("the database is down")
        self.parts.append(part)
        self.after_commit()

    async def receipt(self, carrier: str, receipt: Receipt) -> None:
        self.receipts.append(receipt)


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[ModemEmulator]:
    with plugged(ModemEmulator(tmp_path / "ttyModem")) as modem:
        yield modem


@pytest.fixture
def settings(tmp_path: Path) -> ModemSettings:
    return ModemSettings(
        "stick", Number("+33700000000"), str(tmp_path / "ttyModem"), tmp_path / "run",
        poll_s=1, pause_s=0, retry_s=0.05, answer_s=60,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def running(settings: ModemSettings, house: House) -> AsyncIterator[Modem]:
    modem = Modem(settings, house)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(modem.run())
        try:
            yield modem
        finally:
            task.cancel()


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(90):
        while not true():  # noqa: ASYNC110  (what is waited for is in another process)
            await asyncio.sleep(0.02)


async def up(modem: Modem) -> None:
    await until(lambda: modem.state().health is Health.UP and modem._link is not None)


def part(text: str = "Bonjour", coding: Coding = Coding.GSM7, **others: object) -> OutboundPart:
    return replace(OutboundPart("p1", Number("+33700000000"), ALICE, text, coding), **others)  # type: ignore[arg-type]


def process_of(modem: Modem) -> int:
    assert modem._link is not None
    assert modem._link.pid is not None
    return modem._link.pid


@pytest.mark.promise("P21")
async def test_what_is_sent_is_what_the_network_gets(emulator: ModemEmulator, settings: ModemSettings) -> None:
    async with running(settings, House()) as modem:
        await up(modem)
        assert await modem.submit(part("Déjà vu [10 €]")) == Accepted("1")
        long = [
            part("première moitié", number=1, total=2, reference=0x1207, wants_receipt=False),
            part("à bientôt 😀", Coding.UCS2, number=2, total=2, reference=0x1207, validity_s=3600),
        ]
        assert [await modem.submit(one) for one in long] == [Accepted("2"), Accepted("3")]
        assert await modem.submit(part(recipient=ShortCode("36105", "FR"))) == Accepted("4")
        refused = await modem.submit(part(recipient=SenderName("Shop")))
    assert refused == Refused(Because.ADDRESS, permanent=True, code="no telephone")
    sent = [pdu.Submit.of(one) for one in emulator.submitted]
    assert sent[0] == pdu.Submit(ALICE.e164, "Déjà vu [10 €]", False, b"", True, 255)
    assert sent[1] == pdu.Submit(ALICE.e164, "première moitié", False, bytes([5, 0, 3, 7, 2, 1]), False, 255)
    assert sent[2] == pdu.Submit(ALICE.e164, "à bientôt 😀", True, bytes([5, 0, 3, 7, 2, 2]), True, 11)
    assert sent[3].number == "36105"


@pytest.mark.promise("P21")
async def test_what_comes_in_is_told_and_then_deleted(emulator: ModemEmulator, settings: ModemSettings) -> None:
    house = House()
    async with running(settings, house) as modem:
        await up(modem)
        emulator.receive(pdu.deliver(ALICE.e164, "10 € [ok]", AT))
        emulator.receive(pdu.deliver("36105", "STOP", AT))
        emulator.receive(pdu.deliver("Banque", "votre code", AT))
        emulator.receive(pdu.deliver(ALICE.e164, "да 😀", AT, ucs2=True, udh=bytes([5, 0, 3, 33, 3, 2])))
        emulator.receive(pdu.deliver(ALICE.e164, "wide", AT, udh=bytes([6, 8, 4, 0x12, 0x34, 2, 1])))
        emulator.receive(pdu.deliver(ALICE.e164, "", AT, binary=b"\1\2\3"))
        await until(lambda: not emulator.stored)
    first, code, name, long, wide, binary = house.parts
    assert (first.sender, first.text, first.coding, first.sent_at) == (ALICE, "10 € [ok]", Coding.GSM7, AT)
    assert first.recipient == Number("+33700000000")
    assert (code.sender, code.text) == (ShortCode("36105", "FR"), "STOP")
    assert name.sender == SenderName("Banque")
    assert (long.text, long.coding, long.reference, long.number, long.total) == ("да 😀", Coding.UCS2, 33, 2, 3)
    assert (wide.reference, wide.number, wide.total) == (0x1234, 1, 2)
    assert (binary.text, binary.raw) == (None, b"\1\2\3")
    assert len({one.delivery for one in house.parts}) == 6
    assert sorted(emulator.deleted) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("direct", [False, True])
async def test_status_reports_are_receipts(emulator: ModemEmulator, settings: ModemSettings, direct: bool) -> None:
    emulator.direct_reports = direct
    house = House()
    async with running(settings, house) as modem:
        await up(modem)
        for status in (0x00, 0x46):
            accepted = await modem.submit(part())
            assert isinstance(accepted, Accepted)
            emulator.report(pdu.status_report(int(accepted.message_id), ALICE.e164, AT, status))
            await until(lambda wanted=status: len(house.receipts) == (1 if wanted == 0 else 2))
    assert [one.delivery for one in house.receipts] == [Delivery.DELIVERED, Delivery.EXPIRED]
    assert [one.message_ids for one in house.receipts] == [("1",), ("2",)]
    assert {one.recipient for one in house.receipts} == {ALICE}
    assert house.parts == []


async def test_what_the_house_cannot_take_in_stays_on_the_sim(emulator: ModemEmulator, settings: ModemSettings) -> None:
    house = House(down=True)
    emulator.receive(pdu.deliver(ALICE.e164, "one", AT))
    emulator.receive(pdu.deliver(ALICE.e164, "two", AT))
    async with running(settings, house) as modem:
        await until(lambda: house.refused >= 2)
        assert len(emulator.stored) == 2
        assert await modem.submit(part()) == Accepted("1")  # sending goes on
        house.down = False
        await until(lambda: not emulator.stored)
    assert [one.text for one in house.parts] == ["one", "two"]


async def test_a_slot_that_cannot_be_read_keeps_nothing_else_back(
    emulator: ModemEmulator, settings: ModemSettings
) -> None:
    house = House()
    for garbage in ("07913306091093F004", "FFFFFFFF", pdu.deliver(ALICE.e164, "x" * 160, AT)[:-20]):
        emulator.receive(garbage)
    emulator.receive(pdu.deliver(ALICE.e164, "behind it", AT))
    async with running(settings, house) as modem:
        await up(modem)
        await until(lambda: any(one.text == "behind it" for one in house.parts))
        await until(lambda: 4 in emulator.deleted)
        assert await modem.submit(part()) == Accepted("1")


async def test_what_the_network_answers(emulator: ModemEmulator, settings: ModemSettings) -> None:
    expected: dict[int | None, Submitted] = {
        1: Refused(Because.ADDRESS, permanent=True, code="CMS 1"),
        38: NotSent(),
        500: Unknown("+CMS ERROR: 500"),
        None: Unknown("the modem gave no reason (ERR_UNKNOWN)"),
        42: Throttled(10.0),
    }
    emulator.cms_errors = list(expected)
    async with running(settings, House()) as modem:
        await up(modem)
        for outcome in expected.values():
            assert await modem.submit(part("CMS Error 331\nError 331")) == outcome
    assert emulator.submitted == []


async def test_a_modem_that_never_asks_for_the_text_has_not_got_it(
    emulator: ModemEmulator, settings: ModemSettings
) -> None:
    emulator.silent = "prompt"
    async with running(replace(settings, answer_s=2), House()) as modem:
        await up(modem)
        assert await modem.submit(part()) == NotSent()
        emulator.silent = ""
        await up(modem)
        assert await modem.submit(part("again")) == Accepted("1")
    assert [pdu.Submit.of(one).text for one in emulator.submitted] == ["again"]


async def test_a_modem_that_takes_the_text_and_says_nothing_leaves_it_unknown(
    emulator: ModemEmulator, settings: ModemSettings
) -> None:
    emulator.silent = "sent"
    async with running(replace(settings, answer_s=4), House()) as modem:
        await up(modem)
        assert isinstance(await modem.submit(part()), Unknown)
    assert len(emulator.submitted) == 1


async def test_unplugged_and_back(emulator: ModemEmulator, settings: ModemSettings) -> None:
    house = House()
    async with running(settings, house) as modem:
        await up(modem)
        emulator.unplug()
        assert await modem.submit(part()) == NotSent()
        await until(lambda: modem.state().health is Health.CONNECTING)
        assert await modem.submit(part()) == NotSent()
        emulator.receive(pdu.deliver(ALICE.e164, "meanwhile", AT))
        emulator.plug()
        await up(modem)
        assert await modem.submit(part("after")) == Accepted("1")
        await until(lambda: not emulator.stored)
    assert [one.text for one in house.parts] == ["meanwhile"]
    assert [pdu.Submit.of(one).text for one in emulator.submitted] == ["after"]


@pytest.mark.promise("P21")
@pytest.mark.parametrize("when", ["asked", "has it"])
async def test_killed_while_sending_it_is_not_sent_or_unknown_and_never_sent_again(
    emulator: ModemEmulator, settings: ModemSettings, when: str
) -> None:
    async with running(settings, House()) as modem:
        await up(modem)
        pid = process_of(modem)

        def kill(_command: object, _reference: int = 0) -> None:
            if when == "has it" or str(_command).startswith("AT+CMGS"):
                emulator.on_command = emulator.on_submit = lambda *_: None
                os.kill(pid, signal.SIGKILL)

        if when == "asked":
            emulator.on_command = kill
        else:
            emulator.on_submit = kill
        outcome = await modem.submit(part("once"))
        await up(modem)
        assert process_of(modem) != pid
        assert await modem.submit(part("next")) == Accepted("1" if when == "asked" else "2")
    sent = [pdu.Submit.of(one).text for one in emulator.submitted]
    if when == "asked":
        assert outcome == NotSent()
        assert sent == ["next"]
    else:
        assert isinstance(outcome, Unknown)
        assert sent == ["once", "next"]


@pytest.mark.parametrize("when", ["before the commit", "after the commit", "while deleting"])
async def test_killed_while_a_text_comes_in_nothing_is_lost(
    emulator: ModemEmulator, settings: ModemSettings, when: str
) -> None:
    house = House()
    async with running(settings, house) as modem:
        await up(modem)
        pid = process_of(modem)

        def kill(command: str = "") -> None:
            if when == "while deleting" and not command.startswith("AT+CMGD"):
                return
            house.before_commit = house.after_commit = lambda: None
            emulator.on_command = lambda _command: None
            os.kill(pid, signal.SIGKILL)

        match when:
            case "before the commit":
                house.before_commit = kill
            case "after the commit":
                house.after_commit = kill
            case _:
                emulator.on_command = kill
        emulator.receive(pdu.deliver(ALICE.e164, "kept", AT))
        await until(lambda: modem._link is not None and modem._link.pid not in (None, pid))
        await until(lambda: not emulator.stored)
    assert {one.text for one in house.parts} == {"kept"}
    assert len({one.delivery for one in house.parts}) == 1  # a second one is known as the same
    assert len(house.parts) == (1 if when == "while deleting" else 2)


async def test_a_full_sim_is_said(emulator: ModemEmulator, settings: ModemSettings) -> None:
    house = House(down=True)
    for _ in range(emulator.capacity):
        emulator.receive(pdu.deliver(ALICE.e164, "x", AT))
    assert emulator.receive(pdu.deliver(ALICE.e164, "no room", AT)) is None
    async with running(settings, house) as modem:
        await until(lambda: "full" in modem.state().why)
        assert modem.state().health is Health.UP
        assert "Emu Mobile" in modem.state().why
        assert "60 %" in modem.state().why


async def test_the_pin_is_typed_where_the_sim_asks_for_it(tmp_path: Path, settings: ModemSettings) -> None:
    with plugged(ModemEmulator(tmp_path / "ttyModem", pin="1234")) as emulator:
        async with running(replace(settings, pin="1234"), House()) as modem:
            await up(modem)
            line = await asyncio.to_thread(Path(f"/proc/{process_of(modem)}/cmdline").read_bytes)
            assert b"1234" not in line
            assert await modem.submit(part()) == Accepted("1")
        assert emulator.pins_tried == ["1234"]
    assert list((tmp_path / "run").iterdir()) == []


async def test_a_wrong_pin_is_typed_once_whatever_is_started_again(tmp_path: Path, settings: ModemSettings) -> None:
    with plugged(ModemEmulator(tmp_path / "ttyModem", pin="1234")) as emulator:
        wrong = replace(settings, pin="9999")
        for _ in range(2):  # the daemon is started again, as an admin does who sees that it does not work
            async with running(wrong, House()) as modem:
                await until(lambda: modem.state().health is Health.REFUSED)
                await until(lambda at=modem._lives: modem._lives > at + 1)
                assert await modem.submit(part()) == NotSent()
                assert "PIN" in modem.state().why
                assert "9999" not in modem.state().why
        assert emulator.pins_tried == ["9999"]
        assert b"9999" not in next((tmp_path / "run").iterdir()).read_bytes()
        async with running(replace(settings, pin="1234"), House()) as modem:
            await up(modem)
        assert emulator.pins_tried == ["9999", "1234"]


async def test_a_pin_is_wanted_and_none_is_configured(tmp_path: Path, settings: ModemSettings) -> None:
    with plugged(ModemEmulator(tmp_path / "ttyModem", pin="1234")) as emulator:
        async with running(settings, House()) as modem:
            await until(lambda: modem.state().health is Health.REFUSED)
            assert "none is configured" in modem.state().why
        assert emulator.pins_tried == []
