"""Trunks from the database to the edge, and how they are."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from server import trunks_desk
from server.services import trunk_test
from server.services.context import Services
from server.trunks_desk import TrunksDesk
from sip.edge.trunks import Trunk, TrunkState
from storage import trunks
from storage.errors import Unavailable
from tests.server.duty_house import Edge, add_trunk
from tests.sip.worker.rig import until


async def test_the_edge_knows_the_enabled_trunks_and_only_those(services: Services) -> None:
    edge = Edge()
    desk = TrunksDesk(services.db, edge, dict)
    one = await add_trunk(services.db, register=True, user="+33100000001", ha1="ab" * 16)
    await add_trunk(services.db, "off", enabled=False)
    six = await add_trunk(services.db, "six", sources=("2001:db8::/32",))
    async with services.db.transaction() as tx:
        await trunks.save(tx, replace(six, host="2001:db8::7", domain="2001:db8::7"))
    await desk.load()
    await desk.push()
    assert set(edge.trunks) == {one.id, six.id}
    assert edge.trunks[one.id].uri == "sip:192.0.2.50:5060;transport=udp"
    assert (edge.trunks[one.id].ha1, edge.trunks[one.id].register) == ("ab" * 16, True)
    assert edge.trunks[six.id].uri == "sip:[2001:db8::7]:5060;transport=udp"
    assert edge.trunks[six.id].domain == "[2001:db8::7]"


async def test_one_trunk_that_cannot_be_carried_does_not_keep_the_others_away(
    services: Services, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    edge = Edge()
    desk = TrunksDesk(services.db, edge, dict)
    good = await add_trunk(services.db)
    bad = await add_trunk(services.db, "bad", register=True, user="someone", ha1="cd" * 16)

    def check(trunk: Trunk) -> None:
        if trunk.id == bad.id:
            raise ValueError("the user of a trunk cannot be carried")

    monkeypatch.setattr(trunks_desk, "check", check)
    await desk.load()
    await desk.push()
    assert set(edge.trunks) == {good.id}
    assert bad.id in caplog.text and "someone" not in caplog.text


async def test_a_trunk_that_goes_down_and_comes_back_is_told_once_each(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    edge = Edge()
    desk = TrunksDesk(services.db, edge, lambda: {trunk.id: 2})
    trunk = await add_trunk(services.db, max_channels=5)
    await desk.load()
    assert desk.views()[trunk.id].up is None, "nobody has asked yet"
    for reachable, up in ((True, True), (False, False), (False, False), (True, True)):
        edge.states = {trunk.id: TrunkState(None, reachable), "gone": TrunkState(None, False)}
        await desk.look()
        assert desk.views()[trunk.id].up is up
    assert desk.failures == 1 and caplog.text.count("is down") == 1 and caplog.text.count("is up again") == 1
    assert "192.0.2.50" not in caplog.text and "provider" not in caplog.text
    assert desk.gauges() == {"trunks": 1.0, "trunks_down": 0.0, "trunk_channels_in_use": 2.0}
    assert desk.max_channels(trunk.id) == 5 and desk.max_channels("nobody") is None


async def test_a_certificate_of_another_name_is_a_reason_in_plain_words(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    edge = Edge()
    desk = TrunksDesk(services.db, edge, dict)
    trunk = await add_trunk(services.db, register=True, user="u", ha1="ab" * 16)
    await desk.load()
    edge.states = {trunk.id: TrunkState(True, False, wrong_name=True)}
    await desk.look()
    [shown] = desk.status()
    assert shown["wrong_certificate"] and shown["up"] is False
    assert "its certificate has another name" in caplog.text
    assert trunk_test.words(trunk, edge.states[trunk.id]) == "shows a certificate of another name"


async def test_an_edge_or_a_database_that_does_not_answer_changes_nothing(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge = Edge()
    desk = TrunksDesk(services.db, edge, dict)
    trunk = await add_trunk(services.db)
    await desk.load()
    edge.states = {trunk.id: TrunkState(True, True)}
    await desk.look()
    edge.away = True
    await desk.look()
    assert desk.views()[trunk.id].up

    async def locked(*_: object, **__: object) -> None:
        raise Unavailable("locked")

    monkeypatch.setattr(trunks, "list_all", locked)
    with pytest.raises(Unavailable):
        await desk.load()
    assert [one.id for one in desk.enabled] == [trunk.id]


async def test_after_a_failed_call_they_are_looked_at_at_once(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trunks_desk, "SOON_S", 0.01)
    edge = Edge()
    desk = TrunksDesk(services.db, edge, dict)
    trunk = await add_trunk(services.db)
    await desk.load()
    edge.states = {trunk.id: TrunkState(None, False)}
    task = asyncio.get_running_loop().create_task(desk.run())  # noqa: TID251 - ended below
    await asyncio.sleep(0)
    desk.look_soon()
    await until(lambda: desk.views()[trunk.id].up is False)
    task.cancel()
