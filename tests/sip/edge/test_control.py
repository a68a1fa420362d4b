"""The daemon's end: it comes and goes, the edge stays; nobody else may listen or answer."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from sip.edge import netstring
from sip.edge.protocol import Answer, EdgeRequest, RegistrationChanged, Reply, ToDevices
from sip.edge.rpc import RpcClient, RpcError
from sip.edge.template import EdgePlan
from tests.sip.edge.calling import dial, invite, request
from tests.sip.edge.conftest import Daemon, Edge, run, until
from tests.sip.edge.test_calls import alice, bob


class RawControl:
    """A connection to the event socket that says what the test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer, self.decoder = reader, writer, netstring.Decoder()

    @classmethod
    async def connect(cls, plan: EdgePlan) -> RawControl:
        return cls(*await asyncio.open_connection("127.0.0.1", plan.control_port))

    def say(self, **message: Any) -> None:
        self.writer.write(netstring.encode(json.dumps(message).encode()))

    async def hear(self, timeout_s: float = 1.0) -> list[Any]:
        try:
            async with asyncio.timeout(timeout_s):
                return [json.loads(frame) for frame in self.decoder.feed(await self.reader.read(65536))]
        except TimeoutError:
            return []

    def close(self) -> None:
        self.writer.transport.abort()


async def test_registrations_outlive_the_daemon(edge: Edge) -> None:
    phone = await bob(edge, "tls")
    await edge.daemon.stop()
    assert (await phone.register()).code == 200  # and phones go on signing on
    await edge.daemon.start()
    assert edge.daemon.attaches == 2
    assert list(await edge.daemon.control.registrations()) == ["bob-1"]
    await dial(edge, await edge.worker(), ToDevices(("bob-1",), "tls"))
    await request(phone.endpoint, "INVITE")


async def test_without_a_daemon_a_call_is_refused_at_once(edge: Edge) -> None:
    phone = await alice(edge)
    await edge.daemon.stop()
    began = time.monotonic()
    await invite(phone, "bob")
    reply = await phone.final()
    assert (reply.code, bool(reply["Retry-After"])) == (503, True)
    assert time.monotonic() - began < 1


async def test_a_daemon_that_hangs_is_noticed(edge: Edge) -> None:
    """The connection stands but nobody beats: after the silence, calls are refused at once."""
    phone = await alice(edge)
    await edge.daemon.stop()
    hung = await RawControl.connect(edge.plan)
    hung.say(op="hello", secret=edge.plan.control_secret)
    assert await hung.hear() == [{"op": "welcome"}]
    await asyncio.sleep(edge.plan.timers.control_silence_s + 1.2)
    began = time.monotonic()
    await invite(phone, "bob")
    assert (await phone.final()).code == 503
    assert time.monotonic() - began < 1
    hung.close()


async def test_the_edge_may_be_started_anew_under_the_daemon(plan: EdgePlan) -> None:
    daemon = Daemon(plan)
    edge = Edge(plan, daemon)
    async with run(plan):
        await daemon.start()
        phone = await bob(edge, "udp")
        worker = await edge.worker()
    async with run(plan):
        await until(lambda: daemon.attaches >= 2 and daemon.control.attached.is_set())
        assert (await phone.register()).code == 200  # devices were pushed again
        await dial(edge, worker, ToDevices(("bob-1",), "plain"))  # and workers
        await request(phone.endpoint, "INVITE")
        await edge.close()


async def test_devices_and_workers_that_are_gone_are_forgotten_at_the_next_attach(edge: Edge) -> None:
    phone = await bob(edge)
    await edge.daemon.add("carol-1", "carol")
    worker = await edge.worker()
    await edge.daemon.stop()
    edge.daemon.devices = [device for device in edge.daemon.devices if device.account == "carol"]
    edge.daemon.workers.clear()
    await edge.daemon.start()
    assert await edge.daemon.control.registrations() == {}
    assert (await phone.register()).code == 401
    assert (await (await dial(edge, worker, ToDevices(("carol-1",), "plain"))).final()).code == 403


async def test_a_stranger_on_the_event_socket_hears_and_does_nothing(edge: Edge) -> None:
    stranger = await RawControl.connect(edge.plan)
    stranger.say(op="hello", secret="0" * 32)
    phone = await alice(edge)

    async def slow(asked: EdgeRequest) -> Answer:
        i, label = asked.transaction
        stranger.say(op="answer", i=i, l=label, act="reply", code=200, reason="Forged")
        stranger.say(op="pending", call_id=asked.call_id, cseq=str(asked.cseq), code=600, reason="Forged")
        await asyncio.sleep(0.2)
        return Reply(404, "Not Found")

    edge.daemon.decide = slow
    await invite(phone, "bob")
    assert (await phone.final()).code == 404
    assert await stranger.hear(0.2) == []
    stranger.close()


async def test_a_stranger_does_not_inherit_the_daemons_place(edge: Edge) -> None:
    """Kamailio keeps the tag of a slot when its connection ends: the next to connect would get our events."""
    phone = await alice(edge)
    await edge.daemon.stop()
    await asyncio.sleep(0.1)
    strangers = [await RawControl.connect(edge.plan) for _ in range(4)]
    await asyncio.sleep(0.1)
    await invite(phone, "bob")
    assert (await phone.final()).code == 503
    for stranger in strangers:
        assert await stranger.hear(0.1) == []
        stranger.close()


async def test_the_newest_daemon_is_asked(edge: Edge) -> None:
    """A daemon that was killed may leave a half-open connection behind; it must not swallow the questions."""
    phone = await alice(edge)
    newer = Daemon(edge.plan, decide=lambda asked: Reply(480, "Temporarily Unavailable"), devices=edge.daemon.devices)
    await newer.start()
    await invite(phone, "bob")
    assert (await phone.final()).code == 480
    assert edge.daemon.asked == []
    await newer.stop()


async def test_noise_on_the_event_socket_does_no_harm(edge: Edge) -> None:
    for noise in (b"\0" * 500, b"999999:x,", b"5:ab", b":", b"3:{},", b"12:not json at,", b"x" * 40000):
        stranger = await RawControl.connect(edge.plan)
        stranger.writer.write(noise)
        await asyncio.sleep(0.02)
        stranger.close()
    phone = await alice(edge)
    await invite(phone, "bob")
    assert (await phone.final()).code == 404


async def test_every_answer_of_a_burst_arrives(edge: Edge) -> None:
    """Frames are lost when one is cut at the end of Kamailio's buffer; 1200 at once would make that certain."""
    control = edge.daemon.control
    before = control._window
    for n in range(1200):
        control._send(json.dumps({"op": "pending", "call_id": f"none-{n}", "cseq": str(n), "code": 500}).encode())
    assert before.waiting > 0
    await until(lambda: not before.waiting)
    phone = await alice(edge)
    await invite(phone, "bob")
    assert (await phone.final()).code == 404


async def test_many_questions_at_once_are_all_answered(edge: Edge) -> None:
    await edge.daemon.add("alice-k3f9", "alice")
    gate = asyncio.Event()

    async def together(asked: EdgeRequest) -> Answer:
        await gate.wait()
        return Reply(486, "Busy Here")

    edge.daemon.decide = together
    phones = [await edge.phone("udp", "alice-k3f9", "alice") for _ in range(15)]
    await asyncio.gather(*(invite(phone, f"bob{n}") for n, phone in enumerate(phones)))
    await until(lambda: len(edge.daemon.asked) == len(phones))
    gate.set()
    assert [(await phone.final()).code for phone in phones] == [486] * len(phones)


async def test_the_daemon_hears_of_registrations(edge: Edge) -> None:
    await bob(edge)
    await asyncio.sleep(0.1)
    assert RegistrationChanged("bob-1") in edge.daemon.events


async def test_a_failing_decision_is_an_error_and_no_hang(edge: Edge) -> None:
    def fail(asked: EdgeRequest) -> Answer:
        raise RuntimeError("broken")

    edge.daemon.decide = fail
    phone = await alice(edge)
    await invite(phone, "bob")
    assert (await phone.final()).code == 500


async def test_rpc_without_an_edge_says_so(plan: EdgePlan) -> None:
    rpc = RpcClient(plan.rpc_socket, timeout_s=0.5)
    await rpc.open()
    with pytest.raises(RpcError) as error:
        await rpc.call("core.version")
    assert error.value.code == 0
    rpc.close()
    assert list(plan.run_dir.iterdir()) == []


async def test_rpc_takes_many_calls_at_once(edge: Edge) -> None:
    await asyncio.gather(*(edge.daemon.add(f"device-{n}", "team") for n in range(300)))
    await edge.daemon.control.replace_devices(edge.daemon.devices[:10])
    phone = await edge.phone("udp", "device-5")
    assert (await phone.register()).code == 200
    gone = await edge.phone("udp", "device-250")
    assert (await gone.register()).code == 401
