"""SIPVicious, a SIP scanner that is not ours: it learns nothing, it is banned, and a phone beside it is not."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.peers.sipclient import Phone
from tests.sip.edge.conftest import DOMAIN, PASSWORD, Edge
from tests.sip.edge.test_bans import answered

pytestmark = pytest.mark.promise("4.1")
OFFICE = "127.0.0.2"


class Disguise(asyncio.DatagramProtocol):
    """Between scanner and edge: the scanner's own name does not get through, or nothing would be tried at all."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge.address("udp")
        self._scanner: tuple[str, int] | None = None
        self.transport: asyncio.DatagramTransport | None = None
        self.passed = 0

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self.transport is not None
        if addr == self._edge:
            if self._scanner is not None:
                self.transport.sendto(data, self._scanner)
            return
        self._scanner = addr
        self.passed += 1
        self.transport.sendto(data.replace(b"friendly-scanner", b"Telephone 2.0"), self._edge)


async def disguised(edge: Edge) -> Disguise:
    loop = asyncio.get_running_loop()
    _, disguise = await loop.create_datagram_endpoint(lambda: Disguise(edge), local_addr=(OFFICE, 0))
    return disguise


async def scan(tool: str, edge: Edge, home: Path, *options: str, by: Disguise | None = None) -> str:
    """What it prints."""
    host, port = edge.address("udp")
    if by is not None and by.transport is not None:
        host, port = by.transport.get_extra_info("sockname")[:2]
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name(f"sipvicious_{tool}")),
        *options, "-b", OFFICE, "-x", OFFICE, "-p", str(port), host,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        cwd=home, env=os.environ | {"HOME": str(home), "TERM": "dumb", "COLUMNS": "200"},
    )  # fmt: skip
    try:
        async with asyncio.timeout(30):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    return output.decode(errors="replace")


async def office(edge: Edge) -> Phone:
    """A registered phone at the address that the scanner uses."""
    await edge.daemon.add("alice-k3f9", "alice")
    await edge.daemon.add("100", "100")
    phone = await edge.phone("udp", "alice-k3f9", "alice", local_ip=OFFICE)
    assert (await phone.register()).code == 200
    return phone


def words(home: Path, *lines: str) -> str:
    path = home / "words"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


async def test_a_search_for_servers_finds_nothing(edge: Edge, tmp_path: Path) -> None:
    phone = await office(edge)
    output = await scan("svmap", edge, tmp_path, "-t", "0.2")
    assert "found nothing" in output, output
    assert (await phone.register()).code == 200


NOBODY = tuple(f"{n}" for n in range(101, 107))


@pytest.mark.parametrize("method", ["REGISTER", "INVITE"])
async def test_a_search_for_accounts_sees_no_difference(edge: Edge, tmp_path: Path, method: str) -> None:
    phone, disguise = await office(edge), await disguised(edge)
    names = words(tmp_path, "100", "alice", "alice-k3f9", *NOBODY)
    options = ("-m", method, "-d", names, "-t", "0.1", "--domain", DOMAIN, "--force")
    output = await scan("svwar", edge, tmp_path, *options, by=disguise)
    assert disguise.passed >= 2, output
    assert "found nothing" in output, output  # the answer to a name that cannot exist is the answer to all
    assert (await phone.register()).code == 200


@pytest.mark.full  # it waits long for answers that do not come
async def test_a_search_for_a_password_is_banned_and_the_phone_beside_it_is_not(edge: Edge, tmp_path: Path) -> None:
    phone, disguise = await office(edge), await disguised(edge)
    guesses = words(tmp_path, *(f"guess{n}" for n in range(10)), PASSWORD)
    options = ("-u", "alice-k3f9", "-d", guesses, "-t", "0.1", "--domain", DOMAIN)
    output = await scan("svcrack", edge, tmp_path, *options, by=disguise)
    assert disguise.passed > 5, output
    assert PASSWORD not in output, output
    assert disguise.transport is not None
    banned = "udp:{}:{}".format(*disguise.transport.get_extra_info("sockname")[:2])
    assert [(ban.source, ban.why) for ban in await edge.daemon.control.bans()] == [(banned, "credentials")]
    assert (await phone.register()).code == 200
    assert await answered(phone)


async def test_by_its_own_name_it_gets_no_answer(edge: Edge, tmp_path: Path) -> None:
    phone = await office(edge)
    output = await scan("svwar", edge, tmp_path, "-d", words(tmp_path, "alice"), "--domain", DOMAIN)
    assert "timed out" in output or "found nothing" in output
    assert OFFICE not in {ban.source for ban in await edge.daemon.control.bans()}
    assert (await phone.register()).code == 200
