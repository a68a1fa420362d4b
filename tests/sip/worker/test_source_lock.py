"""Whose audio a leg hears: of whom it was told, or of the one who really sends; never of a stranger."""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from sip.worker import protocol as p
from sip.worker import source_lock
from sip.worker.source_lock import Address, SourceLock, kind, parse
from tests.peers import tones
from tests.peers.ports import Ports
from tests.peers.tones import alaw_encode
from tests.sip.worker.conftest import A_HZ, B_HZ, PROMPT_HZ, Bench, talking
from tests.sip.worker.phones import Dialog, EdgeSide, Rtp
from tests.sip.worker.rig import Rig, config, running, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

STRANGE_HZ = 1600
ELSEWHERE = "192.0.2.77"  # RFC 5737: nobody


def media_port(dialog: Dialog) -> tuple[str, int]:
    """Where the worker hears this phone."""
    assert dialog.rtp._remote is not None
    return dialog.rtp._remote


async def hears(dialog: Dialog, hz: float) -> None:
    await until(lambda: (tones.labels(dialog.rtp.samples(), (hz,)) == hz).sum() >= 3, 10)


async def both_hear(a: Dialog, b: Dialog) -> None:
    for speaker, listener, hz in ((a, b, A_HZ), (b, a, B_HZ)):
        listener.rtp.heard.clear()
        speaker.rtp.say(tones.tone(hz, 0.4))
    await hears(b, A_HZ)
    await hears(a, B_HZ)


@pytest.mark.promise("P2")
async def test_a_stranger_is_neither_heard_nor_sent_to(rig: Rig) -> None:
    """Valid RTP of the right codec, even with the SSRC of the phone, and faster than the phone sends."""
    a, b = await talking(rig)
    for leg in ("a", "b0"):
        network = await rig.told(p.LegNetwork, leg=leg)
        assert network == p.LegNetwork(leg, "loopback", "loopback", False, True)
    strangers = [await Rtp.open() for _ in range(3)]
    for stranger in strangers:
        stranger.say(tones.tone(STRANGE_HZ, 1.5))
        stranger.start(media_port(a))
    a.rtp.mute()  # and the phone itself says nothing for a while
    b.rtp.heard.clear()
    await asyncio.sleep(1.2)
    assert STRANGE_HZ not in tones.tones_in(b.rtp.samples(), (STRANGE_HZ,)), "a stranger is heard"
    a.rtp.mute(False)
    await both_hear(a, b)
    assert not any(stranger.heard for stranger in strangers), "a stranger is sent the call"
    for stranger in strangers:
        stranger.close()


@pytest.mark.promise("P2")
async def test_who_sends_before_the_answer_is_not_taken_for_the_caller(rig: Rig) -> None:
    """The peer of a former call on the same port, which has not noticed its end."""
    token = secrets.token_hex(16)
    a = await rig.edge.caller(rig.worker.port)
    rig.send(p.Expect(token))
    a.send_invite(token, sdp=a.sdp(address=ELSEWHERE, port=40000))  # behind a router
    await rig.event(p.Incoming)
    former = await Rtp.open()
    port = await until_bound(rig)
    former.start(port)
    former.say(tones.tone(STRANGE_HZ, 3))
    await asyncio.sleep(0.3)
    rig.send(p.Answer("a", 200), p.Echo("a", True))
    await a.established()
    a.rtp.say(tones.tone(A_HZ, 2))
    network = await rig.told(p.LegNetwork, leg="a")
    assert network.locked and network.moved
    await hears(a, A_HZ)
    assert STRANGE_HZ not in tones.tones_in(a.rtp.samples(), (A_HZ, STRANGE_HZ)) and not former.heard
    former.close()


async def until_bound(rig: Rig) -> Address:
    """Where the worker's first RTP socket is: nobody has been told yet."""
    first = rig.rtp_port

    def bound() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", first))
            except OSError:
                return True
        return False

    await until(bound)
    return ("127.0.0.1", first)


async def test_a_phone_behind_a_router_is_heard_and_hears(rig: Rig) -> None:
    """What its SDP says is not where its audio comes from."""
    a = await rig.caller(sdp=lambda dialog: dialog.sdp(address=ELSEWHERE, port=40000))
    network = await rig.told(p.LegNetwork, leg="a")
    assert network == p.LegNetwork("a", kind(ELSEWHERE), "loopback", True, True)
    b = await rig.callee()
    rig.send(p.Bridge("a", "b0"))
    await both_hear(a, b)
    stranger = await Rtp.open()
    stranger.say(tones.tone(STRANGE_HZ, 1))
    stranger.start(media_port(a))
    b.rtp.heard.clear()
    await asyncio.sleep(0.6)
    assert STRANGE_HZ not in tones.tones_in(b.rtp.samples(), (STRANGE_HZ,)) and not stranger.heard
    stranger.close()
    # hold and back, which moves nothing
    await a.reinvite(sdp=a.sdp(address=ELSEWHERE, port=40000, direction="sendonly"))
    await a.reinvite(sdp=a.sdp(address=ELSEWHERE, port=40000))
    await rig.event(p.LegMedia, leg="a", held=False)
    await both_hear(a, b)


@pytest.mark.promise("L1")
async def test_a_phone_behind_a_router_misses_nothing_of_what_it_is_told(rig: Rig, bench: Bench) -> None:
    """Until it has sent something, nobody knows where to speak to."""
    token = secrets.token_hex(16)
    rig.send(p.Expect(token))
    a = await rig.edge.caller(rig.worker.port)
    a.send_invite(token, sdp=a.sdp(address=ELSEWHERE, port=40000))
    await rig.event(p.Incoming)
    rig.send(p.Answer("a", 200), p.Play("a", 1, bench.prompt(0.6)))
    await a.established()
    assert (await rig.event(p.PlayEnded)).heard
    assert (tones.labels(a.rtp.samples(), (PROMPT_HZ,), window=0.02) == PROMPT_HZ).sum() >= 28


@pytest.mark.promise("P2")
async def test_the_next_call_on_the_same_ports_is_not_sent_to_the_one_before(tmp_path: Path, ports: Ports) -> None:
    """Measured without the lock: 6 of 20."""
    edge = await EdgeSide.open()
    settings = config(tmp_path, ports, warm=0, workers=1, edge_port=edge.address[1])
    async with running(settings) as pool:
        former: Dialog | None = None
        for _ in range(4):
            rig = Rig(await pool.acquire(), edge)
            a = await rig.caller()  # the one before goes on sending to these ports
            rig.send(p.Echo("a", True))
            a.rtp.say(tones.tone(A_HZ, 1.0))
            await hears(a, A_HZ)
            if former is not None:
                assert media_port(former) == media_port(a), "the ports are the same"
                assert A_HZ not in tones.tones_in(former.rtp.samples(), (A_HZ,))
                former.rtp.close()
            await rig.leaves()
            await until(lambda rig=rig: rig.worker.gone)
            await asyncio.sleep(0.05)
            former = a
            former.rtp.heard.clear()
            former.rtp.say(tones.tone(STRANGE_HZ, 5))
    edge.close()


async def test_the_named_address_goes_before_one_that_only_sends(rig: Rig) -> None:
    rig.dial()
    b = await rig.edge.called()
    await b.pick_up()
    stranger = await Rtp.open()
    stranger.say(tones.tone(STRANGE_HZ, 2))
    stranger.start(media_port(b))
    network = await rig.told(p.LegNetwork, leg="b0")
    assert network.locked and not network.moved
    await asyncio.sleep(0.3)
    assert not stranger.heard
    stranger.close()


async def test_a_call_follows_an_offer_that_moves_its_audio(rig: Rig) -> None:
    """From one network to another (RFC 3264 section 8.3.1): the old place is a stranger's from then on."""
    a, b = await talking(rig)
    await both_hear(a, b)
    old, a.rtp = a.rtp, await Rtp.open()
    assert (await a.reinvite()).code == 200
    a.rtp.start(media_port_of(old))
    await both_hear(a, b)
    old.heard.clear()
    b.rtp.heard.clear()
    old.say(tones.tone(STRANGE_HZ, 0.6))
    await asyncio.sleep(0.5)
    assert STRANGE_HZ not in tones.tones_in(b.rtp.samples(), (STRANGE_HZ,)) and not old.heard
    a.rtp.close()
    a.rtp = old


def media_port_of(rtp: Rtp) -> tuple[str, int]:
    assert rtp._remote is not None
    return rtp._remote


async def test_silence_is_told_and_audio_that_comes_late_is_heard(rig: Rig) -> None:
    a = await rig.caller(sdp=lambda dialog: dialog.sdp(address="10.1.2.3", port=40000))
    a.rtp.mute()
    network = await rig.told(p.LegNetwork, leg="a", timeout_s=10)
    if not network.locked:
        assert (network.signalled, network.source, network.moved) == ("private", "", False)
    a.rtp.mute(False)
    rig.send(p.Echo("a", True))
    a.rtp.say(tones.tone(A_HZ, 0.6))
    await hears(a, A_HZ)


async def test_a_phone_that_is_not_ready_yet_loses_no_call(rig: Rig) -> None:
    """A closed port answers with ICMP, which a connected socket is told of."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    a = await rig.caller(sdp=lambda dialog: dialog.sdp(port=port))
    a.rtp.mute()
    await asyncio.sleep(0.8)
    a.rtp.mute(False)
    rig.send(p.Echo("a", True))
    a.rtp.say(tones.tone(A_HZ, 1))
    await hears(a, A_HZ)
    assert rig.none_of(p.LegDown)


async def test_an_encrypted_leg_is_not_led_astray_by_noise(rig: Rig) -> None:
    """What cannot be decrypted is no audio of this leg: the one who sends it is tried, found wanting and left."""
    crypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
    a = await rig.caller(sdp=lambda dialog: dialog.sdp(address=ELSEWHERE, port=40000, profile="RTP/SAVP", extra=crypto))
    await asyncio.sleep(0.5)  # its plain packets are not accepted
    assert rig.none_of(p.LegNetwork)
    await a.hang_up()
    await rig.event(p.LegDown)


# --- the lock alone -----------------------------------------------------------------------------------------------


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """RTP and RTCP as pjmedia binds them."""
    while True:
        rtp, rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) for _ in range(2))
        rtp.bind(("127.0.0.1", 0))
        try:
            rtcp.bind(("127.0.0.1", rtp.getsockname()[1] + 1))
            break
        except OSError:
            rtp.close()
            rtcp.close()
    yield rtp, rtcp
    rtp.close()
    rtcp.close()


def packet(sequence: int, ssrc: int = 7) -> bytes:
    return struct.pack("!BBHII", 0x80, 8, sequence, 160 * sequence, ssrc) + alaw_encode(tones.silence(0.02))


def received(sock: socket.socket) -> int:
    count = 0
    while True:
        try:
            sock.recv(2048)
        except BlockingIOError:
            return count
        count += 1


def peer(host: str = "127.0.0.1") -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, 0))
    return made


async def test_the_lock_passes_the_named_one_alone(sockets: tuple[socket.socket, socket.socket]) -> None:
    rtp, rtcp = sockets
    lock = SourceLock(rtp.getsockname())
    with peer() as named, peer() as other, peer("127.0.0.2") as far:
        lock.shut()
        named.sendto(packet(1), rtp.getsockname())
        assert received(rtp) == 0, "nobody is heard before the other side has said where it is"
        assert lock.expect(named.getsockname(), 0, 0.0)
        for sequence in range(3):
            for sender in (named, other, far):
                sender.sendto(packet(sequence), rtp.getsockname())
        assert received(rtp) == 3
        assert lock.tick(0.0, 3) and lock.locked and not lock.watching
        other.sendto(packet(9), rtp.getsockname())
        assert received(rtp) == 0
        for sender in (named, far):
            sender.sendto(b"rtcp", rtcp.getsockname())
        assert received(rtcp) == 1, "nor RTCP of another host"
        assert not rtp.getblocking(), "pjmedia's socket must not be made to wait"
        assert not lock.expect(named.getsockname(), 3, 0.1), "the same offer again changes nothing"
        assert lock.expect(far.getsockname(), 3, 0.2)
        far.sendto(b"rtcp", rtcp.getsockname())
        far.sendto(packet(1), rtp.getsockname())
        named.sendto(packet(10), rtp.getsockname())
        assert (received(rtp), received(rtcp)) == (1, 1)
    lock.close()


async def test_a_candidate_that_is_not_accepted_is_left(sockets: tuple[socket.socket, socket.socket]) -> None:
    rtp, _ = sockets
    lock = SourceLock(rtp.getsockname())
    with peer("127.0.0.2") as named, peer() as noise, peer() as right:
        lock.expect(named.getsockname(), 0, 0.0)
        for sequence in range(source_lock.CANDIDATE_PACKETS):
            noise.sendto(packet(sequence), rtp.getsockname())
        lock.tick(source_lock.GRACE_S - 0.01, 0)
        assert lock.source == named.getsockname(), "the named one has a moment to begin"
        lock.tick(source_lock.GRACE_S, 0)
        assert lock.source == noise.getsockname() and not lock.locked
        lock.tick(source_lock.GRACE_S + source_lock.TRY_S + 0.1, 0)
        assert lock.source == named.getsockname()
        for sequence in range(source_lock.CANDIDATE_PACKETS):
            noise.sendto(packet(sequence), rtp.getsockname())
            right.sendto(packet(sequence, 8), rtp.getsockname())
        lock.tick(1.4, 0)
        assert lock.source == right.getsockname()
        assert not lock.tick(1.5, 1), "one packet may still be another's"
        assert lock.tick(1.6, source_lock.TRY_PACKETS)
        assert lock.network() == source_lock.Network("loopback", "loopback", True, True)
    lock.close()


@pytest.mark.parametrize(
    "junk",
    [b"", b"\0" * 11, b"\0" * 200, b"\x80\xc8" + b"\0" * 30, b"\x40\x08" + b"\0" * 30],
    ids=["empty", "short", "STUN", "RTCP", "version 1"],
)
async def test_what_is_no_rtp_makes_nobody_a_candidate(
    sockets: tuple[socket.socket, socket.socket], junk: bytes
) -> None:
    rtp, _ = sockets
    lock = SourceLock(rtp.getsockname())
    with peer("127.0.0.2") as named, peer() as other:
        lock.expect(named.getsockname(), 0, 0.0)
        for _ in range(20):
            other.sendto(junk, rtp.getsockname())
        lock.tick(1.0, 0)
        assert lock.source == named.getsockname()
    lock.close()


async def test_who_sent_too_early_is_tried_last(sockets: tuple[socket.socket, socket.socket]) -> None:
    """A dialled leg: the former call's peer sends all the while, the callee once it has answered."""
    rtp, _ = sockets
    lock = SourceLock(rtp.getsockname())
    lock.shut()
    with peer("127.0.0.2") as named, peer() as former, peer() as callee:
        for sequence in range(source_lock.CANDIDATE_PACKETS):
            former.sendto(packet(sequence), rtp.getsockname())
        lock.expect(named.getsockname(), 0, 0.0)
        for sequence in range(5, 5 + source_lock.CANDIDATE_PACKETS):
            former.sendto(packet(sequence), rtp.getsockname())
            callee.sendto(packet(sequence, 8), rtp.getsockname())
        lock.tick(source_lock.GRACE_S, 0)
        assert lock.source == callee.getsockname()
    lock.close()


async def test_the_place_that_was_left_is_a_strangers(sockets: tuple[socket.socket, socket.socket]) -> None:
    rtp, _ = sockets
    lock = SourceLock(rtp.getsockname())
    with peer() as old, peer() as new:
        lock.expect(old.getsockname(), 0, 0.0)
        assert lock.tick(0.1, 1)
        assert lock.expect(new.getsockname(), 1, 1.0)
        for sequence in range(2 * source_lock.CANDIDATE_PACKETS):
            old.sendto(packet(sequence), rtp.getsockname())
        lock.tick(2.0, 1)
        assert lock.source == new.getsockname()
        assert lock.expect(old.getsockname(), 1, 3.0) and lock.tick(3.1, 2), "until it is named again"
        assert lock.source == old.getsockname()
    lock.close()


async def test_nobody_else_can_bind_a_watched_port(sockets: tuple[socket.socket, socket.socket]) -> None:
    rtp, _ = sockets
    lock = SourceLock(rtp.getsockname())
    lock.shut()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            thief.bind(rtp.getsockname())
    lock.close()


@pytest.mark.parametrize(
    ("text", "address"),
    [("192.0.2.1:4000", ("192.0.2.1", 4000)), ("[2001:db8::1]:5", ("2001:db8::1", 5)), ("x:5", None), ("", None)],
)
async def test_addresses_as_pjsip_writes_them(text: str, address: Address | None) -> None:
    assert parse(text) == address


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("10.0.0.1", "private"),
        ("100.64.0.1", "private"),
        ("fd00::1", "private"),
        ("8.8.8.8", "public"),
        (".".join("0000"), "none"),
    ],
)
async def test_kinds_of_addresses(host: str, name: str) -> None:
    assert kind(host) == name


async def test_no_event_holds_an_address() -> None:
    """What goes to the daemon are kinds."""
    names = set(p.LegNetwork.__dataclass_fields__)
    assert names == {"leg", "signalled", "source", "moved", "locked"}
