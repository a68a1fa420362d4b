"""Lines, numbers, trunks and carriers through the portal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.sms_section import Carrier
from storage import lines, numbers_owned, trunks
from tests.peers.ports import Ports
from tests.server.duty_house import add_trunk
from tests.web.admin_house import House


async def line_of(place: House, name: str) -> lines.Line:
    async with place.services.db.read() as tx:
        return next(one for one in await lines.list_all(tx) if one.name == name)


async def trunk_of(place: House, name: str) -> trunks.Trunk:
    async with place.services.db.read() as tx:
        return next(one for one in await trunks.list_all(tx) if one.name == name)


LINE = {"pack": "REC_NONE", "metadata_class": "minimal", "strategy": "simultaneous", "member_ring_s": "20"}


async def test_a_line_is_added_and_changed(place: House) -> None:
    who = await place.person("admin")
    for number in ("771", "772"):
        await place.post("/accounts/new", who, {"name": f"a{number}", "extension": number})
    fields = {**LINE, "name": "Sales", "number": "300", "kind": "ring", "members": "a772, a771"}
    done = await place.post("/lines/new", who, fields)
    assert (done.status, done.went) == (303, "/lines/sales")
    page = await place.get("/lines/sales", who)
    assert 'value="a772 a771"' in page.html
    changed = {**LINE, "number": "300", "members": "a771", "strategy": "sequential", "disabled": "yes"}
    assert (await place.post("/lines/sales", who, changed)).message == "The line is changed."
    sales = await line_of(place, "sales")
    assert (sales.strategy, len(sales.members), sales.disabled_at is None) == ("sequential", 1, False)
    assert "Disabled" in (await place.get("/lines", who)).text
    assert "Finalité d’enregistrement" in (await place.get("/lines", who, "fr")).text


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"name": ""}, 422),
        ({"number": ""}, 422),
        ({"number": "112"}, 409),
        ({"members": "nobody"}, 422),
        ({"member_ring_s": "long"}, 422),
        ({"pack": "x"}, 422),
    ],
)
async def test_what_is_wrong_about_a_line(place: House, fields: dict[str, str], status: int) -> None:
    who = await place.person("admin")
    page = await place.post("/lines/new", who, {"name": "sales", "number": "300", "kind": "ring", **LINE, **fields})
    assert page.status == status and 'role="alert"' in page.html


async def test_a_line_that_there_is_not(place: House) -> None:
    assert (await place.get("/lines/nothing", await place.person("admin"))).status == 404


@pytest.mark.promise("2.22")
async def test_a_number_leads_to_a_line_and_stands_masked(place: House) -> None:
    who = await place.person("admin")
    assert "No number is ours yet" in (await place.get("/numbers", who)).text
    await place.post("/lines/new", who, {"name": "sales", "number": "300", "kind": "ring", **LINE})
    done = await place.post("/numbers/new", who, {"number": "+33 1 84 88 00 01", "line": "sales"})
    assert done.message == "The number leads there now."
    assert "+33184880001" not in (await place.get("/numbers", who)).text
    assert "+33184880001" in (await place.post("/numbers", who, {"reason": "the provider asks"})).text
    taken = await place.post("/numbers/new", who, {"number": "+33184880001", "line": "sales"})
    assert taken.status == 409 and "This number leads somewhere already." in taken.text
    assert (await place.post("/numbers/new", who, {"number": "+33184880002"})).status == 422
    assert (await place.post("/numbers/remove", who, {"gone": "+33184880001"})).status == 303
    async with place.services.db.read() as tx:
        assert await numbers_owned.list_all(tx) == ()


async def test_a_trunk_is_added_changed_and_removed(place: House) -> None:
    who = await place.person("admin")
    fields = {"name": "Provider", "host": "sip.example.org", "transport": "tls", "srtp": "yes", "user": "u1",
              "password": "secret-1", "channels": "7", "format": "00"}  # fmt: skip
    done = await place.post("/trunks/new", who, fields)
    assert (done.status, done.went) == (303, "/trunks/provider")
    kept = await trunk_of(place, "provider")
    assert (kept.port, kept.srtp, kept.register, kept.max_channels) == (5061, True, True, 7)
    page = await place.get("/trunks/provider", who)
    assert "secret-1" not in page.html and 'value="u1"' not in page.html
    assert "Nobody knows yet." in page.text
    changed = {"host": "sip2.example.org", "port": "5071", "transport": "tls", "channels": "9"}
    assert (await place.post("/trunks/provider", who, changed)).message == "The trunk is changed."
    after = await trunk_of(place, "provider")
    assert (after.host, after.port, after.srtp, after.max_channels) == ("sip2.example.org", 5071, False, 9)
    assert after.ha1 == kept.ha1
    assert "L’audio n’est pas chiffré en route." in (await place.get("/trunks/provider", who, "fr")).text
    assert (await place.post("/trunks/provider/remove", who)).went == "/trunks"
    assert (await place.get("/trunks/provider", who)).status == 404


@pytest.mark.parametrize("fields", [{}, {"name": "x"}, {"name": "x", "host": "h", "port": "many"}])
async def test_what_is_wrong_about_a_trunk(place: House, fields: dict[str, str]) -> None:
    page = await place.post("/trunks/new", await place.person("admin"), fields)
    assert page.status == 422 and 'role="alert"' in page.html


@pytest.mark.promise("P15")
async def test_a_trunk_is_tested_in_plain_words(place: House, ports: Ports) -> None:
    """Nobody listens there: it is said, with what to do."""
    made = await add_trunk(place.services.db, transport="tcp", port=ports.take(1))
    async with place.services.db.transaction() as tx:
        await trunks.save(tx, replace(made, host="127.0.0.1"))
    page = await place.post("/trunks/provider/test", await place.person("admin"))
    assert page.status == 200
    assert "Something keeps calls from passing." in page.text and "Not well" in page.text


async def test_carriers(place: House) -> None:
    who = await place.person("admin")
    assert "No carrier is set up" in (await place.get("/carriers", who)).text
    held = place.services.settings
    carriers = {"main": Carrier(kind="smpp", host="smsc.example.org", prefixes=("+33",))}
    place.services.settings = held.model_copy(update={"sms": held.sms.model_copy(update={"carriers": carriers})})
    page = await place.get("/carriers", who, "fr")
    assert "main" in page.text and "Le serveur est arrêté." in page.text and "+33" in page.text
    assert (await place.post("/carriers/x/test", who, {})).status == 422
    sent = await place.post("/carriers/x/test", who, {"inbox": "sales", "to": "+33612345678"})
    assert sent.status == 503


@pytest.mark.promise("0.4")
@pytest.mark.parametrize("path", ["/lines", "/numbers", "/trunks", "/carriers"])
async def test_an_auditor_looks_and_changes_nothing(place: House, path: str) -> None:
    await add_trunk(place.services.db)
    who = await place.person("auditor")
    page = await place.get(path, who)
    assert page.status == 200
    assert "Add a" not in page.text
    assert (await place.post("/trunks/provider/remove", who)).status == 403
    assert (await place.get(path, await place.person("employee"))).status == 403
