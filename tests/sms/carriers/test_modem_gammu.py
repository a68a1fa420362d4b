"""Programs that are not ours at the other end: Debian's gammu-smsd and gammu, and libgammu's dummy of a telephone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sms.addresses import Number
from sms.carriers.carrier import Accepted, Coding, Health, InboundPart
from sms.carriers.modem import ModemSettings
from tests.peers import pdu
from tests.peers.gammu_smsd import one_cell, telephone
from tests.peers.modem_emulator import ModemEmulator, plugged
from tests.sms.carriers.test_modem import AT, House, part, running, until, up

_OURS, _THEIRS = Number("+33700000000"), Number("+33612345678")
_LONG = "Été à l'œuvre, « déjà » — 😀 " * 6


def _settings(directory: Path) -> ModemSettings:
    return ModemSettings(
        "stick", _OURS, str(directory / "ttyModem"), directory / "run", poll_s=1, pause_s=0, retry_s=0.05
    )


def _joined(parts: list[InboundPart]) -> str:
    return "".join(one.text or "" for one in sorted(parts, key=lambda one: one.number))


@pytest.mark.promise("P21")
async def test_both_ways_with_gammu_smsd_long_and_unicode(tmp_path: Path) -> None:
    house = House()
    ours, theirs = ModemEmulator(tmp_path / "ttyModem"), ModemEmulator(tmp_path / "ttyOther")
    one_cell((ours, _OURS.e164), (theirs, _THEIRS.e164))
    with plugged(ours), plugged(theirs), telephone(tmp_path / "smsd", theirs) as other:
        async with running(_settings(tmp_path), house) as modem:
            await up(modem)
            halves = [_LONG[:60], _LONG[60:120]]
            for number, text in enumerate(halves, start=1):
                long = part(text, Coding.UCS2, number=number, total=2, reference=77)
                assert await modem.submit(long) == Accepted(str(number))
            await until(lambda: other.received() == "".join(halves))
            await asyncio.to_thread(other.send, _OURS.e164, _LONG)
            await until(lambda: house.parts and len(house.parts) == house.parts[0].total)
    assert _joined(house.parts) == _LONG
    assert {one.sender for one in house.parts} == {_THEIRS}
    assert {one.coding for one in house.parts} == {Coding.UCS2}
    assert ours.stored == {}


@pytest.mark.promise("P21")
async def test_the_dummy_driver_both_ways(tmp_path: Path) -> None:
    dummy, house = tmp_path / "dummy", House()
    for folder in range(1, 6):
        (dummy / "sms" / str(folder)).mkdir(parents=True)
    (tmp_path / "rc").write_text(f"[gammu]\nmodel = dummy\nconnection = none\ndevice = {dummy}\n")

    def put(text: str, *options: str) -> None:
        command = ["gammu", "-c", tmp_path / "rc", "savesms", "TEXT", "-folder", "1", "-unread"]
        said = ["-sender", _THEIRS.e164, *options, "-text", text]
        subprocess.run(command + said, check=True, capture_output=True, timeout=30)

    await asyncio.to_thread(put, "Bonjour")
    await asyncio.to_thread(put, _LONG, "-unicode", "-len", str(len(_LONG)))
    settings = replace(_settings(tmp_path), device=str(dummy), connection="none", model="dummy")
    async with running(settings, house) as modem:
        await up(modem)
        assert await modem.submit(part()) == Accepted("255")
        await until(lambda: not any((dummy / "sms" / "1").iterdir()))
    short, *long = house.parts
    assert (short.sender, short.text) == (_THEIRS, "Bonjour")
    assert _joined(long) == _LONG
    assert len(long) == long[0].total == 3


_DAEMON = """
import asyncio, sys
from pathlib import Path
from sms.addresses import Number
from sms.carriers.modem import Modem, ModemSettings

class House:
    async def received(self, carrier, part):
        print(modem._link.pid, flush=True)
        await asyncio.sleep(3600)

    async def receipt(self, carrier, receipt): ...

modem = Modem(ModemSettings("stick", Number("+33700000000"), sys.argv[1], Path(sys.argv[2])), House())
asyncio.run(modem.run())
"""


async def test_killed_ourselves_in_a_commit_the_modem_is_let_go_and_the_text_is_there(tmp_path: Path) -> None:
    with plugged(ModemEmulator(tmp_path / "ttyModem")) as emulator:
        emulator.receive(pdu.deliver(_THEIRS.e164, "not lost", AT))
        daemon = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _DAEMON, str(emulator.path), str(tmp_path / "run"), stdout=asyncio.subprocess.PIPE
        )
        assert daemon.stdout is not None
        pid = int(await daemon.stdout.readline())
        os.kill(daemon.pid, signal.SIGKILL)
        await daemon.wait()
        await until(lambda: _gone(pid))
        assert len(emulator.stored) == 1
        house = House()
        async with running(_settings(tmp_path), house) as modem:
            await until(lambda: not emulator.stored)
            assert modem.state().health is Health.UP
    assert [one.text for one in house.parts] == ["not lost"]
    assert list((tmp_path / "run").iterdir()) == []  # and nothing was written anywhere


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
