"""Connections seen going out: told from those that come in, by real sockets; expected or not by the real settings."""

from __future__ import annotations

import ipaddress
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config import settings as configuration
from config.alerts import load
from server import going_out, own_sockets
from server.alerting.conditions import Conditions, Sensed
from server.failure import Failure
from server.going_out import GoingOut
from server.own_sockets import Going, Row
from server.services import going_out as service
from server.services.actor import Actor
from storage import trunks
from tests.server.two_teams import NOW
from tests.web.mine_house import House

ANY = str(ipaddress.IPv4Address(0))
OURS = {7: "beffroi"}
PROVIDER = Going("tcp", "198.51.100.7", 5061, "kamailio")
STRANGER = Going("tcp", "203.0.113.9", 443, "beffroi")


def row(remote: tuple[str, int], local_port: int = 40000, state: str = "01", inode: int = 7, proto: str = "tcp") -> Row:
    return Row(proto, ("192.0.2.1", local_port), remote, state, inode)


@pytest.mark.promise("L8")
@pytest.mark.parametrize(
    ("said", "goes"),
    [
        (row(("203.0.113.9", 443)), True),
        (row(("203.0.113.9", 443), state="02"), True),  # it is being opened
        (row(("203.0.113.9", 443), state="06"), False),  # it is over
        (row(("203.0.113.9", 443), inode=8), False),  # somebody else's
        (row(("203.0.113.9", 443), local_port=5061), False),  # came in
        (row(("203.0.113.9", 443), local_port=5061, proto="udp"), True),
        (row(("127.0.0.1", 443)), False),
        (row(("::1", 443)), False),
        (row((ANY, 0), proto="udp", state="07"), False),
    ],
)
def test_what_goes_out_is_told_from_what_comes_in(said: Row, goes: bool) -> None:
    listens = Row("tcp", (ANY, 5061), (ANY, 0), "0A", 7)
    assert bool(own_sockets.going([listens, said], OURS)) is goes


def test_the_kernels_tables_are_read() -> None:
    """proc(5): addresses in words of four bytes, as the machine has them."""
    text = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1F90 0971A8CB:01BB 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1\n"
        "   1: 00000000000000000000000001000000:0050 0000000000000000FFFF00000971A8CB:01BB 02"
        " 00000000:00000000 00:00000000 00000000  1000        0 4712 1\n"
        "nonsense\n"
    )
    first, second = own_sockets.rows(text, "tcp")
    assert first == Row("tcp", ("127.0.0.1", 8080), ("203.168.113.9", 443), "01", 4711)
    assert second.local == ("::1", 80) and second.remote == ("203.168.113.9", 443)


@contextmanager
def connected() -> Iterator[tuple[int, int]]:
    """A program that has a connection to us: its process, our port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code = f"import socket; s = socket.create_connection(('127.0.0.1', {port})); input()"
        with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:  # noqa: S603
            accepted, _ = listener.accept()
            try:
                yield process.pid, port
            finally:
                accepted.close()
                process.communicate(b"\n")


def test_a_real_connection_is_found_by_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of our own and of what we have started; nobody else's."""
    monkeypatch.setattr(ipaddress.IPv4Address, "is_loopback", property(lambda _: False))
    with connected() as (pid, port):
        assert pid in own_sockets.ours(os.getpid(), "")
        found = own_sockets.look(os.getpid(), "")
        assert [one for one in found if one.port == port and one.protocol == "tcp"]
        assert [one.port for one in own_sockets.look(pid, "")] == [port]
        assert own_sockets.ours(pid, f"create_connection(('127.0.0.1', {port}))") == {pid}


def a_look(*found: Going) -> list[Going]:
    return list(found)


async def watching(house: House, tmp_path: Path, *found: Going) -> GoingOut:
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("# of this machine\nnameserver 192.0.2.53\nnameserver\n")
    async with house.services.db.transaction() as tx:
        await trunks.add(tx, "provider", "198.51.100.7", NOW, sources=("198.51.100.0/28",))
    house.services.settings = configuration.parse('[storage]\nurl = "postgresql://u@192.0.2.9:5433/b"\n')
    watch = GoingOut(house.services, tmp_path, look=lambda root, named: a_look(*found), resolv=resolv)
    house.services.going_out = watch
    return watch


@pytest.mark.promise("L8", "0.10")
async def test_what_the_configuration_explains_is_expected(house: House, tmp_path: Path) -> None:
    dns = Going("udp", "192.0.2.53", 53, "beffroi")
    other = Going("udp", "192.0.2.54", 53, "beffroi")
    database = Going("tcp", "192.0.2.9", 5433, "beffroi")
    source = Going("tcp", "198.51.100.9", 40000, "kamailio")
    watch = await watching(house, tmp_path, dns, other, database, PROVIDER, source, STRANGER)
    assert watch.unexpected() is None
    await watch.once()
    kinds = {one.going: (one.kind, one.name) for one in watch.seen()}
    assert kinds == {
        dns: ("dns", ""), other: ("", ""), database: ("database", "database"), PROVIDER: ("trunk", "provider"),
        source: ("trunk", "provider"), STRANGER: ("", ""),
    }  # fmt: skip
    assert watch.unexpected() is True and not watch.seen()[0].expected
    watch.note([PROVIDER], NOW)
    assert watch.unexpected() is False, "it is closed"
    assert {one.going for one in watch.seen() if one.open} == {PROVIDER}


async def test_no_more_is_remembered_than_there_is_room_for(house: House, tmp_path: Path) -> None:
    watch = await watching(house, tmp_path)
    watch.note([Going("tcp", f"203.0.113.{one % 250}", 1000 + one, "x") for one in range(going_out.MOST + 50)], NOW)
    assert len(watch.seen()) == going_out.MOST


@pytest.mark.promise("L8")
def test_what_nothing_expects_raises_an_alert_once_it_lasts() -> None:
    conditions, after_s = Conditions(load()), load()["going-out-unexpected"].limits["after_s"]
    strange = Sensed(unexpected=True)
    assert not conditions.look(strange, NOW, 0.0).raised
    [raised] = conditions.look(strange, NOW, float(after_s)).raised
    assert raised.kind == "going-out-unexpected"
    assert not conditions.look(Sensed(), NOW, after_s + 1.0).over, "nobody can tell"
    assert conditions.look(Sensed(unexpected=False), NOW, after_s + 2.0).over == (("going-out-unexpected", ""),)


@pytest.mark.parametrize("language", ["en", "fr"])
async def test_the_page_says_what_goes_where(house: House, tmp_path: Path, language: str) -> None:
    who = house.sign_in("dave", "security")
    assert (await house.get("/going-out", house.sign_in("alice"))).status == 403
    stopped = await house.get("/going-out", who, language)
    assert {"en": "The daemon is not running", "fr": "Le serveur est arrêté"}[language] in stopped.text
    with pytest.raises(Failure, match="not running"):
        await service.list_(house.services, Actor(house.teams.people["dave"], "test"))
    watch = await watching(house, tmp_path, PROVIDER, STRANGER)
    assert {"en": "Nothing was seen", "fr": "Rien n’a été vu"}[language] in (
        await house.get("/going-out", who, language)
    ).text
    await watch.once()
    page = await house.get("/going-out", who, language)
    assert {"en": "1 connection is expected by nothing", "fr": "1 connexion n’est attendue par rien"}[
        language
    ] in page.text
    assert "203.0.113.9:443" in page.text and "provider" in page.text
    watch.note([PROVIDER], NOW)
    [strange, _] = await service.list_(house.services, Actor(house.teams.people["dave"], "test"))
    assert (strange.address, strange.open, strange.expected) == ("203.0.113.9", False, False)
