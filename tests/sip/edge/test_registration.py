"""Signing on: who may, as whom, and what an outsider can learn from trying."""

from __future__ import annotations

import asyncio
import re

import pytest

from sip.edge.protocol import ToDevices
from tests.peers.sipclient import Message, Phone, credentials, ha1, md5
from tests.sip.edge.calling import dial, request
from tests.sip.edge.conftest import DOMAIN, PASSWORD, Daemon, Edge

URI = f"sip:{DOMAIN}"


@pytest.mark.promise("3.1")
@pytest.mark.parametrize("proto", ["udp", "tcp", "tls"])
@pytest.mark.parametrize("user", ["alice-k3f9", "alice"])
async def test_a_device_signs_on_as_itself_or_as_its_account(edge: Edge, proto: str, user: str) -> None:
    await edge.daemon.add("alice-k3f9", "alice")
    phone = await edge.phone(proto, "alice-k3f9", user)
    assert (await phone.register()).code == 200
    [contact] = await edge.daemon.control.contacts("alice-k3f9")
    assert contact.table == ("tls" if proto == "tls" else "plain")
    assert 0 < contact.expires_s <= 120
    assert f"{phone.endpoint.local[0]}:{phone.endpoint.local[1]}" in contact.received
    assert list(await edge.daemon.control.registrations()) == ["alice-k3f9"]
    assert (await phone.register(expires_s=0)).code == 200
    assert await edge.daemon.control.registrations() == {}


def shape(reply: Message) -> tuple[object, ...]:
    """All of a reply but what differs by chance."""
    challenge = re.sub(r'nonce="[^"]+"', "nonce", reply["WWW-Authenticate"])
    to = re.sub(r"<[^>]*>|;tag=.*", "", reply["To"])
    return reply.start, [name for name, _ in reply.headers], challenge, to, reply.body


async def test_an_unknown_user_and_a_wrong_password_are_answered_alike(edge: Edge) -> None:
    await edge.daemon.add("alice-k3f9", "alice")
    shapes = []
    for user in ("alice-k3f9", "nobody-1234"):
        phone = await edge.phone("udp", user, password="guessed")
        phone.endpoint.send(phone.request("REGISTER", URI))
        first = await phone.final()
        second = await phone.register()
        assert second.code == 401
        shapes.append((shape(first), shape(second)))
    assert shapes[0] == shapes[1]


async def test_nobodys_secret_cannot_be_guessed(edge: Edge) -> None:
    """The HA1 against which an unknown user is checked is neither a constant of the program nor what is left in memory
    of somebody else's: alice, who knows her own, signs on first."""
    await edge.daemon.add("alice-k3f9", "alice")
    alice = await edge.phone("udp", "alice-k3f9")
    own = ha1("alice-k3f9", DOMAIN, PASSWORD)
    for number, guess in enumerate(("0" * 32, "", md5(""), "0", own, f"0{own[1:]}", f"0\0{own[2:]}")):
        phone = await edge.phone("udp", "nobody-1234", local_ip=f"127.0.7.{number + 1}")  # nobody is banned so soon
        for _ in range(2):  # one of several processes answers
            assert (await alice.register()).code == 200
            assert (await _prove(phone, guess)).code == 401
    assert await edge.daemon.control.contacts("nobody-1234") == []


async def _prove(phone: Phone, guess: str) -> Message:
    phone.endpoint.send(phone.request("REGISTER", URI))
    challenge = (await phone.final())["WWW-Authenticate"]
    nonce = re.search(r'nonce="([^"]+)"', challenge)
    opaque = re.search(r'opaque="[^"]+"', challenge)
    assert nonce is not None and opaque is not None
    proof = md5(f"{guess}:{nonce[1]}:00000001:aa:auth:{md5(f'REGISTER:{URI}')}")
    value = f'Digest username="nobody-1234", realm="{DOMAIN}", nonce="{nonce[1]}", uri="{URI}", response="{proof}"'
    header = f"Authorization: {value}, algorithm=MD5, cnonce=aa, qop=auth, nc=00000001, {opaque[0]}"
    phone.endpoint.send(phone.request("REGISTER", URI, headers=(header,)))
    return await phone.final()


async def test_nobody_registers_as_somebody_else(edge: Edge) -> None:
    await edge.daemon.add("alice-k3f9", "alice")
    await edge.daemon.add("bob-1", "bob")
    phone = await edge.phone("udp", "alice-k3f9")
    for victim in ("bob", "bob-1", "nobody"):
        assert (await phone.register(to_user=victim)).code == 403
    assert await edge.daemon.control.registrations() == {}


async def test_a_replayed_digest_is_refused(edge: Edge) -> None:
    await edge.daemon.add("alice-k3f9", "alice")
    phone = await edge.phone("udp", "alice-k3f9")
    phone.endpoint.send(phone.request("REGISTER", URI, to=f"<sip:alice@{DOMAIN}>"))
    value = credentials((await phone.final())["WWW-Authenticate"], "alice-k3f9", "secret", "REGISTER", URI)
    codes = []
    for _ in range(2):
        headers = (f"Authorization: {value}",)
        phone.endpoint.send(phone.request("REGISTER", URI, to=f"<sip:alice@{DOMAIN}>", headers=headers))
        codes.append((await phone.final()).code)
    assert codes == [200, 401]


async def test_a_challenge_is_good_only_for_the_address_it_was_sent_to(edge: Edge) -> None:
    await edge.daemon.add("alice-k3f9", "alice")
    here, elsewhere = await edge.phone("udp", "alice-k3f9"), await edge.phone("udp", "alice-k3f9", local_ip="127.0.0.2")
    here.endpoint.send(here.request("REGISTER", URI))
    value = credentials((await here.final())["WWW-Authenticate"], "alice-k3f9", "secret", "REGISTER", URI)
    elsewhere.endpoint.send(elsewhere.request("REGISTER", URI, headers=(f"Authorization: {value}",)))
    reply = await elsewhere.final()
    assert reply.code == 401
    assert "stale=true" in reply["WWW-Authenticate"]


async def test_a_revoked_device_is_forgotten_at_once(edge: Edge) -> None:
    await edge.daemon.add("alice-k3f9", "alice")
    phone = await edge.phone("udp", "alice-k3f9")
    assert (await phone.register()).code == 200
    await edge.daemon.control.drop_device("alice-k3f9")
    assert await edge.daemon.control.registrations() == {}
    assert (await phone.register()).code == 401


async def test_a_device_registers_from_a_few_places_and_no_more(edge: Edge) -> None:
    await edge.daemon.add("alice-k3f9", "alice")
    codes = [(await (await edge.phone("udp", "alice-k3f9")).register()).code for _ in range(4)]
    assert codes[:3] == [200, 200, 200]
    assert codes[3] != 200
    assert len(await edge.daemon.control.contacts("alice-k3f9")) == 3


async def test_a_registration_is_neither_too_short_nor_too_long(edge: Edge) -> None:
    await edge.daemon.add("alice-k3f9", "alice")
    phone = await edge.phone("udp", "alice-k3f9")
    too_short = await phone.register(expires_s=5)
    assert (too_short.code, too_short["Min-Expires"]) == (423, "60") or too_short.code == 200
    assert (await phone.register(expires_s=100000)).code == 200
    [contact] = await edge.daemon.control.contacts("alice-k3f9")
    assert 0 < contact.expires_s <= edge.plan.registration_max_s


async def test_before_the_daemon_has_spoken_nobody_is_told_that_the_password_is_wrong(running: object) -> None:
    """A phone that is told 401 twice may give up for good; 503 makes it try again."""
    daemon = Daemon(running)  # type: ignore[arg-type]
    edge = Edge(running, daemon)  # type: ignore[arg-type]
    phone = await edge.phone("udp", "alice-k3f9")
    phone.endpoint.send(phone.request("REGISTER", URI))
    reply = await phone.final()
    phone.endpoint.close()
    assert reply.code == 503
    assert reply["Retry-After"]


@pytest.mark.parametrize("proto", ["udp", "tcp", "tls"])
async def test_a_phone_behind_nat_is_reached_where_it_came_from(edge: Edge, proto: str) -> None:
    await edge.daemon.add("bob-1", "bob")
    phone = await edge.phone(proto, "bob-1", "bob")
    phone.contact = f"sip:bob@10.255.255.1:5999;transport={proto}"
    assert (await phone.register()).code == 200
    await dial(edge, await edge.worker(), ToDevices(("bob-1",), "tls" if proto == "tls" else "plain"))
    await request(phone.endpoint, "INVITE")


async def test_a_lost_connection_is_no_longer_rung(edge: Edge) -> None:
    await edge.daemon.add("bob-1", "bob")
    phone = await edge.phone("tls", "bob-1", "bob")
    assert (await phone.register()).code == 200
    phone.endpoint.close()
    await asyncio.sleep(0.3)
    caller = await dial(edge, await edge.worker(), ToDevices(("bob-1",), "tls"))
    assert (await caller.final()).code == 480


async def test_ha1_is_what_a_phone_computes() -> None:
    assert ha1("alice", "test.lan", "secret") == md5("alice:test.lan:secret")
