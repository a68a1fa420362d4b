"""Registrations and bans, through the portal."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from server.services.context import utc_now
from sip.edge.rpc import RpcError
from sip.edge.state import Ban, Contact
from storage import devices
from tests.web.admin_house import House

SCRIPT = "<script>alert(1)</script>"


class Edge:
    """It knows one phone of each that it is told, and bans two sources."""

    def __init__(self) -> None:
        self.phones: dict[str, list[Contact]] = {}
        self.banned = {"192.0.2.66": "credentials", "tls:198.51.100.7:40000": "scanner"}
        self.silent = False

    async def registrations(self) -> dict[str, list[Contact]]:
        if self.silent:
            raise RpcError("ul.dump", 0, "no answer")
        return self.phones

    async def contacts(self, auth_user: str) -> list[Contact]:
        return self.phones.get(auth_user, [])

    async def push_device(self, auth_user: str, account: str, ha1: str, account_id: str = "") -> None: ...

    async def bans(self) -> list[Ban]:
        until: datetime = utc_now() + timedelta(minutes=5)
        return [Ban(source, why, until) for source, why in self.banned.items()]

    async def lift_ban(self, source: str) -> bool:
        return self.banned.pop(source, None) is not None


async def test_registrations_say_who_is_not_there_first(place: House) -> None:
    who, edge = await place.person("admin"), Edge()
    place.services.edge = edge  # type: ignore[assignment]
    await place.post("/accounts/new", who, {"name": "nina", "extension": "771"})
    for label in ("desk", "kitchen"):
        await place.post("/accounts/nina/phone", who, {"label": label})
    async with place.services.db.read() as tx:
        mine = [one for one in await devices.list_all(tx) if one.label in ("desk", "kitchen")]
    sip = "sip:203.0.113.9:40312;transport=tls"
    edge.phones = {mine[0].auth_user: [Contact("tls", "sip:x@10.0.0.3:1", sip, SCRIPT, 300)]}
    page = await place.get("/registrations", await place.person("security"))
    assert page.status == 200 and SCRIPT not in page.html
    assert page.text.index("Not registered") < page.text.index("✓ Registered")
    assert "203.0.113.•:40312" in page.text and "203.0.113.9" not in page.text
    clear = await place.post("/registrations", who, {"reason": "who is that"})
    assert "203.0.113.9:40312" in clear.text
    assert (await place.post("/registrations", who, {"reason": ""})).status == 422


async def test_an_edge_that_is_away_is_said_in_words(place: House) -> None:
    who, edge = await place.person("admin"), Edge()
    assert (await place.get("/registrations", who)).status == 503
    edge.silent = True
    place.services.edge = edge  # type: ignore[assignment]
    page = await place.get("/registrations", who)
    assert page.status == 503 and "The edge does not answer" in page.text


@pytest.mark.promise("P10")
async def test_bans_are_listed_and_lifted(place: House) -> None:
    who, edge = await place.person("security"), Edge()
    place.services.edge = edge  # type: ignore[assignment]
    page = await place.get("/bans", who)
    assert "192.0.2.66" in page.text and "Wrong passwords" in page.text
    done = await place.post("/bans", who, {"source": "tls:198.51.100.7:40000"})
    assert done.message == "tls:198.51.100.7:40000 is listened to again."
    assert list(edge.banned) == ["192.0.2.66"]
    assert (await place.post("/bans", who, {"source": "203.0.113.1"})).status == 404
    reader = await place.person("auditor")
    assert 'name="source"' not in (await place.get("/bans", reader)).html
    assert (await place.post("/bans", reader, {"source": "192.0.2.66"})).status == 403
    edge.banned = {}
    assert "Personne n’est banni" in (await place.get("/bans", who, "fr")).text
