"""Trunks: added, changed, tested against a provider that is another program; secrets never in arguments or files."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from server.commands import trunks as commands
from server.services.credentials import ha1
from server.services.trunks import TrunkTest, TrunkView
from sip.edge.trunk_probe import Answer, Probed, Target, probe
from storage import trunks
from tests.peers.ports import Ports
from tests.peers.product import run_cli
from tests.peers.provider import DOMAIN, PASSWORD, REALM, USER, Provider
from tests.server.conftest import Ran


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with Provider(tmp_path_factory.mktemp("company") / "provider", Ports()) as running:
        yield running


@pytest.fixture
def company(provider: Provider) -> Provider:
    provider.behave_well()
    return provider


def descriptor(secret: str) -> str:
    """Of a pipe with this line in it."""
    reading, writing = os.pipe()
    os.write(writing, secret.encode() + b"\n")
    os.close(writing)
    return str(reading)


def where(company: Provider, transport: str = "udp") -> list[str]:
    port = str(company.port(transport))  # type: ignore[arg-type]
    return ["--host", company.address, "--port", port, "--transport", transport, "--domain", DOMAIN]


def add(beffroi: Callable[..., Ran], company: Provider, *more: str, password: str = PASSWORD) -> dict[str, Any]:
    said: dict[str, Any] = beffroi("trunk", "add", "north", *where(company), "--user", USER, "--register",
                                   "--password-fd", descriptor(password), "--json", *more).json  # fmt: skip
    return said


def findings(ran: Ran) -> dict[str, tuple[str, str]]:
    said = json.loads(ran.out)
    assert said["sound"] is (ran.status == 0)
    return {one["check"]: (one["verdict"], f"{one['what']} -> {one['remedy']}") for one in said["findings"]}


def test_json_holds_just_the_documented_fields(beffroi: Callable[..., Ran], company: Provider):
    assert [field.name for field in commands.FIELDS] == [field.name for field in fields(TrunkView)]
    assert [field.name for field in commands.TEST_FIELDS] == [field.name for field in fields(TrunkTest)]
    added = add(beffroi, company)
    assert list(added) == [field.name for field in commands.FIELDS]
    assert [list(one) for one in beffroi("trunk", "list", "--json").json] == [list(added)]


@pytest.mark.promise("0.1")
def test_the_password_becomes_its_digest_and_is_kept_nowhere(data: Path):
    secret = "a-password-of-the-contract"
    done = run_cli(data, "trunk", "add", "north", "--host", "sip.provider.example", "--user", "33142000000",
                   "--register", "--json", secrets={"--password-fd": secret})  # fmt: skip
    said = json.loads(done.stdout)
    assert (said["domain"], said["realm"], said["port"], said["transport"]) == (
        "sip.provider.example", "sip.provider.example", 5061, "tls")  # fmt: skip
    assert said["password"] is True and said["srtp"] is True
    digest = ha1("33142000000", "sip.provider.example", secret)
    for path in data.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for word in (secret, digest, "33142000000", "provider.example"):
                assert word.encode() not in content, (path, word)


async def test_another_realm_or_user_asks_for_the_password_again(data: Path, beffroi: Callable[..., Ran]):
    await asyncio.to_thread(_change_realm, beffroi)
    from server.services.context import open_services

    async with open_services(data) as services, services.db.read() as tx:
        trunk = await trunks.by_name(tx, "north")
    assert trunk.ha1 == ha1("u", "asterisk", "new")


def _change_realm(beffroi: Callable[..., Ran]) -> None:
    host = ("--host", "sip.provider.example")
    added = beffroi("trunk", "add", "north", *host, "--user", "u", "--password-fd", descriptor("old"), "--json").json
    assert added["register"], "who has a password there is called there as well"
    refused = beffroi("trunk", "set", "north", "--realm", "asterisk")
    assert refused.status == 2 and "--password-fd" in refused.err, "no terminal to ask at"
    changed = beffroi("trunk", "set", "north", "--realm", "asterisk", "--password-fd", descriptor("new"), "--json").json
    assert changed["realm"] == "asterisk"
    assert beffroi("trunk", "set", "north", "--channels", "4", "--json").json["channels"] == 4
    assert "--no-register" in beffroi("trunk", "set", "north", "--user", "").err
    assert not beffroi("trunk", "set", "north", "--user", "", "--no-register", "--json").json["password"]
    assert beffroi("trunk", "set", "north", "--user", "u", "--password-fd", descriptor("new"), "--json").json[
        "password"
    ]


async def test_a_service_refuses_another_realm_without_the_password(services: Any):
    from server.failure import Failure
    from server.services import trunks as service
    from server.services.actor import Actor

    me = Actor("os:0", "here")
    await service.add(services, me, name="north", host="sip.provider.example", user="u", password="p")  # noqa: S106
    with pytest.raises(Failure, match="said again"):
        await service.set_(services, me, trunk="north", realm="asterisk")


def test_users_and_numbers_are_masked_without_a_reason(beffroi: Callable[..., Ran]):
    beffroi("trunk", "add", "north", "--host", "192.0.2.9", "--transport", "udp", "--user", "33142000000",
            "--main-number", "+33 1 42 00 00 00", "--password-fd", descriptor("x"))  # fmt: skip
    shown = beffroi("trunk", "list", "--json").out
    assert "42000000" not in shown and "33•••••••00" in shown
    clear = beffroi("trunk", "list", "--json", "--reason", "a check").json[0]
    assert (clear["user"], clear["main_number"]) == ("33142000000", "+33142000000")


def test_a_trunk_is_disabled_enabled_and_removed(beffroi: Callable[..., Ran], data: Path):
    beffroi("trunk", "add", "north", "--host", "192.0.2.9", "--source", "192.0.2.0/28", "--source", "2001:db8::1")
    assert beffroi("trunk", "list", "--json").json[0]["sources"] == ["192.0.2.0/28", "2001:db8::1"]
    off = beffroi("trunk", "disable", "north", "--json").json
    assert (off["enabled"], off["state"]) == (False, "disabled")
    on = beffroi("trunk", "enable", "north", "--json").json
    assert (on["enabled"], on["state"]) == (True, None)
    assert beffroi("trunk", "remove", "north").status == 0
    assert beffroi("trunk", "list").out == "(none)\n"
    with sqlite3.connect(data / "beffroi.sqlite3") as database:
        assert database.execute("select count(*) from trunks").fetchone() == (0,)


def test_what_leaves_the_house_in_clear_is_said(beffroi: Callable[..., Ran]):
    bare = beffroi("trunk", "add", "bare", "--host", "sip.provider.example", "--transport", "udp", "--json").json
    assert "not encrypted" in bare["warning"] and "--source" in bare["warning"]
    keys = beffroi("trunk", "add", "keys", "--host", "192.0.2.9", "--transport", "tcp", "--srtp", "--json").json
    assert "keys of the audio are sent in clear" in keys["warning"]
    assert beffroi("trunk", "add", "good", "--host", "192.0.2.9", "--json").json["warning"] is None


@pytest.mark.parametrize(
    "words",
    [("add", "north"), ("add", "north", "--host", "h", "--transport", "sctp"), ("list", "--colour"),
     ("add", "north", "--host", "h", "--password", "secret"), ("add", "north", "--host", "h", "--port", "sip"),
     ("add", "north", "--host", "h", "--password-fd", "3"), ("add", "north", "--host", "h", "--user", "u")],
)  # fmt: skip
def test_misuse_ends_with_2(beffroi: Callable[..., Ran], words: tuple[str, ...]):
    ran = beffroi("trunk", *words)
    assert (ran.status, ran.out) == (2, "") and ran.err


@pytest.mark.parametrize(
    "words",
    [("set", "nowhere", "--port", "5060"), ("test", "nowhere"), ("remove", "nowhere"), ("disable", "nowhere"),
     ("add", "Not A Name", "--host", "h"), ("add", "x", "--host", "a b"), ("add", "x", "--host", "h", "--register"),
     ("add", "x", "--host", "h", "--source", "provider"), ("add", "x", "--host", "h", "--main-number", "no number"),
     ("add", "x", "--host", "h", "--channels", "0")],
)  # fmt: skip
def test_a_failure_is_one_line_that_says_what_to_do(beffroi: Callable[..., Ran], words: tuple[str, ...]):
    ran = beffroi("trunk", *words)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("beffroi: ") and ran.err.count("\n") == 1 and ran.err.count(". ") >= 1


# --- trunk test ---------------------------------------------------------------------------------------------------


@pytest.mark.promise("P3")
def test_a_provider_that_takes_the_password(beffroi: Callable[..., Ran], company: Provider):
    before = company.contacts()
    add(beffroi, company, "--realm", REALM)
    ran = beffroi("trunk", "test", "north", "--json")
    said = findings(ran)
    assert said["answer"][0] == "ok" and "200" in said["answer"][1]
    assert said["password"][0] == "ok"
    assert said["edge"][0] == "note" and "daemon does not run" in said["edge"][1]
    assert ran.status == 0
    assert company.contacts() == before, "it only asks"


@pytest.mark.promise("P3")
def test_a_wrong_password_and_another_realm_are_told_apart(beffroi: Callable[..., Ran], company: Provider):
    add(beffroi, company, password="not-that")  # noqa: S106
    wrong = findings(beffroi("trunk", "test", "north", "--json"))["password"]
    assert wrong[0] == "wrong" and "password is wrong" in wrong[1] and "--password" in wrong[1]
    beffroi("trunk", "set", "north", "--realm", "elsewhere", "--password-fd", descriptor(PASSWORD))
    realm = findings(beffroi("trunk", "test", "north", "--json"))["password"]
    assert realm[0] == "wrong" and f"--realm '{REALM}'" in realm[1]


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [({"REGISTER": "403"}, "refuses this user"), ({"REGISTER": "404"}, "does not know this user"),
     ({"REGISTER": "405"}, "takes no registrations"), ({"REGISTER": "503"}, "could not say"),
     ({"REGISTER": "challenge"}, "password is wrong")],
)  # fmt: skip
def test_what_a_provider_says_of_a_user(
    beffroi: Callable[..., Ran], company: Provider, behaviour: dict[str, str], words: str
):
    add(beffroi, company)
    company.behave(**behaviour)
    verdict, text = findings(beffroi("trunk", "test", "north", "--json"))["password"]
    assert verdict == "wrong" and words in text


def test_a_provider_that_says_nothing(beffroi: Callable[..., Ran], company: Provider, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sip.edge.trunk_probe.probe.__kwdefaults__", {"answer_s": 1.0})
    add(beffroi, company)
    company.behave(OPTIONS="silent")
    ran = beffroi("trunk", "test", "north", "--json")
    verdict, text = findings(ran)["answer"]
    assert (verdict, ran.status) == ("wrong", 1) and "does not answer" in text and "firewall" in text


@pytest.mark.promise("P3")
def test_a_certificate_is_checked(beffroi: Callable[..., Ran], company: Provider, monkeypatch: pytest.MonkeyPatch):
    beffroi("trunk", "add", "north", *where(company, "tls"), "--user", USER, "--password-fd", descriptor(PASSWORD))
    verdict, text = findings(beffroi("trunk", "test", "north", "--json"))["answer"]
    assert verdict == "wrong" and "certificate" in text and "not trusted" in text
    monkeypatch.setenv("SSL_CERT_FILE", str(company.ca))
    said = findings(beffroi("trunk", "test", "north", "--json"))
    assert (said["answer"][0], said["password"][0]) == ("ok", "ok")


def test_the_port_of_another_transport(beffroi: Callable[..., Ran], company: Provider, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sip.edge.trunk_probe.probe.__kwdefaults__", {"answer_s": 2.0})
    beffroi("trunk", "add", "north", "--host", company.address, "--port", str(company.port("udp")), "--json")
    verdict, text = findings(beffroi("trunk", "test", "north", "--json"))["answer"]
    assert verdict == "wrong" and "port" in text and "transport" in text


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_nobody_listens(beffroi: Callable[..., Ran], ports: Ports, transport: str):
    beffroi("trunk", "add", "north", "--host", "127.0.0.1", "--port", str(ports.take()), "--transport", transport)
    verdict, text = findings(beffroi("trunk", "test", "north", "--json"))["answer"]
    assert verdict == "wrong" and "nobody listens" in text


def test_a_name_that_leads_nowhere(beffroi: Callable[..., Ran]):
    beffroi("trunk", "add", "north", "--host", "no-such-name.invalid", "--transport", "tcp")
    verdict, text = findings(beffroi("trunk", "test", "north", "--json"))["answer"]
    assert verdict == "wrong" and "cannot be resolved" in text and "DNS" in text


def test_for_people_what_is_wrong_comes_last_with_its_remedy(beffroi: Callable[..., Ran], company: Provider):
    add(beffroi, company, password="not-that")  # noqa: S106
    ran = beffroi("trunk", "test", "north")
    assert ran.status == 1
    assert ran.out.rstrip().endswith("1 thing(s) wrong") and "-> Type: beffroi trunk set north --password" in ran.out
    assert max(len(line) for line in ran.out.splitlines()) <= 80


# --- what a provider may send -------------------------------------------------------------------------------------


@asynccontextmanager
async def peer(*replies: bytes) -> Any:
    """A provider over TCP that answers each request with the next of these, headers of the request not repeated."""
    left = list(replies)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while left:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(left.pop(0))
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def reply(code: int, *headers: str) -> bytes:
    return "\r\n".join([f"SIP/2.0 {code} Words", *headers, "Content-Length: 0", "", ""]).encode()


async def asked(*replies: bytes, **more: Any) -> Probed:
    async with peer(*replies) as port:
        target = Target("127.0.0.1", port, "tcp", "d.example", "u", "r", ha1("u", "r", "p"))
        return await probe(target, **({"answer_s": 20.0} | more))


@pytest.mark.parametrize(
    ("replies", "verdict"),
    [
        ([reply(401, 'WWW-Authenticate: Digest realm="r", nonce="n"'), reply(200)], "accepted"),
        ([reply(401, 'WWW-Authenticate: Digest realm="r",\r\n nonce="n"'), reply(200)], "accepted"),
        ([reply(407, 'Proxy-Authenticate: Digest realm="r", nonce="n", qop="auth,auth-int"'), reply(200)], "accepted"),
        ([reply(401, 'WWW-Authenticate: Digest realm="r", nonce="n"'),
          reply(401, 'WWW-Authenticate: Digest realm="r", nonce="m", stale=true'), reply(200)], "accepted"),
        ([reply(401, 'WWW-Authenticate: Digest realm="r", nonce="n"')] * 2, "wrong_password"),
        ([reply(401, 'WWW-Authenticate: Digest realm="r", nonce="n", stale=true')] * 3, "wrong_password"),
        ([reply(401, 'WWW-Authenticate: Digest realm="r", nonce="n", algorithm=SHA-256')], "no_digest"),
        ([reply(401)], "no_digest"),
        ([reply(100) + b"\r\n\r\n" + reply(200)], "accepted"),
        ([], "silent"),
        ([b"HTTP/1.1 200 OK\r\n\r\n"], "silent"),
        ([b"\x00" * 70000], "silent"),
    ],
)  # fmt: skip
async def test_whatever_a_provider_answers_to_a_credential(replies: list[bytes], verdict: str):
    probed = await asked(reply(200), *replies)
    assert probed.contact == Answer("answered", 200, "Words")
    assert probed.credential is not None and probed.credential.verdict == verdict


async def test_what_a_provider_writes_cannot_be_typed_into_a_shell():
    probed = await asked(reply(200), reply(401, 'WWW-Authenticate: Digest realm="x\'; rm -rf /\x1b[2J", nonce="n"'))
    assert probed.credential == Answer("other_realm", 401, "Words", "x?? rm -rf /??2J")


async def test_the_digest_is_what_rfc_2617_says():
    """Section 3.5's arithmetic, checked by a peer that knows the password."""
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        challenge = reply(401, 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth", opaque="o"')
        for answer in (reply(200), challenge, reply(200)):
            got.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await probe(Target("127.0.0.1", port, "tcp", "d.example", "u", "r", ha1("u", "r", "p")))
    options, first, second = (message.decode() for message in got)
    assert options.startswith("OPTIONS sip:d.example SIP/2.0") and "Contact" not in first + second
    header = next(line for line in second.split("\r\n") if line.startswith("Authorization: "))
    cnonce = header.split('cnonce="')[1].split('"')[0]
    assert 'opaque="o"' in header

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    expected = md5(f"{md5('u:r:p')}:n:00000001:{cnonce}:auth:{md5('REGISTER:sip:d.example')}")
    assert f'response="{expected}"' in header
    assert [line for line in first.split("\r\n") if line.startswith("Call-ID")] == [
        line for line in second.split("\r\n") if line.startswith("Call-ID")
    ]
