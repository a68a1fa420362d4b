"""A provider by TLS has to show a certificate of its own name before it is told anything, on every way out."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from sip.edge.certificate import names_host
from sip.edge.template import EdgePlan
from sip.edge.trunks import Trunk
from tests.peers.certificates import make_certificate
from tests.peers.ports import Ports
from tests.peers.provider import Provider
from tests.peers.sipclient import Endpoint, Message, answer, parse
from tests.sip.edge.calling import invite, request, sequel
from tests.sip.edge.conftest import Daemon, Edge, run
from tests.sip.edge.test_emergency import centre, picked_up
from tests.sip.edge.test_trunks import answered, dial, doris, own_copy, reachable, trunk

pytestmark = pytest.mark.promise("P1")
OTHER = "sip.somebody-else.example"


@asynccontextmanager
async def edge_of(plan: EdgePlan, *certificates: Path, probe_s: float = 1.0) -> AsyncIterator[Edge]:
    """An edge for which these certificates are authorities; providers are asked often whether they are there."""
    bent = replace(plan, trunk_ca=own_copy(plan, *certificates))
    async with run(bent):
        daemon = Daemon(bent)
        await daemon.start()
        daemon.control._probe_s = probe_s
        edge = Edge(bent, daemon)
        yield edge
        await edge.close()


async def wrong_name(edge: Edge) -> None:
    async with asyncio.timeout(30):
        while not (await edge.daemon.control.trunk_states())["t1"].wrong_name:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (await edge.daemon.control.trunk_states())["t1"].reachable is False


def by_tls(provider: Provider) -> Trunk:
    """Registered anew every few seconds."""
    return trunk(provider, "tls", register=True, expires_s=6)


def told_nothing(provider: Provider) -> None:
    """Neither who we are nor whom we call; nothing that could be tried against a list of passwords."""
    assert provider.seen("REGISTER") == provider.seen("INVITE") == []
    for asked in provider.seen("OPTIONS"):
        assert not asked["Contact"] and not asked["Authorization"] and "customer1" not in asked.text()


async def called_and_ended(edge: Edge, provider: Provider, far: Endpoint, worker: Endpoint) -> None:
    call = await answered(edge, provider, far, worker)
    worker.send(sequel(call.caller, "BYE", call.ok))
    far.send(answer(await request(far, "BYE"), 200, "OK"))
    assert (await call.caller.final()).code == 200


async def test_its_own_name_lets_registration_and_calls_out(plan: EdgePlan, tmp_path: Path, ports: Ports) -> None:
    with Provider(tmp_path / "p", ports) as provider:
        async with edge_of(plan, provider.ca) as edge:
            await edge.daemon.control.replace_trunks([by_tls(provider)])
            far, worker = await doris(edge, provider), await edge.worker()
            await asyncio.to_thread(provider.wait_registered)
            await called_and_ended(edge, provider, far, worker)
            assert not (await edge.daemon.control.trunk_states())["t1"].wrong_name
            first, *rest = [one for one in provider.seen("OPTIONS") if one["Via"].startswith("SIP/2.0/TLS")]
            assert not first["Contact"] and rest


@pytest.mark.parametrize("certified", [("127.0.0.77",), (OTHER,)])
async def test_another_name_is_told_nothing(
    plan: EdgePlan, tmp_path: Path, ports: Ports, certified: tuple[str, ...]
) -> None:
    with Provider(tmp_path / "p", ports, certified=certified) as provider:
        async with edge_of(plan, provider.ca) as edge:
            await edge.daemon.control.replace_trunks([by_tls(provider)])
            far, worker = await doris(edge, provider), await edge.worker()
            await wrong_name(edge)
            asked = len(provider.seen("OPTIONS"))
            caller = await dial(edge, worker)
            assert (await caller.final()).code == 503
            await asyncio.to_thread(provider.wait_seen, "OPTIONS", asked + 3)
            told_nothing(provider)
            assert await far.silent(0.1)


async def test_who_takes_its_place_is_told_nothing(plan: EdgePlan, tmp_path: Path, ports: Ports) -> None:
    """The provider dies; somebody with a certificate of another name, vouched for as well, answers at its address."""
    with Provider(tmp_path / "p", ports) as provider:
        own = [tmp_path / "own.pem", tmp_path / "own.key"]
        shutil.copy(provider.certificate, own[0])
        shutil.copy(provider._key, own[1])
        make_certificate(tmp_path, "other", OTHER)
        async with edge_of(plan, own[0], tmp_path / "other.pem") as edge:
            await edge.daemon.control.replace_trunks([by_tls(provider)])
            far, worker = await doris(edge, provider), await edge.worker()
            await asyncio.to_thread(provider.wait_registered)
            await called_and_ended(edge, provider, far, worker)
            await taken_over(provider, tmp_path / "other.pem", tmp_path / "other.key")
            await wrong_name(edge)
            caller = await dial(edge, worker)
            assert (await caller.final()).code == 503
            await asyncio.to_thread(provider.wait_seen, "OPTIONS", 8, timeout_s=60)
            told_nothing(provider)
            await taken_over(provider, *own)
            await reachable(edge.daemon)
            far, worker = await doris(edge, provider), await edge.worker()
            await called_and_ended(edge, provider, far, worker)


async def taken_over(provider: Provider, certificate: Path, key: Path) -> None:
    """Another process at its address, that has seen nothing yet."""
    await asyncio.to_thread(provider.vanish)
    for path in (tmp for tmp in provider._dumps.iterdir()):
        path.unlink()
    shutil.copy(certificate, provider.certificate)
    shutil.copy(key, provider._key)
    await asyncio.to_thread(provider.start)


async def test_help_does_not_wait_for_a_name(plan: EdgePlan, tmp_path: Path, ports: Ports) -> None:
    """The daemon is dead, and whoever is there has another name: the call goes out, the credential does not."""
    with Provider(tmp_path / "p", ports, certified=(OTHER,)) as provider:
        async with edge_of(plan, provider.ca) as edge:
            await edge.daemon.add("alice-k3f9", "alice")
            await edge.daemon.control.replace_trunks([trunk(provider, "tls")])
            await edge.daemon.control.push_emergency(("112",), ("t1",))
            await wrong_name(edge)
            far, phone = await centre(edge, provider), await edge.phone("udp", "alice-k3f9", "alice")
            await edge.daemon.stop()
            provider.behave(INVITE="challenge")
            await invite(phone, "112")
            assert (await phone.final(20)).code in (408, 503)
            tries = await asyncio.to_thread(provider.wait_seen, "INVITE")
            assert not any(one["Proxy-Authorization"] for one in tries)
            assert await far.silent(0.1)


async def test_help_is_reached_by_who_was_known_with_the_daemon_dead(
    plan: EdgePlan, tmp_path: Path, ports: Ports
) -> None:
    """Also over a new connection, and with the credential."""
    with Provider(tmp_path / "p", ports) as provider:
        async with edge_of(plan, provider.ca) as edge:
            await edge.daemon.add("alice-k3f9", "alice")
            await edge.daemon.control.replace_trunks([trunk(provider, "tls")])
            await edge.daemon.control.push_emergency(("112",), ("t1",))
            await reachable(edge.daemon)
            await edge.daemon.stop()
            await asyncio.to_thread(provider.vanish)
            await asyncio.to_thread(provider.start)
            provider.behave_well()
            far, phone = await centre(edge, provider), await edge.phone("udp", "alice-k3f9", "alice")
            await invite(phone, "112")
            _, ok = await picked_up(far, phone)
            tries = await asyncio.to_thread(provider.wait_seen, "INVITE", 2, number="112")
            assert any(one["Proxy-Authorization"] for one in tries)
            phone.endpoint.send(sequel(phone, "BYE", ok))
            far.send(answer(await request(far, "BYE"), 200, "OK"))
            assert (await phone.final()).code == 200


async def test_a_connection_that_is_closed_is_followed_by_another(plan: EdgePlan, tmp_path: Path, ports: Ports) -> None:
    """A provider that closes after each answer; nobody waits for the next round."""
    certificate, key = make_certificate(tmp_path, "closes")
    asked: asyncio.Queue[Message] = asyncio.Queue()

    async def answers_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = parse(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer(received, 200, "OK", tag="p").encode())
        await writer.drain()
        writer.close()
        asked.put_nowait(received)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    port = ports.take()
    async with (
        await asyncio.start_server(answers_once, "127.0.0.1", port, ssl=context),
        edge_of(plan, certificate, probe_s=3600) as edge,
    ):
        one = Trunk("t1", f"sip:127.0.0.1:{port};transport=tls", "provider.example", False, "", "", "")
        await edge.daemon.control.replace_trunks([one])
        async with asyncio.timeout(60):
            for _ in range(5):
                assert (await asked.get()).method == "OPTIONS"


@pytest.mark.parametrize(
    ("certified", "common_name"),
    [
        (("sip.provider.example",), ""),
        (("*.provider.example", "127.0.0.1"), ""),
        (("*.example",), ""),
        (("s*.provider.example",), ""),
        (("127.0.0.1",), "sip.provider.example"),
        (("other.example",), "sip.provider.example"),
        (("SIP.Provider.Example", "second.example", "::1"), ""),
    ],
)
def test_both_ways_of_asking_agree(tmp_path: Path, certified: tuple[str, ...], common_name: str) -> None:
    """`trunk test` leaves the comparison to OpenSSL; the edge has its own."""
    paths = make_certificate(tmp_path, "one", *certified, common_name=common_name)
    hosts = ("sip.provider.example", "a.b.provider.example", "provider.example", "second.example", "127.0.0.1", "::1")
    for host in hosts:
        assert names_host(paths[0].read_text(), host) == openssl_agrees(*paths, host), host


def openssl_agrees(certificate: Path, key: Path, host: str) -> bool:
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=str(certificate))
    server.load_cert_chain(certificate, key)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    near, far = client.wrap_bio(down, up, server_hostname=host), server.wrap_bio(up, down, server_side=True)
    try:
        for _ in range(4):
            for side in (near, far):
                with suppress(ssl.SSLWantReadError):
                    side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        assert "mismatch" in error.verify_message, error
        return False
    return True


def test_what_is_no_certificate_names_nobody() -> None:
    assert not names_host("-----BEGIN CERTIFICATE-----", "127.0.0.1")
