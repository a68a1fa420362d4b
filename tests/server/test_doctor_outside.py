"""doctor looks at the way out: no emergency call that cannot leave goes unseen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from config import settings
from config.paths import Paths
from server import doctor
from server.checks import outside
from server.checks.finding import Finding
from server.services.context import open_services
from tests.server.conftest import Ran

LOUD = "NO EMERGENCY CALL LEAVES THIS HOUSE"


def looked(data: Path) -> dict[str, Finding]:
    return {one.check: one for one in outside.examine(data, settings.load(Paths(data).config))}


def configure(data: Path, text: str) -> None:
    config = Paths(data).config
    kept = config.read_text().split("[emergency]")
    after = kept[1].split("\n[", 1)[1] if len(kept) > 1 and "\n[" in kept[1] else ""
    config.write_text(f"{kept[0]}[emergency]\n{text}\n" + (f"[{after}" if after else ""))


def add(beffroi: Callable[..., Ran], name: str = "north") -> None:
    assert beffroi("trunk", "add", name, "--host", "192.0.2.1").status == 0


@pytest.mark.promise("P12")
def test_without_a_trunk_nobody_can_overlook_it(data: Path, beffroi: Callable[..., Ran]):
    found = looked(data)
    assert (found["emergency"].verdict, list(found)) == ("note", ["emergency"])
    assert LOUD in found["emergency"].what and "trunk add" in found["emergency"].remedy
    assert LOUD in " ".join(beffroi("doctor").out.split())
    assert LOUD in " ".join(beffroi("welcome").out.split())


def test_a_trunk_without_numbers_and_prices(data: Path, beffroi: Callable[..., Ran]):
    add(beffroi)
    found = looked(data)
    assert (found["emergency"].verdict, found["trunks"].verdict) == ("note", "ok")
    assert "emergency.trunks" in found["emergency"].remedy
    assert found["numbers"].verdict == "note" and "reach nobody" in found["numbers"].what
    assert found["rates"].verdict == "note" and "examples" in found["rates"].what
    beffroi("number", "add", "+33142000000", "--line", "200")
    assert "numbers" not in looked(data)
    Paths(data).rates.write_text("this is no TOML")
    assert looked(data)["rates"].verdict == "wrong"


@pytest.mark.promise("P12")
def test_named_trunks_have_to_be_in_use(data: Path, beffroi: Callable[..., Ran]):
    add(beffroi)
    configure(data, 'trunks = ["north", "south"]')
    assert looked(data)["emergency"].verdict == "wrong" and "south" in looked(data)["emergency"].what
    add(beffroi, "south")
    assert looked(data)["emergency"].what == "calls leave by north, then south"
    beffroi("trunk", "disable", "north")
    assert "north" in looked(data)["emergency"].what
    configure(data, "trunks = []")
    beffroi("trunk", "disable", "south")
    assert looked(data)["emergency"].verdict == "wrong" and LOUD in looked(data)["emergency"].what


@pytest.mark.promise("P12")
def test_a_drill_that_was_left_on_is_wrong(data: Path, beffroi: Callable[..., Ran]):
    add(beffroi)
    configure(data, "drill = true")
    drill = looked(data)["emergency drill"]
    assert "ONLY PLAYED" in drill.what and drill.verdict == "wrong"


@pytest.mark.promise("P12")
def test_a_trunk_that_is_down_is_wrong_and_so_is_an_emergency_without_another(
    data: Path, beffroi: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
):
    add(beffroi)
    states = {"north": "not registered"}
    real = outside.ask

    def asked(asking: object, op: str) -> object:
        said = real(asking, op)  # type: ignore[arg-type]
        return [one | {"state": states[one["name"]]} for one in said] if op == "trunk.list" else said

    monkeypatch.setattr(outside, "ask", asked)
    found = looked(data)
    assert found["trunks"].verdict == "wrong" and found["trunks"].remedy == "Type: beffroi trunk test north"
    assert found["emergency"].verdict == "wrong" and "NOW" in found["emergency"].what
    add(beffroi, "south")
    states["south"] = "answers"
    assert looked(data)["emergency"].verdict == "note"


def test_a_damaged_database_is_told_once(data: Path):
    Paths(data).database.write_bytes(b"no database" * 1000)
    assert looked(data) == {}


def test_what_is_looked_at_is_in_the_ledger_without_a_name(data: Path, beffroi: Callable[..., Ran]):
    doctor.examine(data)

    async def entries() -> list[bytes]:
        from storage import ledger

        async with open_services(data) as services, services.db.read() as tx:
            return [entry.body for entry in await ledger.entries(tx, "access")]

    said = b"".join(asyncio.run(entries()))
    assert b'"object":"trunk"' in said and b"north" not in said
