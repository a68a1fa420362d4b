"""One person with a phone on TLS and one on UDP: both ring, the first answer wins, and neither is offered the wrong."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest

from tests.e2e import scene
from tests.e2e.rawphone import RawPhone, raw_phone
from tests.peers import tones
from tests.peers.baresip import Phone
from tests.peers.product import Product

pytestmark = [pytest.mark.e2e]

_extensions = itertools.count(600)


def person(product: Product, name: str) -> str:
    """A new account; its extension."""
    extension = str(next(_extensions))
    product.add_account(name, extension)
    return extension


@pytest.fixture(scope="module")
def caller(shared_product: Product) -> Iterator[Phone]:
    with shared_product.phone("alice", "alice", says=tones.tone(400, 60)) as phone:
        phone.registered()
        yield phone


def begin(phone: Phone, number: str) -> int:
    """Dials; where this call's events begin."""
    since = len(phone.events)
    phone.dial(number)
    return since


async def rest(phone: RawPhone) -> list[str]:
    """Whatever else this phone is sent."""
    await asyncio.sleep(0.5)
    return [phone.endpoint.inbox.get_nowait().start for _ in range(phone.endpoint.inbox.qsize())]


@pytest.mark.promise("P1", "P2", "0.1")
@pytest.mark.parametrize("first", ["tls", "udp"])
async def test_each_is_offered_its_own_kind_and_the_slower_is_cancelled(
    shared_product: Product, caller: Phone, first: str
):
    extension = person(shared_product, f"twice-{first}")
    async with (
        raw_phone(shared_product, f"twice-{first}", "tls") as secure,
        raw_phone(shared_product, f"twice-{first}", "udp") as plain,
    ):
        await secure.register()
        await plain.register()
        since = begin(caller, extension)
        on_tls, on_udp = await asyncio.gather(secure.invited(), plain.invited())
        assert "RTP/SAVP " in on_tls.offered and "a=crypto:" in on_tls.offered
        assert "RTP/AVP " in on_udp.offered and "a=crypto:" not in on_udp.offered
        for phone, invited in ((secure, on_tls), (plain, on_udp)):
            phone.reply(invited, 180, "Ringing")
        winner, won = (secure, on_tls) if first == "tls" else (plain, on_udp)
        loser, lost = (plain, on_udp) if first == "tls" else (secure, on_tls)
        winner.accept(won)
        cancelled = await loser.ended("CANCEL")
        assert cancelled["Call-ID"] == lost.request["Call-ID"]
        loser.reply(lost, 487, "Request Terminated")
        await asyncio.to_thread(caller.wait, "CALL_ESTABLISHED", since=since)
        caller.hang_up()
        bye = await winner.ended()
        assert bye["Call-ID"] == won.request["Call-ID"]
        # The 487 is acknowledged, and neither was ever offered anything else.
        assert (await loser.request("ACK"))["Call-ID"] == lost.request["Call-ID"]
        assert await rest(winner) == await rest(loser) == []


@pytest.mark.promise("P1", "P2", "3.1")
def test_two_real_phones_ring_and_the_one_that_answers_talks(shared_product: Product, caller: Phone):
    extension = person(shared_product, "bert")
    secure = shared_product.phone("bert-tls", "bert", "tls", says=tones.tone(500, 30))
    plain = shared_product.phone("bert-udp", "bert", "udp", says=tones.tone(800, 30))
    with secure, plain:
        scene.registered(secure, plain)
        since = begin(caller, extension)
        secure.wait("CALL_INCOMING")
        plain.wait("CALL_INCOMING")
        plain.answer()
        secure.closed()
        assert secure.count("CALL_ESTABLISHED") == 0
        caller.wait("CALL_ESTABLISHED", since=since)
        scene.talk(1.5)
        caller.hang_up()
        plain.closed()
        caller.wait("CALL_CLOSED", since=since)
    assert tones.shares(caller.heard(), (400, 500, 800), skip=0.3)[800] > 0.9
    assert tones.shares(plain.heard(), (400, 500, 800), skip=0.3)[400] > 0.9
    assert [e["param"] for e in secure.events if e["type"] == "CALL_MENC"] == []
    assert scene.story(secure.heard()) == []


@pytest.mark.promise("P1")
def test_a_phone_that_is_revoked_rings_no_more_and_the_other_does(shared_product: Product, caller: Phone):
    extension = person(shared_product, "carla")
    lost, kept = shared_product.login("carla"), shared_product.login("carla")
    stolen = shared_product.phone("stolen", lost, "tls", says=tones.silence(10))
    with stolen, shared_product.phone("kept", kept, "tls", says=tones.silence(10)) as mine:
        scene.registered(stolen, mine)
        shared_product.cli("device", "revoke", lost.user)
        since = begin(caller, extension)
        mine.wait("CALL_INCOMING")
        mine.answer()
        caller.wait("CALL_ESTABLISHED", since=since)
        caller.hang_up()
        mine.closed()
        assert stolen.count("CALL_INCOMING") == 0


@pytest.mark.promise("P2", "0.1")
async def test_a_caller_on_tls_without_srtp_is_refused_and_so_are_keys_in_clear(shared_product: Product):
    extension = person(shared_product, "dora")
    async with (
        raw_phone(shared_product, "bob", "tls") as secure,
        raw_phone(shared_product, "bob", "udp") as plain,
        raw_phone(shared_product, "dora", "udp") as called,
    ):
        await called.register()
        secure.secure, plain.secure = False, True
        assert (await secure.call(extension)).code == 488
        assert (await plain.call(extension)).code == 488
        assert await called.endpoint.silent()
