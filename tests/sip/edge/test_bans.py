"""Floods, scanners and guessers: real events only, and never a whole office for one bad phone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from sip.edge.protocol import Banned
from sip.edge.template import EdgePlan
from tests.peers.sipclient import Phone, credentials
from tests.sip.edge.conftest import DOMAIN, Daemon, Edge, bent, run

URI = f"sip:{DOMAIN}"
OFFICE, OUTSIDER = "127.0.0.2", "127.0.0.3"


async def guess(phone: Phone, times: int) -> int:
    """Registers with a wrong password so often. Returns how often it was answered."""
    for done in range(times):
        try:
            async with asyncio.timeout(0.6):
                assert (await phone.register()).code == 401
        except TimeoutError:
            return done
    return times


async def answered(phone: Phone) -> bool:
    phone.endpoint.send(phone.request("OPTIONS", URI))
    try:
        return (await phone.final(0.4)).code == 200
    except TimeoutError:
        return False


@pytest.mark.promise("4.1")
@pytest.mark.parametrize("user", ["alice-k3f9", "nobody-1234"])
async def test_a_guesser_is_banned_and_the_daemon_told(edge: Edge, user: str) -> None:
    await edge.daemon.add("alice-k3f9", "alice")
    guesser = await edge.phone("udp", user, password="guess", local_ip=OUTSIDER)
    assert await guess(guesser, 10) < 7
    assert not await answered(await edge.phone("udp", "x", local_ip=OUTSIDER))
    assert await answered(await edge.phone("udp", "x"))
    bans = {ban.source: ban for ban in await edge.daemon.control.bans()}
    ban = bans[OUTSIDER]
    assert ban.why == "credentials"
    assert 0 < (ban.until - datetime.now(UTC)).total_seconds() <= edge.plan.limits.ban_s + 1
    assert Banned(OUTSIDER, "credentials") in edge.daemon.events


async def test_a_ban_can_be_lifted(edge: Edge) -> None:
    guesser = await edge.phone("tcp", "nobody", password="guess", local_ip=OUTSIDER)
    await guess(guesser, 10)
    assert not await answered(guesser)
    for ban in await edge.daemon.control.bans():
        assert await edge.daemon.control.lift_ban(ban.source)
    assert await edge.daemon.control.bans() == []
    assert await answered(guesser)
    assert not await edge.daemon.control.lift_ban(OUTSIDER)


@pytest.mark.promise("4.1")
@pytest.mark.parametrize("proto", ["udp", "tcp", "tls"])
async def test_an_office_is_not_banned_for_one_bad_phone(edge: Edge, proto: str) -> None:
    await edge.daemon.add("alice-k3f9", "alice")
    good = await edge.phone(proto, "alice-k3f9", local_ip=OFFICE)
    assert (await good.register()).code == 200
    bad = await edge.phone(proto, "alice-k3f9", password="guess", local_ip=OFFICE)
    assert await guess(bad, 10) < 7
    assert not await answered(bad)
    assert (await good.register()).code == 200
    host, port = bad.endpoint.local
    assert [ban.source for ban in await edge.daemon.control.bans()] == [f"{proto}:{host}:{port}"]


async def test_a_forged_answer_bans_nobody_else(edge: Edge) -> None:
    """A nonce fetched from one address and used, wrongly, under another's name counts against nobody."""
    attacker = await edge.phone("udp", "alice-k3f9", local_ip=OUTSIDER)
    victim = await edge.phone("udp", "alice-k3f9", local_ip=OFFICE)
    for _ in range(10):
        attacker.endpoint.send(attacker.request("REGISTER", URI))
        challenge = (await attacker.final())["WWW-Authenticate"]
        value = credentials(challenge, "alice-k3f9", "guess", "REGISTER", URI)
        victim.endpoint.send(victim.request("REGISTER", URI, headers=(f"Authorization: {value}",)))
        await victim.final()
    assert await edge.daemon.control.bans() == []


async def test_scanners_get_no_answer(edge: Edge) -> None:
    scanner = await edge.phone("udp", "100", local_ip=OUTSIDER)
    for _ in range(8):
        scanner.endpoint.send(
            scanner.request("OPTIONS", "sip:100@127.0.0.1", headers=("User-Agent: friendly-scanner",))
        )
    assert await scanner.endpoint.silent(0.3)
    assert not await answered(scanner)
    [ban] = await edge.daemon.control.bans()
    assert (ban.source, ban.why) == (f"udp:{OUTSIDER}:{scanner.endpoint.local[1]}", "scanner")
    assert await answered(await edge.phone("udp", "x", local_ip=OUTSIDER))  # a UDP source is forged with ease


@pytest.mark.promise("4.1")
async def test_a_flood_is_banned_while_its_office_goes_on(edge: Edge) -> None:
    await edge.daemon.add("alice-k3f9", "alice")
    good = await edge.phone("udp", "alice-k3f9", local_ip=OFFICE)
    assert (await good.register()).code == 200
    flood = await edge.phone("udp", "x", local_ip=OFFICE)
    for _ in range(12):
        for _ in range(50):
            flood.endpoint.send(flood.request("OPTIONS", URI))
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    bans = [(ban.source, ban.why) for ban in await edge.daemon.control.bans()]
    assert bans == [(f"udp:{OFFICE}:{flood.endpoint.local[1]}", "flood")]
    assert (await good.register()).code == 200


@asynccontextmanager
async def limited(plan: EdgePlan, **limits: int) -> AsyncIterator[Edge]:
    """An edge with these limits."""
    narrow = bent(plan, **limits)
    async with run(narrow):
        daemon = Daemon(narrow)
        await daemon.start()
        edge = Edge(narrow, daemon)
        try:
            yield edge
        finally:
            await edge.close()


async def test_one_user_may_not_ask_without_end(plan: EdgePlan) -> None:
    async with limited(plan, requests_per_user_per_s=3) as edge:
        await edge.daemon.add("alice-k3f9", "alice")
        replies = []
        for _ in range(10):
            phone = await edge.phone("udp", "alice-k3f9")
            replies.append(await phone.authenticated("MESSAGE", f"sip:bob@{DOMAIN}"))
        codes = [reply.code for reply in replies]
        assert codes.count(404) >= 3
        assert 503 in codes
        assert all(reply["Retry-After"] for reply in replies if reply.code == 503)
        assert await edge.daemon.control.bans() == []


async def test_strangers_are_held_back_by_address_but_an_office_is_told_to_wait(plan: EdgePlan) -> None:
    codes: dict[str, list[int]] = {OFFICE: [], OUTSIDER: []}
    async with limited(plan, requests_per_source_per_s=5) as edge:
        await edge.daemon.add("alice-k3f9", "alice")
        known = await edge.phone("udp", "alice-k3f9", local_ip=OFFICE)
        assert (await known.register()).code == 200
        for address, seen in codes.items():
            phones = [await edge.phone("udp", "x", local_ip=address) for _ in range(20)]
            for phone in phones:
                phone.endpoint.send(phone.request("REGISTER", URI))
            for _ in range(8 if address == OFFICE else 0):  # as timer E does (RFC 3261 17.1.2.2): UDP may lose one
                await asyncio.sleep(0.5)
                for phone in phones:
                    if phone.endpoint.inbox.empty():
                        phone.endpoint.send(phone.request("REGISTER", URI))
            await asyncio.sleep(0.3)
            for phone in phones:
                silent = phone.endpoint.inbox.empty()
                seen.append(0 if silent else phone.endpoint.inbox.get_nowait().code)
    assert 503 in codes[OFFICE] and 0 not in codes[OFFICE]
    assert 0 in codes[OUTSIDER] and 503 not in codes[OUTSIDER]


async def test_options_is_answered_alike_for_everybody(edge: Edge) -> None:
    await edge.daemon.add("alice-k3f9", "alice")
    phone = await edge.phone("udp", "x")
    texts = []
    for target in (URI, f"sip:alice@{DOMAIN}", f"sip:nobody@{DOMAIN}"):
        phone.endpoint.send(phone.request("OPTIONS", target))
        reply = await phone.final()
        assert reply.code == 200
        texts.append(sorted(name for name, _ in reply.headers))
        assert "amailio" not in reply.text()
        assert not reply["Server"]
    assert texts[0] == texts[1] == texts[2]


@pytest.mark.parametrize("method", ["SUBSCRIBE", "PUBLISH", "NOTIFY", "BYE", "PRACK", "FOO", "INFO"])
async def test_what_the_edge_does_not_do_it_refuses(edge: Edge, method: str) -> None:
    phone = await edge.phone("udp", "x")
    phone.endpoint.send(phone.request(method, f"sip:bob@{DOMAIN}"))
    assert (await phone.final()).code == 405
