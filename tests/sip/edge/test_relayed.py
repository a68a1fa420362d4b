"""Emergency calls that the edge relays alone are remembered until the daemon has asked for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest

from sip.edge import relayed
from sip.edge.protocol import EmergencyRelayed, Reply
from sip.edge.relayed import RelayedCall, key_of
from sip.edge.state import Device
from tests.peers.ports import Ports
from tests.peers.provider import Provider
from tests.peers.sipclient import Endpoint, Phone, answer, ha1
from tests.sip.edge.calling import backwards, cancel, invite, request, sequel
from tests.sip.edge.conftest import DOMAIN, PASSWORD, Edge, until
from tests.sip.edge.test_emergency import centre, never, picked_up
from tests.sip.edge.test_trunks import trunk

pytestmark = pytest.mark.promise("P12")
ACCOUNT = "ab" * 16


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    ports = Ports()
    with Provider(tmp_path_factory.mktemp("provider") / "p", ports) as running:
        yield running
    ports.close()


@pytest.fixture
async def ready(edge: Edge, provider: Provider) -> AsyncIterator[Edge]:
    """Calls to 112 and 119, the latter discreet, go to a trunk where nobody is, then to the provider."""
    provider.behave_well()
    nowhere = trunk(provider, id="t0", uri=f"sip:127.0.0.1:{provider.ports.take()};transport=tcp")
    control = edge.daemon.control
    edge.daemon.devices = [Device("alice-k3f9", "alice", ha1("alice-k3f9", DOMAIN, PASSWORD), account_id=ACCOUNT)]
    await control.replace_devices(edge.daemon.devices)
    await control.replace_trunks([nowhere, trunk(provider)])
    await control.push_emergency(("112", "119"), ("t0", "t1"), prefixes=("0",), discreet=("119",))
    yield edge
    await edge.daemon.control.push_emergency((), ())
    await edge.daemon.control.replace_trunks([])


async def helped(edge: Edge, far: Endpoint, phone: Phone, number: str = "112", *, ends: str = "phone") -> None:
    await invite(phone, number)
    received, ok = await picked_up(far, phone)
    if ends == "phone":
        phone.endpoint.send(sequel(phone, "BYE", ok))
        far.send(answer(await request(far, "BYE"), 200, "OK"))
        await phone.final()
    elif ends == "service":
        far.send(backwards(far, "BYE", received, "d1", user="centre"))
        phone.endpoint.send(answer(await request(phone.endpoint, "BYE"), 200, "OK"))
        await Phone(far, DOMAIN, "x", "", "").final()


async def kept(edge: Edge, count: int, *, over: bool = True) -> list[RelayedCall]:
    """What the edge has, once there are so many (that have ended)."""
    async with asyncio.timeout(10):
        while True:
            found = await edge.daemon.control.relayed_calls()
            if len([call for call in found if call.how or not over]) == count:
                return found
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("ends", ["phone", "service"])
async def test_what_was_relayed_while_the_daemon_was_dead_is_told_when_it_is_back(
    ready: Edge, provider: Provider, ends: str
) -> None:
    far, phone = await centre(ready, provider), await ready.phone("udp", "alice-k3f9", "alice")
    began = int(time.time())
    await ready.daemon.stop()
    await helped(ready, far, phone, "0112", ends=ends)
    await ready.daemon.start()
    [call] = await kept(ready, 1)
    assert (call.key, call.account_id, call.device) == (key_of(phone.call_id), ACCOUNT, "alice-k3f9")
    assert (call.number, call.trunk_id, call.how) == ("112", "t1", "ended")
    assert call.over_at is not None
    assert began <= call.at.timestamp() <= call.over_at.timestamp() <= time.time()
    await ready.daemon.control.forget_relayed(call.key)
    assert await ready.daemon.control.relayed_calls() == []


async def test_a_daemon_that_was_silent_is_told_at_once(ready: Edge, provider: Provider) -> None:
    far, phone = await centre(ready, provider), await ready.phone("udp", "alice-k3f9", "alice")
    ready.daemon.decide = never
    await invite(phone, "112")
    _, ok = await picked_up(far, phone)
    await until(lambda: ready.daemon.events.count(EmergencyRelayed()) == 1)
    [call] = await kept(ready, 1, over=False)
    assert call.how == "" and call.over_at is None
    phone.endpoint.send(sequel(phone, "BYE", ok))
    far.send(answer(await request(far, "BYE"), 200, "OK"))
    await until(lambda: ready.daemon.events.count(EmergencyRelayed()) == 2)
    [call] = await kept(ready, 1)
    assert call.how == "ended"


async def test_a_call_that_no_trunk_takes_is_kept_once_however_often_it_is_tried(
    ready: Edge, provider: Provider
) -> None:
    phone = await ready.phone("udp", "alice-k3f9", "alice")
    provider.behave(INVITE="503")
    ready.daemon.decide = lambda asked: Reply(500, "Server Internal Error")
    for _ in range(2):
        await invite(phone, "112")
        assert (await phone.final(15)).code == 503
    [call] = await kept(ready, 1)
    assert (call.trunk_id, call.how) == (None, "failed")


async def test_a_caller_who_gives_up_is_kept_too(ready: Edge, provider: Provider) -> None:
    far, phone = await centre(ready, provider), await ready.phone("udp", "alice-k3f9", "alice")
    ready.daemon.decide = never
    sent = await invite(phone, "112")
    received = await request(far, "INVITE", 15)
    far.send(answer(received, 180, "Ringing", tag="d1"))
    while (await phone.endpoint.receive(10)).code != 180:
        pass
    phone.endpoint.send(cancel(phone, sent))
    far.send(answer(await request(far, "CANCEL"), 200, "OK"))
    far.send(answer(received, 487, "Request Terminated", tag="d1"))
    [call] = await kept(ready, 1)
    assert (call.trunk_id, call.how) == ("t1", "cancelled")


async def test_of_a_discreet_help_line_nothing_is_kept(ready: Edge, provider: Provider) -> None:
    far, phone = await centre(ready, provider), await ready.phone("udp", "alice-k3f9", "alice")
    provider.route("119", "sip:centre@{}:{}".format(*far.local))
    ready.daemon.decide = never
    await helped(ready, far, phone, "119")
    phone.call_id += "x"
    await helped(ready, far, phone, "112")
    [call] = await kept(ready, 1)
    assert call.number == "112" and ready.daemon.events.count(EmergencyRelayed()) == 2


async def test_one_phone_does_not_fill_the_memory(ready: Edge, provider: Provider) -> None:
    await ready.daemon.control.push_emergency(("112",), ())
    ready.daemon.decide = lambda asked: Reply(500, "Server Internal Error")
    for _ in range(20):
        phone = await ready.phone("tcp", "alice-k3f9", "alice")
        await invite(phone, "112")
        assert (await phone.final()).code == 503
    assert len(await kept(ready, 16)) == 16


def test_what_is_no_call_is_left_out() -> None:
    key = "0" * 32
    table = [(key, "1700000000::dev:112"), ("1" * 32, "?"), ("x", "1700000000:a:dev:112"), ("2" * 32 + "/took", "t1")]
    assert relayed.read(table) == [
        RelayedCall(key, datetime.fromtimestamp(1700000000, UTC), "", "dev", "112", None),
    ]
