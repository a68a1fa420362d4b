"""Wrong passwords, forged names, replays, floods and rubbish: the right answer, and the whole product stands."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.e2e import scene
from tests.e2e.rawphone import SDP_KIND, RawPhone, raw_phone
from tests.peers import tones
from tests.peers.baresip import Login, Phone
from tests.peers.processes import tree
from tests.peers.product import Product
from tests.peers.sipclient import Message, credentials

pytestmark = [pytest.mark.e2e]

FAILURES, BAN_S = 8, 60


@pytest.fixture(scope="module")
def product(product_seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    made = Product(tmp_path_factory.mktemp("strangers") / "product", *product_seed)
    made.configure(limits__auth_failures_per_source=FAILURES, limits__ban_s=BAN_S, limits__auth_failure_window_s=10)
    made.configure(calls__max_per_account=10)
    with made:
        yield made


@pytest.fixture(scope="module")
def office(product: Product) -> Iterator[tuple[Phone, Phone]]:
    """Two phones that work, behind one address."""
    alice = product.phone("alice", "alice", "udp", says=tones.silence(60))
    bob = product.phone("bob", "bob", "tls", says=tones.silence(60))
    with alice, bob:
        scene.registered(alice, bob)
        yield alice, bob


def settled(product: Product) -> set[int]:
    """The same, once two looks agree: a worker of the call before may just be leaving."""
    found = identities(product)
    for _ in range(20):
        time.sleep(0.3)
        found, last = identities(product), found
        if found == last:
            break
    return found


@pytest.fixture(autouse=True)
def nothing_crashes(product: Product, office: tuple[Phone, Phone]) -> Iterator[None]:
    """After each test: the same processes, no worker lost, and the office can still call."""
    before = settled(product)
    crashed = product.metric("beffroi_workers_crashed_total")
    yield
    assert product.health()[0] == 200
    assert settled(product) == before
    assert product.metric("beffroi_workers_crashed_total") == crashed
    alice, bob = office
    since = len(alice.events), len(bob.events)
    alice.dial("102")
    bob.wait("CALL_INCOMING", since=since[1])
    alice.hang_up()
    bob.wait("CALL_CLOSED", since=since[1])
    alice.wait("CALL_CLOSED", since=since[0])


def identities(product: Product) -> set[int]:
    """Process ids of daemon, recorder, zygote, edge and Kamailio; workers come and go."""
    assert product.daemon is not None and product.edge is not None
    alive = tree([product.daemon.pid, product.edge.pid])
    return {p.pid for p in alive if "zygote" not in p.command or p.parent == product.daemon.pid}


@asynccontextmanager
async def stranger(product: Product, login: Login, transport: Any = "udp", *, address: str) -> AsyncIterator[RawPhone]:
    async with raw_phone(product, login, transport, address=address) as phone:
        yield phone


def wrong(product: Product, user: str = "alice") -> Login:
    return Login(user, product.domain, "not the password")


async def try_to_register(phone: RawPhone) -> Message:
    return await phone.fresh().register()


# --- who are you ------------------------------------------------------------------------------------------------------


@pytest.mark.promise("0.4", "4.1")
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(product: Product, transport: str):
    known = product.shown["devices"][0]["user"]
    address = {"udp": "127.0.0.15", "tcp": "127.0.0.16", "tls": "127.0.0.17"}[transport]
    answers = []
    for user in (known, "nobody-x1y2"):
        async with stranger(product, wrong(product, user), transport, address=address) as phone:
            for reply in (await try_to_register(phone), await phone.call("102")):
                names = sorted(name for name, _ in reply.headers)
                answers.append((reply.code, reply.start, names))
    assert answers[:2] == answers[2:]
    assert [code for code, *_ in answers] == [401, 407, 401, 407]


@pytest.mark.promise("0.4", "1.21")
@pytest.mark.parametrize("forged", ["102", "bob", "999", "anybody"])
async def test_a_forged_from_is_refused(product: Product, office: tuple[Phone, Phone], forged: str):
    rung = len(office[1].events)
    async with raw_phone(product, "alice") as phone:
        sent = await phone.dial("102", from_uri=f"sip:{forged}@{product.domain}")
        reply = await phone.phone.final()
        assert reply.code == 403
        phone.endpoint.send(phone.phone.ack(sent.uri, reply))
    assert [e["type"] for e in office[1].events[rung:]] == []


@pytest.mark.promise("0.4")
async def test_nobody_registers_for_somebody_else(product: Product):
    async with raw_phone(product, "alice") as phone:
        reply = await phone.fresh().register(to_user="bob")
        assert reply.code == 403


@pytest.mark.promise("4.1")
async def test_a_digest_counts_once(product: Product):
    """What was overheard is of no use: not again, not with the next count, not from another address."""
    login = product.login("alice")
    async with raw_phone(product, login) as phone, stranger(product, login, address="127.0.0.12") as thief:
        mine = phone.fresh()
        uri = f"sip:{login.domain}"
        to = f"<sip:{login.user}@{login.domain}>"
        phone.endpoint.send(mine.request("REGISTER", uri, to=to))
        challenge = (await mine.final())["WWW-Authenticate"]
        value = credentials(challenge, login.user, login.password, "REGISTER", uri)
        header = (f"Authorization: {value}", "Expires: 60")
        phone.endpoint.send(mine.request("REGISTER", uri, to=to, headers=header))
        assert (await mine.final()).code == 200
        for who in (phone, thief):
            copy = who.fresh()
            who.endpoint.send(copy.request("REGISTER", uri, to=to, headers=header))
            assert (await copy.final()).code == 401
        # An answer for one method is none for another, even if it were not used up.
        other = phone.fresh()
        invite = f"sip:102@{login.domain}"
        bent = value.replace("nc=00000001", "nc=00000002")
        text = other.request("INVITE", invite, headers=(SDP_KIND, f"Proxy-Authorization: {bent}"), body=phone.sdp())
        phone.endpoint.send(text)
        reply = await other.final()
        assert reply.code == 407
        phone.endpoint.send(other.ack(invite, reply))


@pytest.mark.promise("4.1")
async def test_options_are_answered_and_tell_nothing(product: Product):
    async with stranger(product, wrong(product), address="127.0.0.13") as phone:
        seen = set()
        for user in ("102", "alice", "nobody", "*43"):
            one = phone.fresh()
            phone.endpoint.send(one.request("OPTIONS", f"sip:{user}@{product.domain}"))
            reply = await one.final()
            seen.add((reply.start, tuple(sorted(name for name, _ in reply.headers))))
        assert len(seen) == 1 and seen.pop()[0] == "SIP/2.0 200 OK"


# --- floods and bans --------------------------------------------------------------------------------------------------


@pytest.mark.promise("4.1", "2.22")
async def test_who_guesses_is_banned_for_a_while_and_the_office_goes_on(product: Product):
    bans = product.metric("beffroi_bans_total")
    async with stranger(product, wrong(product), address="127.0.0.21") as guesser:
        for _ in range(FAILURES + 2):
            try:
                assert (await try_to_register(guesser)).code == 401
            except TimeoutError:
                break
        bans_of = {ban["source"]: ban["why"] for ban in product.json("ban", "list")}
        assert bans_of["127.0.0.21"] == "credentials"
        assert product.metric("beffroi_bans_total") > bans
        guesser.endpoint.send(guesser.fresh().request("OPTIONS", f"sip:{product.domain}"))
        assert await guesser.endpoint.silent()
    # Another port of the banned address is as little listened to; another address is.
    async with (
        stranger(product, wrong(product), address="127.0.0.21") as banned,
        stranger(product, wrong(product), address="127.0.0.22") as neighbour,
    ):
        for phone in (banned, neighbour):
            phone.endpoint.send(phone.fresh().request("OPTIONS", f"sip:{product.domain}"))
        assert (await neighbour.endpoint.receive()).code == 200
        assert await banned.endpoint.silent()
        for ban in product.json("ban", "list"):
            product.cli("ban", "lift", ban["source"])
        banned.endpoint.send(banned.fresh().request("OPTIONS", f"sip:{product.domain}"))
        assert (await banned.endpoint.receive()).code == 200


@pytest.mark.promise("4.1")
async def test_a_bad_phone_in_the_office_is_banned_alone(product: Product):
    """Somebody has registered from that address: only the one connection is shut out."""
    async with raw_phone(product, "alice", address="127.0.0.23") as good:
        await good.register()
        async with stranger(product, wrong(product), address="127.0.0.23") as bad:
            for _ in range(FAILURES + 4):
                try:
                    await try_to_register(bad)
                except TimeoutError:
                    break
            bad.endpoint.send(bad.fresh().request("OPTIONS", f"sip:{product.domain}"))
            assert await bad.endpoint.silent()
        await good.register()
        sources = {ban["source"] for ban in product.json("ban", "list")}
        assert "127.0.0.23" not in sources
        assert any(source.startswith("udp:127.0.0.23:") for source in sources)


@pytest.mark.promise("4.1")
async def test_a_flood_is_not_served_and_ends_in_a_ban(product: Product, office: tuple[Phone, Phone]):
    alice, bob = office
    async with stranger(product, wrong(product), address="127.0.0.24") as flooder:
        since = len(bob.events)
        for n in range(3000):
            flooder.endpoint.send(flooder.fresh().request("OPTIONS", f"sip:{product.domain}"))
            if n % 50 == 0:
                await asyncio.sleep(0.01)
        alice.dial("102")
        await asyncio.to_thread(bob.wait, "CALL_INCOMING", since=since)
        alice.hang_up()
        await asyncio.to_thread(bob.wait, "CALL_CLOSED", since=since)
        assert flooder.endpoint.inbox.qsize() < 1000
        assert "127.0.0.24" in " ".join(ban["source"] for ban in product.json("ban", "list"))


# --- rubbish ----------------------------------------------------------------------------------------------------------


def rubbish(chance: random.Random, domain: str, n: int) -> bytes:
    """An INVITE, cut, flipped, or with a part too long."""
    good = (
        f"INVITE sip:102@{domain} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.31:5060;branch=z9hG4bKr{n};rport\r\n"
        f"From: <sip:alice@{domain}>;tag={n}\r\nTo: <sip:102@{domain}>\r\n"
        f"Call-ID: rubbish{n}\r\nCSeq: {n + 1} INVITE\r\n"
        f"Max-Forwards: 70\r\nContact: <sip:alice@127.0.0.31>\r\nContent-Type: application/sdp\r\n"
        f"Content-Length: 20\r\n\r\nv=0\r\nm=audio x y z\r\n"
    ).encode()
    kind = n % 4
    if kind == 0:
        return good[: chance.randrange(1, len(good))]
    if kind == 1:
        flipped = bytearray(good)
        for _ in range(chance.randrange(1, 8)):
            flipped[chance.randrange(len(flipped))] = chance.randrange(256)
        return bytes(flipped)
    if kind == 2:
        return good.replace(b"alice", b"a" * chance.choice([300, 5000, 40000]), 1)
    return chance.randbytes(chance.randrange(1, 1400))


@pytest.mark.promise("4.1")
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_rubbish_breaks_nothing(product: Product, transport: Any):
    chance = random.Random(transport)  # noqa: S311 - the same rubbish each time
    for n in range(60):
        address = f"127.0.1.{n + 1}"
        async with stranger(product, wrong(product), transport, address=address) as phone:
            phone.endpoint.send(rubbish(chance, product.domain, n)[:60000])
    await asyncio.sleep(0.3)


_HEAD = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
OFFERS = {
    "cut": "v=0",
    "text": "not sdp at all",
    "port 0": _HEAD + "m=audio 0 RTP/AVP 8\r\n",
    "video": _HEAD + "m=video 4000 RTP/AVP 96\r\n",
    "bad numbers": _HEAD.replace("127.0.0.1\r\nt", "256.1.1.1\r\nt") + "m=audio 99999 RTP/AVP 8\r\n",
    "no common codec": _HEAD + "m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n",
}


async def test_an_offer_that_cannot_be_taken_is_refused_and_costs_no_worker(product: Product):
    """By somebody with good credentials: it goes all the way to a worker."""
    login = product.login("alice")

    async def offer(body: str) -> Message:
        async with raw_phone(product, login) as phone:
            phone.sdp = lambda **_: body  # type: ignore[method-assign]
            return await phone.call("*43")

    replies = await asyncio.gather(*(offer(body) for body in OFFERS.values()))
    assert {name: reply.code // 100 for name, reply in zip(OFFERS, replies, strict=True)} == dict.fromkeys(OFFERS, 4)
    scene.until(lambda: not scene.live_calls(product), "their places are free again", 6, every_s=0.3)


async def test_a_caller_without_an_offer_who_answers_none_is_hung_up_on(product: Product):
    """RFC 3261 section 13.2.1: then the offer is ours, in the 200, and the answer belongs into the ACK."""
    async with raw_phone(product, "alice") as phone:
        phone.sdp = lambda **_: ""  # type: ignore[method-assign]
        assert (await phone.call("*43")).code == 200
        assert (await phone.ended(timeout_s=15))["Reason"].startswith("SIP;cause=408")
    scene.until(lambda: not scene.live_calls(product), "its place is free again", 6, every_s=0.3)
