"""Who may write, what is a text, to whom it goes, and what the sender is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from sip.calls.numbers import SiteNumbering
from sip.edge.messages import Answered, NotSent, Sent, Silent
from sip.edge.protocol import EdgeRequest, Reply
from sip.edge.rpc import RpcError
from sip.edge.state import Contact
from sip.messages import house
from sip.messages.arrivals import Arrivals
from sip.messages.delivery import Delivery
from sip.messages.desk import ACCEPTED, DELIVERED, LATER, Text, TextFromPhone, TextFromTrunk
from sip.messages.gate import TextGate
from sip.messages.house import HouseDesk
from sip.messages.pieces import REQUEST_MAX_BYTES
from storage import accounts, devices, lines, numbers_owned, trunks
from storage.database import Database
from tests.sip.edge.conftest import until

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
SITE = SiteNumbering("FR")
WORDS = "Réunion à 14 h"


@dataclass
class Edge:
    """What is registered, and what phones say to a text."""

    there: dict[str, list[Contact]] = field(default_factory=dict)
    says: dict[str, Sent] = field(default_factory=dict)  # by URI
    shown: list[tuple[str, str, str]] = field(default_factory=list)  # URI, sender, text
    go: asyncio.Event = field(default_factory=asyncio.Event)
    broken: bool = False

    def __post_init__(self) -> None:
        self.go.set()

    def sign_on(self, auth_user: str, proto: str = "tls") -> str:
        uri = f"sip:{auth_user}@192.0.2.{len(self.there) + 1};transport={proto}"
        contact = Contact("tls" if proto == "tls" else "plain", uri, "", "phone/1", 60, f"{proto}:192.0.2.250:5060")
        self.there.setdefault(auth_user, []).append(contact)
        return uri

    async def contacts(self, auth_user: str) -> Sequence[Contact]:
        if self.broken:
            raise RpcError("ul.lookup", 0, "away")
        return self.there.get(auth_user, [])

    async def registrations(self) -> dict[str, list[Contact]]:
        return self.there

    async def send_text(self, contact: Contact, text: str, sender: str) -> Sent:
        await self.go.wait()
        self.shown.append((contact.uri, sender, text))
        return self.says.get(contact.uri, Answered(200))


@dataclass
class Desk:
    """Takes everything."""

    taken: list[Text] = field(default_factory=list)
    answer: Reply | Exception = ACCEPTED
    go: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.go.set()

    async def on_text(self, text: Text) -> Reply:
        await self.go.wait()
        self.taken.append(text)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class Place:
    """The directory, the edge, and both desks."""

    db: Database
    edge: Edge
    desk: Desk
    gate: TextGate  # before `desk`
    house: TextGate  # before the desk of the house, which has `desk` for the outside
    ids: dict[str, str]
    trunk_id: str = ""


@pytest.fixture
async def place(db: Database) -> AsyncIterator[Place]:
    edge, desk = Edge(), Desk()
    in_house = HouseDesk(db, Delivery(db, edge), lambda: SITE, desk)
    place = Place(db, edge, desk, TextGate(db, desk, lambda: SITE), TextGate(db, in_house, lambda: SITE), {})
    async with db.transaction() as tx:
        for name, number, language in (("alice", "101", "fr"), ("bob", "102", "en"), ("carol", "103", "fr")):
            account = await accounts.add(tx, name, number, name.title(), NOW, language=language)
            await devices.add(tx, account.id, "phone", f"{name}-1", "0" * 32, NOW)
            place.ids[name] = account.id
        members = tuple(place.ids.values())
        await lines.add(tx, "office", "200", NOW, members=members)
        trunk = await trunks.add(tx, "provider", "192.0.2.50", NOW)
        await numbers_owned.add(tx, "+33142000001", account_id=place.ids["bob"])
        place.trunk_id = trunk.id
    running = asyncio.get_running_loop().create_task(in_house.run())  # noqa: TID251
    await asyncio.sleep(0)
    yield place
    running.cancel()
    await asyncio.wait([running])


def request(**changes: Any) -> EdgeRequest:
    values: dict[str, Any] = {
        "kind": "message",
        "transaction": (1, 2),
        "call_id": "c1",
        "cseq": 2,
        "auth_user": "alice-1",
        "from_user": "alice",
        "request_user": "102",
        "source": "tls:192.0.2.1:40312",
        "savp": False,
        "content_type": "text/plain",
        "body": WORDS.encode(),
    }
    return EdgeRequest(**(values | changes))


def from_trunk(place: Place, **changes: Any) -> EdgeRequest:
    values: dict[str, Any] = {
        "auth_user": "",
        "trunk": place.trunk_id,
        "from_user": "0612345678",
        "request_user": "+33142000001",
    }
    return request(**(values | changes))


# --- the gate ---------------------------------------------------------------------------------------------------------


async def test_a_text_from_a_phone_is_handed_on_with_who_has_proven_to_write_it(place: Place) -> None:
    assert await place.gate.on_request(request(request_user="06%2012 34")) == ACCEPTED
    [text] = place.desk.taken
    assert isinstance(text, TextFromPhone)
    assert (text.account.name, text.device.auth_user, text.to, text.body) == ("alice", "alice-1", "06 12 34", WORDS)
    assert (text.call_id, text.cseq, text.key) == ("c1", 2, f"{text.device.id}:2:c1")
    for secret in (WORDS, "06 12", "192.0.2.1"):
        assert secret not in repr(text)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"from_user": "bob"}, 403),
        ({"auth_user": "mallory-1"}, 403),
        ({"content_type": "text/html"}, 415),
        ({"content_type": "application/im-iscomposing+xml"}, 415),
        ({"body": b""}, 400),
        ({"body": b"\xff"}, 400),
        ({"to_tag": "w1"}, 405),
        ({"content_type": "message/imdn+xml"}, 200),
        ({"content_type": "message/imdn+xml", "from_user": "bob"}, 403),
        ({"trunk": "nobody", "auth_user": ""}, 403),
    ],
)
async def test_what_is_not_handed_on(place: Place, changes: dict[str, Any], code: int) -> None:
    assert (await place.gate.on_request(request(**changes))).code == code
    assert place.desk.taken == []


async def test_a_revoked_device_and_a_disabled_account_write_to_nobody(place: Place) -> None:
    async with place.db.transaction() as tx:
        await accounts.disable(tx, place.ids["carol"], NOW)
        await devices.revoke(tx, (await devices.by_auth_user(tx, "bob-1")).id, NOW)
    for name in ("bob", "carol"):
        assert (await place.gate.on_request(request(auth_user=f"{name}-1", from_user=name))).code == 403
    assert place.desk.taken == []


@pytest.mark.parametrize(
    ("written", "sender"),
    [("0612345678", "+33612345678"), ("33612345678", "+33612345678"), ("36180", "36180"), ("La%20Poste", "La Poste")],
)
async def test_a_text_from_a_trunk_is_for_one_of_our_numbers(place: Place, written: str, sender: str) -> None:
    assert await place.gate.on_request(from_trunk(place, asserted=written, from_user="x")) == ACCEPTED
    [text] = place.desk.taken
    assert isinstance(text, TextFromTrunk)
    assert (text.sender, text.number.number, text.number.account_id) == (sender, "+33142000001", place.ids["bob"])
    assert (text.trunk.name, text.key) == ("provider", f"{place.trunk_id}:2:c1")


async def test_a_text_from_a_trunk_whose_number_stands_in_to(place: Place) -> None:
    asked = from_trunk(place, request_user="t0123456789", to_user="0142000001")
    assert await place.gate.on_request(asked) == ACCEPTED
    assert (await place.gate.on_request(from_trunk(place, request_user="+33142999999", cseq=5))).code == 404
    async with place.db.transaction() as tx:
        await trunks.save(tx, replace(await trunks.get(tx, place.trunk_id), enabled=False))
    assert (await place.gate.on_request(from_trunk(place, cseq=3))).code == 403
    assert len(place.desk.taken) == 1


async def test_the_same_again_is_the_same_text_while_and_after_it_is_taken(place: Place) -> None:
    place.desk.go.clear()
    asked = [asyncio.ensure_future(place.gate.on_request(request())) for _ in range(3)]  # noqa: TID251
    await asyncio.sleep(0.05)
    place.desk.go.set()
    assert await asyncio.gather(*asked) == [ACCEPTED] * 3
    assert await place.gate.on_request(request()) == ACCEPTED
    assert len(place.desk.taken) == 1
    for other in ({"cseq": 3}, {"call_id": "c2"}, {"auth_user": "bob-1", "from_user": "bob"}):
        assert await place.gate.on_request(request(**other)) == ACCEPTED
    assert len(place.desk.taken) == 4


async def test_a_desk_explains_in_its_own_words(place: Place) -> None:
    place.desk.answer = Reply(403, 'Émetteur "inconnu" : ' + "x" * 100)
    reply = await place.gate.on_request(request())
    assert reply.code == 403 and reply.reason.startswith("Emetteur inconnu xxx") and len(reply.reason) == 80


async def test_what_was_not_taken_is_asked_again(place: Place) -> None:
    place.desk.answer = RpcError("x", 0, "away")
    assert await place.gate.on_request(request()) == LATER
    place.desk.answer = LATER
    assert await place.gate.on_request(request()) == LATER
    place.desk.answer = ACCEPTED
    assert await place.gate.on_request(request()) == ACCEPTED
    assert len(place.desk.taken) == 3


# --- within the house -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["102", "bob"])
async def test_a_colleague_has_it_at_every_phone_and_sees_whom_to_answer(place: Place, to: str) -> None:
    uris = {place.edge.sign_on("bob-1"), place.edge.sign_on("bob-1", "udp")}
    assert await place.house.on_request(request(request_user=to)) == DELIVERED
    assert set(place.edge.shown) == {(uri, "101", WORDS) for uri in uris}


async def test_a_line_is_everybody_on_it_but_the_sender(place: Place) -> None:
    place.edge.sign_on("alice-1")
    uris = {place.edge.sign_on("bob-1"), place.edge.sign_on("carol-1")}
    assert await place.house.on_request(request(request_user="200")) == DELIVERED
    assert {uri for uri, _, _ in place.edge.shown} == uris


async def test_nobody_there_and_nobody_of_that_name(place: Place) -> None:
    assert await place.house.on_request(request()) == house.NOT_THERE
    assert await place.house.on_request(request(request_user="+33612345678", cseq=3)) == ACCEPTED
    assert [text.to for text in place.desk.taken if isinstance(text, TextFromPhone)] == ["+33612345678"]
    assert await place.house.on_request(from_trunk(place)) == ACCEPTED


@pytest.mark.parametrize("sent", [Answered(486), NotSent()])
async def test_a_phone_that_does_not_take_it(place: Place, sent: Sent) -> None:
    place.edge.says[place.edge.sign_on("bob-1")] = sent
    assert await place.house.on_request(request()) == house.NOT_TAKEN


async def test_one_phone_that_takes_it_is_enough(place: Place) -> None:
    place.edge.says[place.edge.sign_on("bob-1")] = Answered(415)
    place.edge.sign_on("bob-1")
    assert await place.house.on_request(request()) == DELIVERED


async def test_a_phone_that_says_nothing_the_sender_is_told_afterwards(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house, "WAIT_S", 0.01)
    mine, theirs = place.edge.sign_on("alice-1"), place.edge.sign_on("bob-1")
    place.edge.says[theirs] = Silent()
    place.edge.go.clear()
    assert await place.house.on_request(request()) == ACCEPTED
    place.edge.go.set()
    await until(lambda: len(place.edge.shown) == 2)
    assert place.edge.shown[1] == (mine, "102", "Votre message au 102 n'est peut-être pas arrivé.")


@pytest.mark.parametrize("number", ["112", "114", "+33112", "0033112"])
async def test_a_text_to_an_emergency_number_is_refused_and_the_person_is_told_to_call(
    place: Place, number: str
) -> None:
    mine = place.edge.sign_on("alice-1")
    reply = await place.house.on_request(request(request_user=number))
    plain = number[-3:]
    assert reply == Reply(403, f"Texts To {plain} Are Not Carried")
    await until(lambda: bool(place.edge.shown))
    [(uri, sender, said)] = place.edge.shown
    assert (uri, sender) == (mine, plain)
    assert ("d'un téléphone mobile" if plain == "114" else f"Appelez le {plain}") in said
    assert "PAS parti" in said and place.desk.taken == []


async def test_an_edge_that_is_away(place: Place) -> None:
    place.edge.broken = True
    assert await place.house.on_request(request()) == LATER


async def test_a_long_text_goes_by_udp_in_pieces_and_stops_at_one_that_is_not_taken(place: Place) -> None:
    udp, tls = place.edge.sign_on("bob-1", "udp"), place.edge.sign_on("bob-1", "tls")
    words = "mot " * 400
    delivered = await Delivery(place.db, place.edge).to_account(place.ids["bob"], words, "101")
    assert delivered.taken and len(delivered.contacts) == 2
    pieces = [text for uri, _, text in place.edge.shown if uri == udp]
    assert [text for uri, _, text in place.edge.shown if uri == tls] == [words]
    assert pieces[0].startswith("(1/3) ") and len(pieces) == 3
    assert all(len(piece.encode()) < REQUEST_MAX_BYTES for piece in pieces)
    place.edge.shown.clear()
    place.edge.says = {udp: Silent(), tls: Answered(415)}
    delivered = await Delivery(place.db, place.edge).to_account(place.ids["bob"], words, "101")
    assert (delivered.taken, delivered.uncertain, delivered.registered) == (False, True, True)
    assert len(place.edge.shown) == 2


# --- who has come -----------------------------------------------------------------------------------------------------


async def test_whoever_signs_on_is_told_of_and_whoever_was_there_too(place: Place) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    arrivals = Arrivals(place.db, place.edge, told.put)
    place.edge.sign_on("bob-1")
    running = asyncio.get_running_loop().create_task(arrivals.run())  # noqa: TID251
    async with asyncio.timeout(5):
        arrivals.look_at_all()
        assert await told.get() == place.ids["bob"]
        arrivals.changed("carol-1")  # gone
        arrivals.changed("nobody-1")
        place.edge.sign_on("alice-1")
        arrivals.changed("alice-1")
        assert await told.get() == place.ids["alice"]
    assert told.empty()
    running.cancel()


async def test_a_fault_brings_the_same_account_once_more(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sip.messages.arrivals.RETRY_S", 0.01)
    told: list[str] = []
    done = asyncio.Event()

    async def on_registered(account_id: str) -> None:
        told.append(account_id)
        if len(told) == 1:
            raise RpcError("x", 0, "away")
        done.set()

    place.edge.sign_on("bob-1")
    arrivals = Arrivals(place.db, place.edge, on_registered)
    arrivals.changed("bob-1")
    running = asyncio.get_running_loop().create_task(arrivals.run())  # noqa: TID251
    async with asyncio.timeout(5):
        await done.wait()
    assert told == [place.ids["bob"]] * 2
    running.cancel()
