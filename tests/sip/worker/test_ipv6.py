"""Audio over IPv6 (on ::1), beside IPv4 in the same conversation. SIP between edge and worker stays on 127.0.0.1."""

from __future__ import annotations

import secrets
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from sip.worker import protocol as p
from sip.worker.ipv6_media import exchanged, named
from tests.peers import tones
from tests.peers.ports import Ports
from tests.sip.worker.conftest import A_HZ, B_HZ, Bench
from tests.sip.worker.phones import Dialog, EdgeSide, Rtp
from tests.sip.worker.rig import Rig, config, running, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """Like the other, with an address for audio over IPv6."""
    ports, edge, directory = Ports(200), await EdgeSide.open(), tmp_path_factory.mktemp("ipv6")
    settings = config(directory, ports, warm=1, workers=6, edge_port=edge.address[1])
    async with running(replace(settings, media_address6="::1")) as pool:
        yield Bench(pool, edge, directory, settings.rtp_port_first)
    edge.close()
    ports.close()


def ipv6(dialog: Dialog) -> str:
    return dialog.sdp().replace("IN IP4 127.0.0.1", "IN IP6 ::1")


async def caller6(rig: Rig, leg: str = "a") -> Dialog:
    token = secrets.token_hex(16)
    a = await rig.edge.caller(rig.worker.port)
    a.rtp.close()
    a.rtp = await Rtp.open("::1")
    rig.send(p.Expect(token, leg, ipv6=True))
    a.send_invite(token, sdp=ipv6(a))
    await rig.event(p.Incoming, leg=leg)
    rig.send(p.Answer(leg, 200))
    ok = await a.established()
    assert b"c=IN IP6 ::1" in ok.body and b"IP4" not in ok.body
    a.rtp.start(("::1", a.rtp._remote[1] if a.rtp._remote else 0))
    await rig.event(p.LegMedia, leg=leg, active=True)
    return a


async def callee6(rig: Rig) -> Dialog:
    rig.send(p.Dial("b0", "200", "t", "101", "Alice", False, ipv6=True))
    b = await rig.edge.called()
    assert b.invite is not None and b"IN IP6 ::1" in b.invite.body and b"IP4" not in b.invite.body
    b.rtp.close()
    b.rtp = await Rtp.open("::1")
    b._reply(b.invite, 200, "OK", body=ipv6(b))
    b._hear(b.invite)
    b.rtp.start(("::1", b.rtp._remote[1] if b.rtp._remote else 0))
    await b.request("ACK")
    await rig.told(p.LegUp, leg="b0")
    return b


async def both_hear(a: Dialog, b: Dialog) -> None:
    for speaker, listener, hz in ((a, b, A_HZ), (b, a, B_HZ)):
        listener.rtp.heard.clear()
        speaker.rtp.say(tones.tone(hz, 0.4))
        await until(lambda listener=listener, hz=hz: (tones.labels(listener.rtp.samples(), (hz,)) == hz).sum() >= 3, 10)


async def test_both_sides_by_ipv6(rig: Rig) -> None:
    a, b = await caller6(rig), await callee6(rig)
    rig.send(p.Bridge("a", "b0"))
    await both_hear(a, b)
    assert await rig.told(p.LegNetwork, leg="a") == p.LegNetwork("a", "loopback", "loopback", False, True)
    assert (await rig.told(p.LegNetwork, leg="b0")).locked
    assert (await a.reinvite(sdp=ipv6(a).replace("sendrecv", "sendonly"))).code == 200
    await rig.event(p.LegMedia, leg="a", held=True)
    assert (await a.reinvite(sdp=ipv6(a))).code == 200
    await rig.event(p.LegMedia, leg="a", held=False)
    await both_hear(a, b)
    a.rtp.close()
    b.rtp.close()


async def test_a_stranger_is_not_heard_by_ipv6_either(rig: Rig) -> None:
    a, b = await caller6(rig), await callee6(rig)
    rig.send(p.Bridge("a", "b0"))
    await rig.told(p.LegNetwork, leg="a")
    stranger = await Rtp.open("::1")
    stranger.say(tones.tone(1600, 1))
    assert a.rtp._remote is not None
    stranger.start(a.rtp._remote)
    await both_hear(a, b)
    assert 1600 not in tones.tones_in(b.rtp.samples(), (1600,)) and not stranger.heard
    for rtp in (a.rtp, b.rtp, stranger):
        rtp.close()


@pytest.mark.parametrize("six", ["a", "b0"])
async def test_one_side_by_each(rig: Rig, six: str) -> None:
    a = await caller6(rig) if six == "a" else await rig.caller()
    b = await callee6(rig) if six == "b0" else await rig.callee()
    rig.send(p.Bridge("a", "b0"))
    await both_hear(a, b)
    (a if six == "a" else b).rtp.close()


async def test_hold_with_the_address_of_nowhere(rig: Rig) -> None:
    a, b = await caller6(rig), await callee6(rig)
    rig.send(p.Bridge("a", "b0"))
    assert (await a.reinvite(sdp=ipv6(a).replace("c=IN IP6 ::1", "c=IN IP6 ::"))).code == 200
    await rig.event(p.LegMedia, leg="a", held=True)
    assert (await a.reinvite(sdp=ipv6(a))).code == 200
    await rig.event(p.LegMedia, leg="a", held=False)
    await both_hear(a, b)
    a.rtp.close()
    b.rtp.close()


async def test_keys_and_the_end_of_a_leg(rig: Rig) -> None:
    a, b = await caller6(rig), await callee6(rig)
    a.rtp.press("7")
    assert (await rig.event(p.Digit, leg="a")).digit == "7"
    rig.send(p.Notify("a", 200, "OK", final=True))
    assert (await a.request("NOTIFY")).body == b"SIP/2.0 200 OK\r\n"
    port = media_port(a)
    assert not is_free(port)
    assert (await a.hang_up()).code == 200
    await rig.event(p.LegDown, leg="a")
    await until(lambda: is_free(port))
    rig.send(p.Hangup("b0"))
    await b.request("BYE")
    await rig.event(p.LegDown, leg="b0")
    a.rtp.close()
    b.rtp.close()


async def test_who_does_not_answer_leaves_nothing_open(rig: Rig) -> None:
    rig.send(p.Dial("b0", "200", "t", "101", "Alice", False, ipv6=True))
    b = await rig.edge.called()
    assert b.invite is not None and not b.invite.all("X-Beffroi-Six")
    port = int(b.invite.body.split(b"m=audio ")[1].split()[0])
    assert not is_free(port)
    b.refuse(486, "Busy Here")
    assert (await rig.event(p.LegDown, leg="b0")).code == 486
    await until(lambda: is_free(port))


async def test_an_address_that_is_not_there_costs_the_legs_over_ipv6_alone(tmp_path: Path, ports: Ports) -> None:
    edge = await EdgeSide.open()
    settings = config(tmp_path, ports, warm=0, workers=2, edge_port=edge.address[1])
    async with running(replace(settings, media_address6="2001:db8::77")) as pool:
        rig = Rig(await pool.acquire(), edge)
        await rig.caller()
        assert b"IN IP4" in await offer_of_ipv6(rig)
    edge.close()


async def offer_of_ipv6(rig: Rig) -> bytes:
    rig.send(p.Dial("b0", "200", "t", "101", "Alice", False, ipv6=True))
    b = await rig.edge.called()
    assert b.invite is not None
    return b.invite.body


def media_port(dialog: Dialog) -> int:
    assert dialog.rtp._remote is not None
    return dialog.rtp._remote[1]


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("::1", port))
        except OSError:
            return False
    return True


SDP6 = b"v=0\r\no=- 1 1 IN IP6 2001:db8::1\r\ns=-\r\nc=IN IP6 2001:db8::1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"


async def test_addresses_are_exchanged_and_nothing_else() -> None:
    more = SDP6 + b"a=rtcp:4001 IN IP6 2001:db8::1\r\na=rtpmap:8 PCMA/8000\r\nm=video 0 RTP/AVP 96\r\n"
    assert named(more) == ("2001:db8::1", 4000)
    assert named(more.replace(b"m=video", b"c=IN IP6 ::5\r\nm=video")) == ("::5", 4000), "that of the media goes first"
    told = exchanged(more, 6, "127.0.0.1", 6000)
    assert b"IP6" not in told and named(told) == ("127.0.0.1", 6000) and b"a=rtpmap:8 PCMA/8000" in told
    assert b"m=video 0 " in told and b"a=rtcp" not in told
    assert exchanged(told, 4, "2001:db8::1", None) == more.replace(b"4000", b"6000").replace(
        b"a=rtcp:4001 IN IP6 2001:db8::1\r\n", b""
    )
    held = SDP6.replace(b"c=IN IP6 2001:db8::1", b"c=IN IP6 ::")
    assert named(exchanged(held, 6, "127.0.0.1", 6000)) == (".".join("0000"), 6000)
    assert b"m=audio 0 " in exchanged(SDP6.replace(b"4000", b"0"), 6, "127.0.0.1", 6000), "a stream that is refused"


@pytest.mark.parametrize("junk", [b"IN IP6 zz", b"IN IP6 ", b"IN IP6 \xff\xff", b"IN IP6 host.example"])
async def test_an_address_that_is_none(junk: bytes) -> None:
    assert named(SDP6.replace(b"IN IP6 2001:db8::1", junk)) is None


async def test_without_an_address_a_leg_is_offered_ipv4(bench: Bench, rig: Rig) -> None:
    bench.pool._config = replace(bench.pool._config, media_address6="")
    other = Rig(await bench.pool.acquire(), bench.edge)
    if other.worker.slot != rig.worker.slot:  # a warm one may still know the address
        bench.pool._discard(other.worker)
        other = Rig(await bench.pool.acquire(), bench.edge)
    assert b"IN IP4" in await offer_of_ipv6(other)
    other.send(p.Expect("x", ipv6=True))
    await other.event(p.Trouble)
    bench.pool._discard(other.worker)
