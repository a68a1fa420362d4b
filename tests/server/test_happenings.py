"""Texts that come and go are told to whoever reads that inbox, and to nobody else."""

from __future__ import annotations

import asyncio

import pytest

from server.happenings.hub import Happening, Hub
from server.happenings.sight import sight_of
from server.happenings.watch import Watch
from server.rights import Identity, Reach
from server.services import texts
from server.services.context import Services
from storage import people
from tests.server.text_house import HIS, ME, furnish, ids, running


async def identity(services: Services, login: str) -> Identity:
    async with services.db.read() as tx:
        person = await people.by_login(tx, login)
    return Identity(person.id, login, "en", {"texts.use": Reach.OWN})


@pytest.mark.promise("0.4", "1.9", "P16")
async def test_texts_are_told_of_by_inbox_and_without_a_word_of_them(services: Services) -> None:
    await furnish(services)
    hub = Hub()
    watch = Watch(hub, services.db, lambda: [], services.clock)
    heard: list[Happening] = []
    async with running(services) as desk, asyncio.TaskGroup() as group:
        desk.messaging.outbox.changed, desk.messaging.heard = watch.texts_changed, watch.arrived
        looking = group.create_task(watch.run())
        with hub.listening() as listener:
            await asyncio.sleep(0.05)
            sent = await texts.send(services, ME, login="reader", inbox="support", to=HIS, words="a secret word")
            await desk.comes("another secret", sender=HIS)
            async with asyncio.timeout(30):
                while {one.kind for one in heard} != {"text.in", "text.out"}:
                    one = await listener.next()
                    assert one is not None
                    heard.append(one)
        looking.cancel()
    out, came = (next(one for one in heard if one.kind == kind) for kind in ("text.out", "text.in"))
    assert (out.subject, out.state) == (sent.id, "sent")
    assert [came.subject] == await ids(services)
    reader = await sight_of(services, await identity(services, "reader"))
    assert reader.sees(out) and reader.sees(came)
    told = [reader.told(one) for one in heard]
    assert {one["inbox"] for one in told} == {"support"}
    assert "secret" not in str(told) and HIS not in str(told) and HIS[-6:] not in str(told)
    for login in ("cora", "anna", "nora"):  # another inbox; only writes; neither
        other = await sight_of(services, await identity(services, login))
        assert not other.sees(out) and not other.sees(came), login
    nobody = await sight_of(services, Identity("0" * 32, "x", "en", {}))
    assert not nobody.sees(out) and not nobody.sees(Happening("call.started", services.clock(), "1" * 32))
