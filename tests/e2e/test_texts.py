"""Texts by SIP as people live them: softphones of two makes, a desk phone, a line, a flood, and nothing left behind."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sip.edge.rpc import RpcClient, RpcError
from tests.e2e import office, scene
from tests.e2e.rawphone import RawPhone, raw_phone
from tests.peers.baresip import Phone, Transport
from tests.peers.deskphone import DeskPhone
from tests.peers.product import Product
from tests.peers.sipclient import Message, answer

pytestmark = [pytest.mark.e2e]

SECRET = "Xylophonquartett"
"""Stands in every text that must leave no trace."""


@dataclass
class People:
    """Anna has a desk phone (UDP), Ben baresip over TLS with SRTP, Carl and Dora nothing."""

    product: Product
    anna: DeskPhone
    ben: Phone

    def ben_has(self, words: str) -> str:
        """Waits until a text of these words stands on Ben's screen; who sent it."""
        found = scene.until(lambda: [t for t in self.ben.texts() if t[1] == words], f"Ben reads {words!r}")
        assert len(found) == 1, "once is enough"
        return found[0][0]


@pytest.fixture(scope="module")
def people(product_seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    product = Product(tmp_path_factory.mktemp("texts"), *product_seed)
    limits = {"limits__requests_per_user_per_s": 1000, "limits__requests_per_connection_per_s": 10000}
    product.configure(company__country="FR", **limits)
    with product:
        for name, number in (("anna", "701"), ("ben", "702"), ("carl", "703"), ("dora", "704")):
            product.add_account(name, number, language="fr", display_name=name.title())
        product.add_line("sales", "800", members=["anna", "ben"])
        anna = product.desk("anna", "anna", says=office.voice(400))
        ben = product.phone("ben", "ben", "tls", says=office.voice(500), answer="auto")
        ben.befriend(f"sip:701@{product.domain}")
        with anna, ben:
            anna.registered()
            ben.registered()
            yield People(product, anna, ben)


# --- colleagues -------------------------------------------------------------------------------------------------------


def test_a_text_and_its_answer(people: People) -> None:
    words = f"Réunion à 14 h, {SECRET} ?"
    assert people.anna.text("702", words) == "200 OK"
    sender = people.ben_has(words)
    assert sender.split("@")[0] == "sip:701"
    since = len(people.anna.events)
    people.ben.text(f"oui, ça va, {SECRET} : à tout à l'heure")  # 40 characters, no charset
    came = people.anna.texted(since=since)
    assert came["param"] == f"oui, ça va, {SECRET} : à tout à l'heure"
    assert "sip:702@" in came["peer"]


def test_a_line_is_everybody_on_it(people: People) -> None:
    assert people.anna.text("800", f"à tous : {SECRET}") == "200 OK"
    assert people.ben_has(f"à tous : {SECRET}").startswith("sip:701@")


def test_linphone_wraps_its_words(people: People) -> None:
    inner = f"Content-Type: text/plain; charset=utf-8\r\n\r\nemballé {SECRET}"
    wrapped = f"From: <sip:x@y.test>\r\nTo: <sip:ben@y.test>\r\n\r\n{inner}"
    assert people.anna.text("702", wrapped, kind="message/cpim") == "200 OK"
    assert people.ben_has(f"emballé {SECRET}")


def test_what_is_no_text_and_who_is_nobody(people: People) -> None:
    assert people.anna.text("702", f"<b>{SECRET}</b>", kind="text/html").startswith("415")
    assert people.anna.text("799", SECRET).startswith("404")
    assert people.anna.text("0612345678", SECRET).startswith("403")  # she has no inbox


def test_a_text_to_an_emergency_number_is_refused_and_the_person_told_to_call(people: People) -> None:
    since = len(people.anna.events)
    assert people.anna.text("112", f"au secours {SECRET}").startswith("403")
    told = people.anna.texted(since=since)
    assert "Appelez le 112" in told["param"] and "sip:112@" in told["peer"]


@pytest.mark.parametrize(("transport", "pieces"), [("tls", 1), ("udp", 4)])
def test_a_long_text_comes_whole_by_tls_and_in_pieces_by_udp(people: People, transport: Transport, pieces: int) -> None:
    words = " ".join([f"été {SECRET} {n}" for n in range(100)])
    logins = people.product.login("carl"), people.product.login("anna")

    async def received() -> tuple[int, list[Message]]:
        async with (
            raw_phone(people.product, logins[0], transport) as carl,
            raw_phone(people.product, logins[1], "tls") as writer,
        ):
            await carl.register()
            uri = f"sip:703@{carl.login.domain}"
            plain = ("Content-Type: text/plain",)
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(writer.fresh().authenticated("MESSAGE", uri, headers=plain, body=words))
                found = []
                for _ in range(pieces):
                    found.append(await carl.request("MESSAGE", 15))
                    carl.endpoint.send(answer(found[-1], 200, "OK"))
            await carl.register(0)
            return sending.result().code, found

    code, found = asyncio.run(received())
    assert code in (200, 202)  # where the machine is slow the last piece comes after the answer
    if pieces == 1:
        assert found[0].body.decode() == words
        return
    assert all(len(piece.text().encode()) <= 1300 for piece in found)
    assert [piece.body.decode()[:6] for piece in found] == [f"({n}/{pieces}) " for n in range(1, pieces + 1)]
    assert " ".join(piece.body.decode()[6:] for piece in found) == words


def test_a_colleague_who_is_not_there_has_it_when_a_phone_signs_on(people: People) -> None:
    words = f"à ton retour {SECRET}"
    login = people.product.login("dora")
    assert people.anna.text("704", words) == "202 Accepted"
    assert people.product.traces({"a word": SECRET.encode()}) == {}

    async def signs_on() -> Message:
        async with raw_phone(people.product, login, "tls") as dora:
            await dora.register()
            came = await dora.request("MESSAGE", 20)  # sooner than by looking once a minute
            dora.endpoint.send(answer(came, 200, "OK"))
            await dora.register(0)
            return came

    came = asyncio.run(signs_on())
    assert came.body.decode() == words and came["From"].startswith("<sip:701@")


# --- trouble ----------------------------------------------------------------------------------------------------------


async def flooded(phone: RawPhone, texts: int) -> list[int]:
    uri = f"sip:702@{phone.login.domain}"
    plain = ("Content-Type: text/plain",)
    return [
        (await phone.fresh().authenticated("MESSAGE", uri, headers=plain, body=f"{SECRET} {n}")).code
        for n in range(texts)
    ]


def test_a_flood_of_one_phone_is_held_back_and_calls_go_on(people: People) -> None:
    login = people.product.login("carl")

    async def flood() -> list[int]:
        async with raw_phone(people.product, login, "tls") as carl:
            return await flooded(carl, 90)

    call = people.anna.dial("702")
    people.anna.established(call)
    codes = asyncio.run(flood())
    assert set(codes) == {200, 503} and codes.count(200) == 60
    again = people.anna.dial("702")
    people.anna.established(again)
    for each in (again, call):
        people.anna.hang_up(each)
        people.anna.closed(each)
    assert people.anna.text("702", f"après la foule {SECRET}") == "200 OK"


def test_while_the_daemon_is_away_a_text_is_to_be_sent_again(people: People) -> None:
    people.product.kill_daemon()
    try:
        assert people.anna.text("702", SECRET).startswith("503")
    finally:
        people.product.start_daemon()
    assert people.anna.text("702", f"de retour {SECRET}") == "200 OK"
    assert people.ben_has(f"de retour {SECRET}")


# --- nothing is left --------------------------------------------------------------------------------------------------


@pytest.mark.promise("P4")
def test_no_word_and_no_number_is_left_on_disk_in_logs_or_at_the_edge(people: People) -> None:
    """Last in this module: everything above has been written and read."""
    words = {"a word": SECRET.encode(), "in base64": b"WHlsb3Bob25xdWFydGV0d", "the outside number": b"0612345678"}
    for _ in range(2):
        assert people.anna.text("702", f"encore {SECRET}") == "200 OK"
    assert people.product.traces(words) == {}

    async def shown() -> str:
        rpc = RpcClient(edge_socket(people.product))
        await rpc.open()
        try:
            return "\n".join([str(await rpc.call(*question)) for question in QUESTIONS])
        finally:
            rpc.close()

    def clean() -> bool:
        try:
            text = asyncio.run(shown())
        except RpcError as error:
            assert error.code == 0, f"the edge refuses to show what it has: {error}"
            return False  # silent for a moment: the machine has other things to do, and it is asked again
        assert SECRET not in text and "0612345678" not in text
        return "MESSAGE" not in text

    scene.until(clean, "the edge has shown all, and forgotten that there was a text", timeout_s=60, every_s=0.5)


QUESTIONS = (
    ("tm.list",),
    ("tm.stats",),
    ("htable.dump", "texts"),
    ("htable.dump", "rate"),
    ("htable.dump", "tr"),
    ("dlg.list",),
    ("ul.dump",),
    ("core.ps",),
    ("stats.get_statistics", "all"),
)


def edge_socket(product: Product) -> Path:
    edge = Path("/run") / f"beffroi-{hashlib.sha256(str(product.data.resolve()).encode()).hexdigest()[:12]}"
    return next(p for p in (edge / "rpc.sock", product.data / "run" / "edge" / "rpc.sock") if p.exists())
