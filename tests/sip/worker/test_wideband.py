"""Conversations at 16 kHz: G.722 where it is offered, 8 kHz beside it, captured and prompted as they should be."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from sip.worker import protocol as p
from tests.peers import tones
from tests.peers.g722 import RATE_HZ
from tests.peers.ports import Ports
from tests.sip.worker.conftest import A_HZ, B_HZ, PROMPT_HZ, Bench, Capture
from tests.sip.worker.phones import G722, Dialog, EdgeSide
from tests.sip.worker.rig import Rig, config, running, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

HIGH_HZ = 6000  # there is no such tone at 8 kHz


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """Like the other, with wideband workers waiting."""
    ports, edge, directory = Ports(200), await EdgeSide.open(), tmp_path_factory.mktemp("wideband")
    settings = config(directory, ports, warm=0, workers=6, edge_port=edge.address[1])
    async with running(replace(settings, warm_wideband=1)) as pool:
        yield Bench(pool, edge, directory, settings.rtp_port_first)
    edge.close()
    ports.close()


@pytest_asyncio.fixture(loop_scope="module")
async def wide(bench: Bench) -> AsyncIterator[Rig]:
    rig = Rig(await bench.pool.acquire(wideband=True), bench.edge)
    yield rig
    assert rig.none_of(p.WorkerGone)
    bench.edge.forget()
    bench.pool._discard(rig.worker)


def both_codecs(dialog: Dialog) -> str:
    return dialog.sdp().replace(" 8 101", " 9 8 101").replace("a=rtpmap:8", "a=rtpmap:9 G722/8000\r\na=rtpmap:8", 1)


def only_g722(dialog: Dialog) -> str:
    return dialog.sdp().replace(" 8 101", " 9 101").replace("a=rtpmap:8 PCMA", "a=rtpmap:9 G722")


async def wideband_caller(rig: Rig) -> Dialog:
    a = await rig.caller(sdp=both_codecs)
    a.rtp.kind = G722
    return a


async def wideband_callee(rig: Rig) -> Dialog:
    rig.dial()
    b = await rig.edge.called()
    assert b.invite is not None
    b.rtp.kind = G722
    b._reply(b.invite, 200, "OK", body=only_g722(b))
    b._hear(b.invite)
    await b.request("ACK")
    await rig.told(p.LegMedia, leg="b0", active=True)
    return b


async def hears(dialog: Dialog, hz: int) -> None:
    rate = RATE_HZ if dialog.rtp.kind == G722 else 8000
    await until(lambda: (tones.labels(dialog.rtp.samples(), (hz,), rate=rate) == hz).sum() >= 3, 10)


def offered(dialog: Dialog) -> list[bytes]:
    assert dialog.invite is not None
    found = re.search(rb"m=audio \d+ RTP/AVP ([\d ]+)", dialog.invite.body)
    assert found
    return found[1].split()


async def test_g722_is_offered_first_by_wideband_workers_and_never_by_others(wide: Rig, bench: Bench) -> None:
    wide.dial()
    assert offered(await wide.edge.called())[:3] == [b"9", b"8", b"0"]
    narrow = Rig(await bench.pool.acquire(), bench.edge)
    assert narrow.worker.clock_hz == 8000
    narrow.dial()
    assert offered(await narrow.edge.called())[:2] == [b"8", b"0"]
    a = await narrow.caller(sdp=both_codecs)
    assert (await narrow.told(p.LegMedia, leg="a")).codec == "PCMA"
    await a.hang_up()
    bench.pool._discard(narrow.worker)


async def test_a_wideband_conversation_stays_wideband_from_end_to_end(wide: Rig, capture: Capture) -> None:
    a, b = await wideband_caller(wide), await wideband_callee(wide)
    assert (await wide.told(p.LegMedia, leg="a")).codec == "G722"
    assert (await wide.told(p.LegMedia, leg="b0")).codec == "G722"
    wide.send(p.Bridge("a", "b0"))
    wide.worker.send(p.Capture("a", "b0"), capture.fds)
    await wide.event(p.Captured)
    a.rtp.say(tones.tone(HIGH_HZ, 0.5, rate=RATE_HZ))
    await hears(b, HIGH_HZ)
    b.rtp.say(tones.tone(B_HZ, 0.5, rate=RATE_HZ))
    await hears(a, B_HZ)
    wide.send(p.StopCapture())
    await wide.event(p.CaptureStopped)
    left, rate = tones.read_wav(Path(f"/proc/self/fd/{capture.fds[0]}"))
    right, _ = tones.read_wav(Path(f"/proc/self/fd/{capture.fds[1]}"))
    assert rate == wide.worker.clock_hz == RATE_HZ
    found = [tones.tones_in(side[:, 0], (HIGH_HZ, B_HZ), rate=rate) for side in (left, right)]
    assert found == [{HIGH_HZ}, {B_HZ}]
    assert abs(len(left) - len(right)) <= 0.04 * rate


async def test_narrow_and_wide_talk_to_each_other(wide: Rig) -> None:
    a = await wideband_caller(wide)
    b = await wide.callee()
    assert (await wide.told(p.LegMedia, leg="b0")).codec == "PCMA"
    wide.send(p.Bridge("a", "b0"))
    a.rtp.say(tones.tone(A_HZ, 0.5, rate=RATE_HZ))
    b.rtp.say(tones.tone(B_HZ, 0.5))
    await hears(b, A_HZ)
    await hears(a, B_HZ)


async def test_prompts_signals_and_music_have_the_right_pitch(wide: Rig, bench: Bench) -> None:
    """Prompts are kept at 8 kHz."""
    a = await wideband_caller(wide)
    a.rtp.heard.clear()
    wide.send(p.Play("a", 1, bench.prompt(0.5)))
    assert (await wide.event(p.PlayEnded)).heard
    await hears(a, PROMPT_HZ)
    a.rtp.heard.clear()
    wide.send(p.Music("a", True, bench.prompt(0.5)))
    await hears(a, PROMPT_HZ)
    wide.send(p.Music("a", False))
    await asyncio.sleep(0.2)
    a.rtp.heard.clear()
    wide.send(p.Ringback("a", True))
    await hears(a, 440)


async def test_digits_and_hold_in_a_wideband_conversation(wide: Rig) -> None:
    a, b = await wideband_caller(wide), await wideband_callee(wide)
    wide.send(p.Bridge("a", "b0"))
    a.rtp.press("6")
    assert (await wide.event(p.Digit)).digit == "6"
    wide_sdp = both_codecs(a)
    await a.reinvite(sdp=wide_sdp.replace("sendrecv", "sendonly"))
    await wide.event(p.LegMedia, leg="a", held=True)
    await a.reinvite(sdp=wide_sdp)
    assert (await wide.event(p.LegMedia, leg="a", held=False)).codec == "G722"
    a.rtp.say(tones.tone(HIGH_HZ, 0.5, rate=RATE_HZ))
    await hears(b, HIGH_HZ)


@pytest.mark.full
async def test_what_each_rate_costs(bench: Bench) -> None:
    """CPU of one bridged and captured conversation, in per cent of a core. Printed, with a wide limit."""
    costs: dict[str, float] = {}
    for name, wideband in (("8 kHz", False), ("16 kHz", True)):
        rig = Rig(await bench.pool.acquire(wideband=wideband), bench.edge)
        if wideband:
            await wideband_caller(rig)
            await wideband_callee(rig)
        else:
            await rig.caller()
            await rig.callee()
        rig.send(p.Bridge("a", "b0"))
        fds = os.memfd_create("a"), os.memfd_create("b")
        rig.worker.send(p.Capture("a", "b0"), fds)
        await asyncio.sleep(2)
        before = cpu_s(rig.worker.pid)
        await asyncio.sleep(15)
        costs[name] = 100 * (cpu_s(rig.worker.pid) - before) / 15
        await rig.leaves()
        for fd in fds:
            os.close(fd)
    print(costs)
    assert all(cost < 5 for cost in costs.values()), costs


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
