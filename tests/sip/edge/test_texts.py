"""Texts from phones and providers, asked; and texts to them, with what has come of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sip.edge.messages import Answered, NotSent, Sent, Silent
from sip.edge.protocol import TEXT_MAX_BYTES, Reply
from sip.edge.template import EdgePlan
from tests.peers.ports import Ports
from tests.peers.provider import DOMAIN as PROVIDER_DOMAIN
from tests.peers.provider import Provider
from tests.peers.sipclient import Endpoint, Message, Phone, answer
from tests.sip.edge.calling import request
from tests.sip.edge.conftest import DOMAIN, Edge
from tests.sip.edge.test_bans import limited
from tests.sip.edge.test_calls import alice, bob
from tests.sip.edge.test_certificates import by_tls, edge_of
from tests.sip.edge.test_trunks import NUMBER, subscriber, trunk

PLAIN = ("Content-Type: text/plain;charset=UTF-8",)
TEXT = 'Réunion à 14 h : "salle 3" 👍 $var(x) %s'


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    ports = Ports()
    with Provider(tmp_path_factory.mktemp("provider") / "p", ports) as running:
        yield running
    ports.close()


@pytest.fixture
async def line(edge: Edge, provider: Provider) -> AsyncIterator[Edge]:
    provider.behave_well()
    await edge.daemon.control.replace_trunks([trunk(provider)])
    yield edge
    await edge.daemon.control.replace_trunks([])


async def doris(edge: Edge, provider: Provider) -> Endpoint:
    endpoint = await Endpoint.connect("udp", (provider.address, provider.port()))
    edge.endpoints.append(endpoint)
    subscriber(provider, endpoint)
    return endpoint


# --- from phones ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proto", "size", "code"),
    [("udp", 1300, 202), ("udp", 1301, 513), ("tcp", 8000, 202), ("tls", 8000, 202), ("tls", 8001, 413)],
)
async def test_how_long_a_text_may_be(edge: Edge, proto: str, size: int, code: int) -> None:
    phone = await alice(edge, proto)
    edge.daemon.decide = lambda asked: Reply(202, "Accepted")
    reply = await phone.authenticated("MESSAGE", f"sip:bob@{DOMAIN}", headers=PLAIN, body="x" * size)
    assert reply.code == code
    assert [len(asked.body) for asked in edge.daemon.asked] == ([size] if code == 202 else [])


async def test_what_is_packed_is_not_asked(edge: Edge) -> None:
    phone = await alice(edge)
    headers = (*PLAIN, "Content-Encoding: deflate")
    reply = await phone.authenticated("MESSAGE", f"sip:bob@{DOMAIN}", headers=headers, body="x")
    assert (reply.code, reply["Accept-Encoding"]) == (415, "identity")
    assert edge.daemon.asked == []


@pytest.mark.parametrize(
    ("code", "header", "value"),
    [(415, "Accept", "text/plain, message/cpim"), (405, "Allow", "INVITE, ACK"), (503, "Retry-After", "30")],
)
async def test_a_refusal_says_what_would_do(edge: Edge, code: int, header: str, value: str) -> None:
    phone = await alice(edge)
    edge.daemon.decide = lambda asked: Reply(code, "As Decided")
    reply = await phone.authenticated("MESSAGE", f"sip:bob@{DOMAIN}", headers=PLAIN, body="x")
    assert (reply.code, reply.start.split(" ", 2)[2]) == (code, "As Decided")
    assert reply[header].startswith(value)


async def test_a_daemon_that_says_nothing(edge: Edge) -> None:
    phone = await alice(edge)

    async def never(asked: object) -> Reply:
        await asyncio.Event().wait()
        return Reply(202, "Accepted")

    edge.daemon.decide = never
    reply = await phone.authenticated("MESSAGE", f"sip:bob@{DOMAIN}", headers=PLAIN, body="x")
    assert (reply.code, bool(reply["Retry-After"])) == (503, True)


async def test_a_repetition_is_asked_once(edge: Edge) -> None:
    phone = await alice(edge)
    edge.daemon.decide = lambda asked: Reply(202, "Accepted")
    sent: list[str] = []
    send = phone.endpoint.send
    phone.endpoint.send = lambda data: (sent.append(str(data)), send(data))[1]  # type: ignore[method-assign]
    assert (await phone.authenticated("MESSAGE", f"sip:bob@{DOMAIN}", headers=PLAIN, body="x")).code == 202
    for _ in range(3):
        send(sent[-1])
        assert (await phone.final()).code == 202
    assert len(edge.daemon.asked) == 1


@pytest.mark.promise("4.1")
async def test_one_device_that_floods_is_told_to_wait_and_nobody_else(plan: EdgePlan) -> None:
    async with limited(plan, texts_per_user_per_min=5) as edge:
        flood, good = await alice(edge), await bob(edge, "tls")
        edge.daemon.decide = lambda asked: Reply(202, "Accepted")
        uri = f"sip:bob@{DOMAIN}"
        replies = [await flood.authenticated("MESSAGE", uri, headers=PLAIN, body="x") for _ in range(9)]
        assert [reply.code for reply in replies] == [202] * 5 + [503] * 4
        assert all(reply["Retry-After"] == "60" for reply in replies[5:])
        assert len(edge.daemon.asked) == 5
        assert (await good.authenticated("MESSAGE", uri, headers=PLAIN, body="x")).code == 202
        edge.daemon.decide = lambda asked: Reply(486, "Busy Here")
        assert (await flood.authenticated("INVITE", uri)).code == 486  # calls are not held back
        await edge.daemon.control.push_emergency(["112"], [])
        assert (await flood.authenticated("INVITE", f"sip:112@{DOMAIN}")).code == 486
        assert edge.daemon.asked[-1].emergency
        assert await edge.daemon.control.bans() == []


# --- from a provider --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["address", "registration"])
async def test_a_text_comes_in_by_a_trunk(edge: Edge, provider: Provider, how: str) -> None:
    provider.behave_well()
    await edge.daemon.control.replace_trunks([trunk(provider, register=how == "registration")])
    far = await doris(edge, provider)
    if how == "registration":
        await asyncio.to_thread(provider.wait_registered)
        provider.calls_by_registration()
    else:
        provider.calls_by_address("{}:{}".format(*edge.address("udp")))
    edge.daemon.decide = lambda asked: Reply(202, "Accepted")
    writer = Phone(far, PROVIDER_DOMAIN, NUMBER, "", "")
    pai = "P-Asserted-Identity: <sip:+33699999999@sip.provider.test>"
    far.send(writer.request("MESSAGE", f"sip:+33170000001@{PROVIDER_DOMAIN}", headers=(*PLAIN, pai), body=TEXT))
    assert (await writer.final()).code == 202
    [asked] = edge.daemon.asked
    assert (asked.kind, asked.trunk, asked.auth_user) == ("message", "t1", "")
    assert (asked.from_user, asked.to_user, asked.asserted) == (NUMBER, "+33170000001", "+33699999999")
    assert (asked.body.decode(), asked.content_type) == (TEXT, "text/plain;charset=UTF-8")
    await edge.daemon.control.replace_trunks([])


async def test_a_stranger_without_credentials_is_challenged(edge: Edge) -> None:
    stranger = await edge.phone("tcp", "+33612345678")
    stranger.endpoint.send(stranger.request("MESSAGE", f"sip:bob@{DOMAIN}", headers=PLAIN, body="x"))
    assert (await stranger.final()).code == 407
    assert edge.daemon.asked == []


# --- to phones --------------------------------------------------------------------------------------------------------


async def sent_to_bob(edge: Edge, phone: Phone, text: str, reply: tuple[int, str] | None) -> tuple[Sent, Message]:
    [contact] = await edge.daemon.control.contacts("bob-1")
    task = asyncio.ensure_future(edge.daemon.control.send_text(contact, text, "+33612345678"))  # noqa: TID251
    received = await request(phone.endpoint, "MESSAGE")
    if reply is not None:
        phone.endpoint.send(answer(received, *reply))
    return await task, received


@pytest.mark.parametrize("proto", ["tcp", "tls"])
async def test_a_text_arrives_whole_over_a_stream_and_shows_whom_to_answer(edge: Edge, proto: str) -> None:
    phone = await bob(edge, proto)
    text = "é" * (TEXT_MAX_BYTES // 2)
    sent, received = await sent_to_bob(edge, phone, text, (200, "OK"))
    assert (sent, received.body.decode()) == (Answered(200), text)
    assert received["From"].startswith(f"<sip:+33612345678@{DOMAIN}>")
    assert not received["Contact"]


async def test_what_comes_of_a_text(edge: Edge) -> None:
    phone = await bob(edge, "udp")
    assert (await sent_to_bob(edge, phone, TEXT, (486, "Busy Here")))[0] == Answered(486)
    assert (await sent_to_bob(edge, phone, TEXT, (408, "Request Timeout")))[0] == Answered(408)
    assert (await sent_to_bob(edge, phone, TEXT, None))[0] == Silent()


async def test_a_phone_whose_connection_is_gone(edge: Edge) -> None:
    phone = await bob(edge, "tcp")
    [contact] = await edge.daemon.control.contacts("bob-1")
    phone.endpoint.close()
    sent = await edge.daemon.control.send_text(contact, TEXT, "101")
    assert isinstance(sent, NotSent | Silent)


async def test_without_an_edge_nothing_is_sent(edge: Edge) -> None:
    await bob(edge)
    [contact] = await edge.daemon.control.contacts("bob-1")
    await edge.daemon.stop()
    assert await edge.daemon.control.send_text(contact, TEXT, "101") == NotSent()
    assert await edge.daemon.control.send_text_by_trunk("t1", NUMBER, "101", TEXT) == NotSent()


# --- to a provider ----------------------------------------------------------------------------------------------------


async def by_trunk(edge: Edge, text: str = TEXT) -> Sent:
    return await edge.daemon.control.send_text_by_trunk("t1", NUMBER, "+33170000001", text)


async def test_a_text_leaves_by_a_trunk_and_proves_who_sends_it(line: Edge, provider: Provider) -> None:
    far = await doris(line, provider)
    before = len(provider.seen("MESSAGE", number=NUMBER))
    task = asyncio.ensure_future(by_trunk(line))  # noqa: TID251
    received = await request(far, "MESSAGE")
    far.send(answer(received, 202, "Accepted"))
    assert await task == Answered(202)
    assert received.body.decode() == TEXT
    tries = await asyncio.to_thread(provider.wait_seen, "MESSAGE", before + 2, number=NUMBER)
    challenged, proven = tries[before:]
    assert proven["Proxy-Authorization"] and not challenged["Proxy-Authorization"]
    assert proven.uri == f"sip:{NUMBER}@{PROVIDER_DOMAIN}"
    assert proven["From"].startswith(f"<sip:+33170000001@{PROVIDER_DOMAIN}>")
    assert proven["P-Asserted-Identity"] == f"<sip:+33170000001@{PROVIDER_DOMAIN}>"
    assert DOMAIN not in proven.text() and not proven["Contact"]


@pytest.mark.parametrize(
    ("does", "wanted", "tries"),
    [("503", Answered(503), 1), ("403", Answered(403), 1), ("challenge", Answered(407), 2), ("silent", Silent(), 1)],
)
async def test_what_a_provider_says_to_a_text(
    line: Edge, provider: Provider, does: str, wanted: Sent, tries: int
) -> None:
    before = len(provider.seen("MESSAGE", number=NUMBER))
    provider.behave(MESSAGE=does)
    assert await by_trunk(line) == wanted
    seen = await asyncio.to_thread(provider.wait_seen, "MESSAGE", before + tries, number=NUMBER)
    assert len(seen) == before + tries


async def test_no_credentials_for_another_realm(edge: Edge, provider: Provider) -> None:
    provider.behave_well()
    await edge.daemon.control.replace_trunks([trunk(provider, realm="another.test")])
    before = len(provider.seen("MESSAGE", number=NUMBER))
    assert await by_trunk(edge) == Answered(407)
    assert len(await asyncio.to_thread(provider.wait_seen, "MESSAGE", before + 1, number=NUMBER)) == before + 1
    await edge.daemon.control.replace_trunks([])


async def test_a_trunk_that_nobody_knows(edge: Edge) -> None:
    assert await by_trunk(edge) == NotSent()


async def test_over_tls_nothing_leaves_to_a_provider_whose_certificate_is_not_its_own(
    edge: Edge, provider: Provider
) -> None:
    provider.behave_well()
    before = len(provider.seen("MESSAGE", number=NUMBER))
    await edge.daemon.control.replace_trunks([trunk(provider, "tls")])
    assert await by_trunk(edge) == NotSent()
    assert len(provider.seen("MESSAGE", number=NUMBER)) == before
    await edge.daemon.control.replace_trunks([])


async def test_over_tls_a_text_leaves_over_a_connection_that_was_found_good(
    plan: EdgePlan, tmp_path: Path, ports: Ports
) -> None:
    with Provider(tmp_path / "p", ports) as provider:
        async with edge_of(plan, provider.ca) as edge:
            await edge.daemon.control.replace_trunks([by_tls(provider)])
            far = await doris(edge, provider)
            await asyncio.to_thread(provider.wait_registered)
            task = asyncio.ensure_future(by_trunk(edge))  # noqa: TID251
            far.send(answer(await request(far, "MESSAGE"), 202, "Accepted"))
            assert await task == Answered(202)
            [_, proven] = await asyncio.to_thread(provider.wait_seen, "MESSAGE", 2, number=NUMBER)
            assert proven["Via"].startswith("SIP/2.0/TLS") and proven["Proxy-Authorization"]


async def test_phones_that_say_nothing_hold_nobody_up(edge: Edge) -> None:
    """Forty texts are on their way to a phone that says nothing; another phone is served, and the edge tells what it
    holds. Nothing here waits for the first phone to answer."""
    await bob(edge, "udp")
    [contact] = await edge.daemon.control.contacts("bob-1")
    phone = await alice(edge)
    edge.daemon.decide = lambda asked: Reply(486, "Busy Here")
    waiting = [asyncio.ensure_future(edge.daemon.control.send_text(contact, TEXT, "101")) for _ in range(40)]  # noqa: TID251
    await asyncio.sleep(0)
    assert (await phone.authenticated("INVITE", f"sip:bob@{DOMAIN}")).code == 486
    assert [one.uri for one in await edge.daemon.control.contacts("bob-1")] == [contact.uri]
    assert set(await asyncio.gather(*waiting)) == {Silent()}
