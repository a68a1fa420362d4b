"""Emergency calls: past every wall, and without the daemon when it is dead or does not answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sip.edge.protocol import Answer, EdgeRequest, Reply, ToWorker
from sip.edge.rpc import RpcClient
from sip.edge.state import Device
from sip.edge.table import Table
from sip.edge.template import EdgePlan
from tests.peers import tones
from tests.peers.baresip import Login
from tests.peers.baresip import Phone as Softphone
from tests.peers.ports import Ports
from tests.peers.provider import Provider
from tests.peers.sipclient import Endpoint, Message, Phone, answer, ha1
from tests.sip.edge.calling import SDP, backwards, cancel, invite, phone_calls, request, sequel
from tests.sip.edge.conftest import DOMAIN, PASSWORD, Daemon, Edge, run, until
from tests.sip.edge.test_bans import guess
from tests.sip.edge.test_calls import alice
from tests.sip.edge.test_trunks import trunk

pytestmark = pytest.mark.promise("P4")
OUTSIDER = "127.0.0.3"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    ports = Ports()
    with Provider(tmp_path_factory.mktemp("provider") / "p", ports) as running:
        yield running
    ports.close()


@pytest.fixture
async def ready(edge: Edge, provider: Provider) -> AsyncIterator[Edge]:
    """112 goes first to a trunk where nobody is, then to the provider."""
    provider.behave_well()
    nowhere = trunk(provider, id="t0", uri=f"sip:127.0.0.1:{provider.ports.take()};transport=tcp")
    control = edge.daemon.control
    await control.replace_trunks([nowhere, trunk(provider)])
    await control.push_emergency(("112",), ("t0", "gone", "t1"), prefixes=("0",), presented={"t1": "+33170000009"})
    yield edge
    await edge.daemon.control.push_emergency((), ())
    await edge.daemon.control.replace_trunks([])


async def centre(edge: Edge, provider: Provider) -> Endpoint:
    """Who answers at 112."""
    endpoint = await Endpoint.connect("udp", (provider.address, provider.port()))
    edge.endpoints.append(endpoint)
    provider.route("112", "sip:centre@{}:{}".format(*endpoint.local))
    return endpoint


async def picked_up(far: Endpoint, phone: Phone) -> tuple[Message, Message]:
    received = await request(far, "INVITE", 15)
    far.send(answer(received, 180, "Ringing", tag="d1"))
    far.send(answer(received, 200, "OK", contact="sip:centre@{}:{}".format(*far.local), body=SDP, tag="d1"))
    ok = await phone.final()
    assert ok.code == 200, ok.start
    phone.endpoint.send(sequel(phone, "ACK", ok))
    await request(far, "ACK")
    return received, ok


async def never(asked: EdgeRequest) -> Answer:
    await asyncio.sleep(60)
    return Reply(404, "Not Found")


@pytest.mark.parametrize("proto", ["udp", "tcp", "tls"])
@pytest.mark.parametrize("daemon", ["dead", "silent", "broken"])
async def test_without_the_daemon_the_call_gets_through(
    ready: Edge, provider: Provider, daemon: str, proto: str
) -> None:
    far, phone = await centre(ready, provider), await alice(ready, proto)
    phone.contact = f"sip:alice@10.255.255.1:5999;transport={proto}"
    if daemon == "dead":
        await ready.daemon.stop()
    ready.daemon.decide = never if daemon == "silent" else lambda asked: Reply(500, "Server Internal Error")
    began = time.monotonic()
    for number, ends in (("112", "phone"), ("0112", "provider")):
        await invite(phone, number)
        received, ok = await picked_up(far, phone)
        assert received["From"].startswith("<sip:+33170000009@")
        await until(lambda: any(one["Call-ID"] == phone.call_id for one in provider.seen("INVITE", number="112")))
        sent = provider.seen("INVITE", number="112")[-1]
        assert sent.uri.startswith("sip:112@") and "10.255.255.1" not in sent["Contact"]
        assert not sent["Record-Route"] and "X-Beffroi" not in sent.text()
        if ends == "phone":
            phone.endpoint.send(sequel(phone, "BYE", ok))
            far.send(answer(await request(far, "BYE"), 200, "OK"))
            assert (await phone.final()).code == 200
        else:
            far.send(backwards(far, "BYE", received, "d1", user="centre"))
            phone.endpoint.send(answer(await request(phone.endpoint, "BYE"), 200, "OK"))
            assert (await Phone(far, DOMAIN, "x", "", "").final()).code == 200
        phone.call_id += "x"
    assert time.monotonic() - began < 30  # each within a second or two, where the machine has nothing else to do
    if daemon == "dead":
        await ready.daemon.start()


async def test_a_phone_that_writes_its_name_in_another_alphabet_is_helped(ready: Edge, provider: Provider) -> None:
    """What cannot be put into a question to the daemon is refused; a call for help is not."""
    far, phone = await centre(ready, provider), await alice(ready)
    send = phone.endpoint.send

    def in_latin_1(text: str | bytes) -> None:
        data = text if isinstance(text, bytes) else text.encode()
        send(data.replace(b"From: <sip:alice", b"From: <sip:al\xefce"))

    phone.endpoint.send = in_latin_1  # type: ignore[method-assign]
    await invite(phone, "200")
    assert (await phone.final()).code == 400
    phone.call_id += "x"
    await invite(phone, "112")
    received, ok = await picked_up(far, phone)
    assert received["From"].startswith("<sip:+33170000009@")
    phone.endpoint.send(sequel(phone, "BYE", ok))
    far.send(answer(await request(far, "BYE"), 200, "OK"))
    assert (await phone.final()).code == 200


async def test_a_caller_may_give_up_while_the_edge_relays(ready: Edge, provider: Provider) -> None:
    far, phone = await centre(ready, provider), await alice(ready)
    ready.daemon.decide = never
    sent = await invite(phone, "112")
    received = await request(far, "INVITE", 15)
    far.send(answer(received, 180, "Ringing", tag="d1"))
    await asyncio.sleep(0.2)
    phone.endpoint.send(cancel(phone, sent))
    far.send(answer(await request(far, "CANCEL"), 200, "OK"))
    far.send(answer(received, 487, "Request Terminated", tag="d1"))
    assert {(await phone.final()).code, (await phone.final()).code} == {200, 487}


async def test_other_calls_are_not_relayed(ready: Edge, provider: Provider) -> None:
    phone = await alice(ready)
    await ready.daemon.stop()
    await invite(phone, "0612345678")
    assert (await phone.final()).code == 503
    await ready.daemon.start()


async def test_the_daemon_is_asked_first(ready: Edge) -> None:
    phone, worker = await alice(ready), await ready.worker()
    call = await phone_calls(ready, phone, worker, user="112")
    [asked] = ready.daemon.asked
    assert asked.emergency
    phone.endpoint.send(sequel(phone, "BYE", call.ok))
    worker.send(answer(await request(worker, "BYE"), 200, "OK"))
    await phone.final()
    phone.call_id += "x"
    ready.daemon.decide = lambda asked: Reply(486, "Busy Here")
    await invite(phone, "0611223344")
    assert (await phone.final()).code == 486
    assert not ready.daemon.asked[-1].emergency


@pytest.fixture
async def unheard(plan: EdgePlan, provider: Provider) -> AsyncIterator[Edge]:
    """The daemon seems to be attached, but the event socket takes no question for it. Its answer would be waited for
    longer than any test."""
    provider.behave_well()
    plan = replace(plan, timers=replace(plan.timers, answer_ms=60_000, emergency_answer_ms=60_000))
    async with run(plan):
        edge, rpc = Edge(plan, Daemon(plan)), RpcClient(plan.rpc_socket)
        await edge.daemon.start()
        await edge.daemon.add("alice-k3f9", "alice")
        nowhere = trunk(provider, id="t0", uri=f"sip:127.0.0.1:{provider.ports.take()};transport=tcp")
        await edge.daemon.control.replace_trunks([nowhere, trunk(provider)])
        await edge.daemon.control.push_emergency(("112",), ("t0", "t1"))
        await rpc.open()
        await Table(rpc, "ctl").set("tag", "")
        yield edge
        rpc.close()
        await edge.close()


@pytest.mark.parametrize("proto", ["udp", "tls"])
async def test_a_question_that_cannot_be_asked_keeps_no_call(unheard: Edge, provider: Provider, proto: str) -> None:
    far, phone = await centre(unheard, provider), await unheard.phone(proto, "alice-k3f9", "alice")
    await invite(phone, "0611223344")
    refused = await phone.final()
    assert refused.code == 503
    phone.endpoint.send(phone.ack(f"sip:0611223344@{DOMAIN}", refused))
    for ends in ("phone", "service"):
        phone.call_id += "x"
        await invite(phone, "112")
        received, ok = await picked_up(far, phone)
        if ends == "phone":
            phone.endpoint.send(sequel(phone, "BYE", ok))
            far.send(answer(await request(far, "BYE"), 200, "OK"))
            assert (await phone.final()).code == 200
        else:
            far.send(backwards(far, "BYE", received, "d1", user="centre"))
            phone.endpoint.send(answer(await request(phone.endpoint, "BYE"), 200, "OK"))
            assert (await Phone(far, DOMAIN, "x", "", "").final()).code == 200
    phone.call_id += "x"
    sent = await invite(phone, "112")
    received = await request(far, "INVITE", 15)
    far.send(answer(received, 180, "Ringing", tag="d1"))
    while (await phone.endpoint.receive(10)).code != 180:
        pass
    phone.endpoint.send(cancel(phone, sent))
    far.send(answer(await request(far, "CANCEL"), 200, "OK"))
    far.send(answer(received, 487, "Request Terminated", tag="d1"))
    assert {(await phone.final()).code, (await phone.final()).code} == {200, 487}
    provider.behave(INVITE="503")
    phone.call_id += "x"
    await invite(phone, "112")
    assert (await phone.final(15)).code == 503
    assert unheard.daemon.asked == []


async def test_a_worker_that_hangs_does_not_keep_the_call(ready: Edge, provider: Provider) -> None:
    far, phone, worker = await centre(ready, provider), await alice(ready), await ready.worker()
    ready.daemon.decide = lambda asked: ToWorker(worker.local[1], "leg1")
    await invite(phone, "112")
    await picked_up(far, phone)


async def test_no_ban_and_no_limit_stands_in_the_way(ready: Edge, provider: Provider) -> None:
    far = await centre(ready, provider)
    await ready.daemon.add("alice-k3f9", "alice")
    guesser = await ready.phone("udp", "alice-k3f9", password="guess", local_ip=OUTSIDER)
    assert await guess(guesser, 10) < 7
    assert OUTSIDER in {ban.source for ban in await ready.daemon.control.bans()}
    phone = Phone(guesser.endpoint, DOMAIN, "alice", "alice-k3f9", PASSWORD)
    ready.daemon.decide = never
    await invite(phone, "112")
    _, ok = await picked_up(far, phone)
    phone.endpoint.send(sequel(phone, "BYE", ok))
    far.send(answer(await request(far, "BYE"), 200, "OK"))
    assert (await phone.final()).code == 200


async def test_a_stranger_gets_no_free_call(ready: Edge) -> None:
    stranger = await ready.phone("udp", "x", local_ip=OUTSIDER)
    assert (await stranger.authenticated("INVITE", f"sip:112@{DOMAIN}")).code == 407
    assert ready.daemon.asked == []


async def test_a_disabled_account_may_call_for_help_and_nothing_else(ready: Edge, provider: Provider) -> None:
    far, control = await centre(ready, provider), ready.daemon.control
    phone = await alice(ready)
    assert (await phone.register()).code == 200
    await control.refuse_device("alice-k3f9")
    assert await control.contacts("alice-k3f9") == []
    assert (await phone.register()).code == 403
    refused = await phone.authenticated("INVITE", f"sip:bob@{DOMAIN}")
    assert refused.code == 403
    phone.endpoint.send(phone.ack(f"sip:bob@{DOMAIN}", refused))
    assert (await phone.authenticated("MESSAGE", f"sip:112@{DOMAIN}")).code == 403
    ready.daemon.decide = never
    phone.call_id += "x"
    await invite(phone, "112")
    await picked_up(far, phone)
    await control.replace_devices([Device("alice-k3f9", "alice", ha1("alice-k3f9", DOMAIN, PASSWORD), True)])
    assert (await phone.register()).code == 403
    await control.push_device("alice-k3f9", "alice", ha1("alice-k3f9", DOMAIN, PASSWORD))
    assert (await phone.register()).code == 200


async def test_audio_that_the_provider_does_not_take_is_told(ready: Edge, provider: Provider) -> None:
    phone = await alice(ready, "tls")
    provider.behave(INVITE="488")
    ready.daemon.decide = never
    await invite(phone, "112", profile="RTP/SAVP")
    reply = await phone.final(8)
    assert reply.code == 488
    assert reply["Warning"].startswith("304 ")


async def test_softphones_hear_each_other_with_the_daemon_dead(
    ready: Edge, provider: Provider, tmp_path: Path, ports: Ports
) -> None:
    await ready.daemon.add("alice-k3f9", "alice")
    await ready.daemon.stop()
    login = Login("alice-k3f9", DOMAIN, PASSWORD)
    server = "{}:{}".format(*ready.address("udp"))
    far = provider.phone("centre", "112", says=tones.tone(1000, 30), answer="auto")
    with far, Softphone(tmp_path / "alice", ports, login, server, "udp", says=tones.tone(400, 30)) as near:
        await asyncio.to_thread(near.registered)
        near.dial("112")
        await asyncio.to_thread(near.established)
        await asyncio.sleep(1.5)
        near.hang_up()
        await asyncio.to_thread(far.closed)
    heard = [tones.tones_in(tones.read_wav(path)[0][:, 0], (400, 1000)) for path in near.recordings()]
    assert heard == [{1000}]
    assert [tones.tones_in(tones.read_wav(path)[0][:, 0], (400, 1000)) for path in far.recordings()] == [{400}]
    await ready.daemon.start()
