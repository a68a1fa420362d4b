"""What a version would have done, on calls and recordings that are there; and what then really happens."""

from __future__ import annotations

import json
import secrets
import xml.etree.ElementTree as ET  # noqa: S405 - of what the product drew itself
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from recording import keys as key_tools
from recording import vault
from retention import metadata
from retention.metadata import CallFacts, MetadataClass
from server.failure import Failure
from server.services import policies as policy_service
from server.services import policy_register
from server.services.actor import Actor
from server.services.context import Services
from server.services.simulation import SimulationView, simulate
from server.services.work import watch
from server.simulation_picture import picture
from server.sweeper import Sweeper
from server.wire import plain
from storage import accounts, call_records, keys, lines, people, recordings
from storage.call_records import CallRecord
from storage.history import PastCall
from storage.keys import Kek, RecKey
from storage.recordings import Party
from tests.server.conftest import Ran

ME = Actor("os:1000", "desk-7", reason="a test")
NOW = datetime(2026, 12, 1, 8, tzinfo=UTC)
KINDS = ("cse_consulted", "staff_informed", "dpia_signed", "unrecorded_line_available")


class House:
    """Services with a clock that is set; a line `sales` that records all its calls, and `help`, which does not."""

    def __init__(self, services: Services) -> None:
        self.services, self.moment = services, NOW
        self.ids: dict[str, str] = {}
        services.clock = lambda: self.moment

    async def settle_in(self) -> None:
        async with self.services.db.transaction() as tx:
            await people.add(tx, "dora", "Dora", NOW, roles=("dpo",))
            for name, number, pack, class_ in (
                ("sales", "300", "REC_QUALITY", "standard"),
                ("help", "301", "REC_NONE", "minimal"),
            ):
                added = await lines.add(tx, name, number, NOW, pack=pack, metadata_class=class_)
                self.ids[name] = added.id
            emma = await accounts.add(tx, "emma", "310", "Emma", NOW)
            self.ids["emma"] = emma.id

    async def call(
        self, line: str, days_ago: float, number: str, *, class_: str = "standard", talk_s: float = 60.0,
        direction: metadata.Direction = "inbound", country: str = "FR",
    ) -> str:  # fmt: skip
        began = self.moment - timedelta(days=days_ago)
        inside, outside = "emma", number
        callers = (outside, inside) if direction == "inbound" else (inside, outside)
        facts = CallFacts(
            secrets.token_hex(16), self.ids[line], self.ids[line], direction, began, began + timedelta(seconds=talk_s),
            talk_s, "caller-hung-up" if talk_s else "cancelled", dict(zip(("caller", "callee"), callers, strict=True)),
            peer_role="caller" if direction == "inbound" else "callee", peer_country=country,
        )  # fmt: skip
        kept = metadata.reduce(facts, MetadataClass.parse(class_))
        assert kept.at is not None and kept.expires_at is not None
        line_id = facts.line_id if class_ == "standard" else None
        record = CallRecord(
            facts.call_id, line_id, class_, kept.pack, kept.legal_basis, kept.at, kept.expires_at, kept.fields, None
        )
        async with self.services.db.transaction() as tx:
            await call_records.add(tx, record, kept.numbers)
            await call_records.count(tx, kept.totals.day, kept.totals.direction, kept.totals.minutes)
        return facts.call_id

    async def recording(self, days_ago: int, pack: str = "REC_QUALITY", *, kept_days: int = 90) -> str:
        began, rec_id, kek_id = self.moment - timedelta(days=days_ago), secrets.token_hex(16), secrets.token_hex(16)
        public, _ = key_tools.generate_kek()
        async with self.services.db.transaction() as tx:
            kek = Kek(kek_id, pack, f"2026-W40.{secrets.randbelow(10**6)}", "X", public, b"s" * 64, began, began)
            await keys.add_kek(tx, kek, ())
            await recordings.start(
                tx, rec_id, call_id=secrets.token_hex(16), purpose=pack, pack_version="2026-11-21", legal_basis="b",
                expires_at=began + timedelta(days=kept_days), codec="opus", rate_hz=8000, channels=2, started_at=began,
                kek_id=kek_id, parties=[Party(0, "1" * 32, None, "+33600000001")], consent_refs=[1],
            )  # fmt: skip
            await keys.add_rec_key(tx, RecKey(rec_id, kek_id, "X", b"\x01" * 1169))
            await recordings.finish(tx, rec_id, state="whole", ended_at=began, duration_ms=1, size_bytes=1, sha256="0")
        vault.make_place(self.services.paths.vault, rec_id)
        vault.sealed_path(self.services.paths.vault, rec_id).write_bytes(b"sealed audio")
        return rec_id

    async def draft(self, *rules: dict[str, Any], from_: str = "approval") -> int:
        made = await policy_service.draft(self.services, ME)
        for rule in rules:
            await policy_service.set_(self.services, ME, number=made.number, **rule)
        await policy_service.set_(self.services, ME, number=made.number, valid_from=from_)
        return made.number

    async def simulate(self, number: int, **span: Any) -> SimulationView:
        return await simulate(self.services, ME, number=number, **span)


@pytest.fixture
async def house(services: Services) -> House:
    made = House(services)
    await made.settle_in()
    return made


SAMPLED = {"rule": "sales", "pack": "REC_QUALITY", "line": "sales", "rate": "5%", "retention": "P1M"}
FULL = {"rule": "sales.records", "pack": "CDR_STANDARD", "line": "sales"}


@pytest.mark.promise("L7")
async def test_what_a_change_would_have_recorded_asked_and_logged(house: House) -> None:
    for day in range(40):
        await house.call("sales", day + 0.1, "+33612345678")
        await house.call("help", day + 0.1, "+33612345679", class_="minimal")
    await house.call("sales", 3, "+4915112345678", country="DE")
    await house.call("sales", 4, "+33612345678", talk_s=0.0)
    said = await house.simulate(await house.draft(SAMPLED))
    assert (said.against, said.calls, said.talked, said.untold) == (None, 82, 81, 0)
    assert said.before.recorded == 41 and said.after.recorded == 2  # all of the line's conversations; 5 % of them
    assert said.after.purposes == {"REC_QUALITY": 2}
    assert said.before.classes == {"minimal": 40, "standard": 42} and said.after.classes == {"minimal": 82}
    german = next(row for row in said.rows if row.country == "DE")
    assert german.calls == 1 and "opt-in" in german.before and "opt-in" in german.after  # section 201 StGB
    french = next(row for row in said.rows if row.country == "FR" and row.line == "sales")
    assert french.changes and french.before == "REC_QUALITY, opt-out; standard"
    assert french.after == "REC_QUALITY 5 %, opt-out; minimal" and "rule sales" in french.why
    helped = next(row for row in said.rows if row.line == "help")
    assert not helped.changes and said.rows.index(helped) == len(said.rows) - 1
    assert sum(month.calls for month in said.months) == 82 and [m.month for m in said.months] == [
        "2026-10",
        "2026-11",
        "2026-12",
    ]


async def test_against_another_version_and_in_a_part_of_the_time(house: House) -> None:
    for day in range(20):
        await house.call("sales", day + 0.1, "+33612345678")
    one, two = await house.draft(SAMPLED, FULL), await house.draft({**SAMPLED, "rate": "10%"}, FULL)
    said = await house.simulate(two, against=one, since="2026-11-21", until="2026-12-01")
    assert (said.against, said.calls, said.before.recorded, said.after.recorded) == (one, 10, 0, 1)
    assert said.before.classes == {"standard": 10} == said.after.classes
    with pytest.raises(Failure, match="ends before it begins"):
        await house.simulate(two, since="2026-12-01", until="2026-11-01")
    with pytest.raises(Failure, match="no version 9"):
        await house.simulate(9)


async def test_people_count_where_a_rule_names_them_and_it_says_of_whom_nothing_is_known(house: House) -> None:
    await house.call("help", 1, "+33612345678", direction="outbound")
    await house.call("help", 2, "+33612345678", class_="minimal")
    number = await house.draft({"rule": "emma", "pack": "REC_QUALITY", "account": "emma", "rate": "10%"})
    said = await house.simulate(number)
    assert said.unattributed == 1, "the minimal record names nobody"
    [row] = [row for row in said.rows if row.changes]
    assert (row.direction, row.calls) == ("outbound", 1) and row.after.startswith("REC_QUALITY 10 %")


@pytest.mark.promise("L7")
async def test_what_goes_at_once_is_what_the_next_sweep_destroys(house: House) -> None:
    """The forecast and reality, item for item."""
    old = [await house.recording(days) for days in (35, 50, 89)]
    young = [await house.recording(days) for days in (2, 20)]
    duty = await house.recording(400, "REC_MIFID", kept_days=1900)
    held_calls = [await house.call("sales", days, "+33612345678") for days in (10, 60)]
    number = await house.draft(SAMPLED, {**FULL, "retention": "P1M"}, from_="approval")
    said = await house.simulate(number)
    gone = {(one.kind, one.pack): (one.earlier, one.at_once) for one in said.gone}
    assert gone[("recording", "REC_QUALITY")] == (5, 3) and ("recording", "REC_MIFID") not in gone
    assert gone[("call_record", "CDR_STANDARD")] == (2, 1)
    assert said.kept == 8 == sum(month.after for month in said.leaving) == sum(month.before for month in said.leaving)
    for kind in KINDS:
        await policy_register.enter(
            house.services, ME, kind=kind, pack="REC_QUALITY", evidence="minutes 7", done_by="Dora", done_on=NOW.date()
        )
    await policy_service.approve(house.services, ME, number=number, login="dora")
    house.moment += timedelta(minutes=5)
    swept = await Sweeper(house.services).sweep(clock_is_right=True)
    assert swept is not None and swept.destroyed == {"recording": 3, "call_record": 1, "kek": 3}  # and their weeks
    async with house.services.db.read() as tx:
        states = {rec_id: (await recordings.get(tx, rec_id)).state for rec_id in (*old, *young, duty)}
        assert [states[rec_id] for rec_id in old] == ["destroyed"] * 3
        assert {states[rec_id] for rec_id in (*young, duty)} == {"whole"}
        assert (await call_records.get(tx, held_calls[0])).id == held_calls[0]


async def test_calls_whose_fields_have_aged_are_still_told_apart(house: House) -> None:
    for line, class_ in (("sales", "standard"), ("help", "minimal")):
        await house.call(line, 25, "+4915112345678", country="DE", class_=class_)
        await house.call(line, 25, "+33612345678", talk_s=0.0, class_=class_)
    number = await house.draft(SAMPLED)
    before = await house.simulate(number)
    house.moment += timedelta(days=4)
    await Sweeper(house.services).sweep(clock_is_right=True)
    after = await house.simulate(number)
    assert (before.calls, before.talked) == (after.calls, after.talked) == (4, 2)
    assert {row.country for row in after.rows} == {"DE", "FR"}
    house.moment += timedelta(days=70)  # numbers of the standard class are gone by then
    await Sweeper(house.services).sweep(clock_is_right=True)
    late = await house.simulate(number)
    assert (late.calls, late.talked, {row.country for row in late.rows}) == (2, 1, {"DE", "FR"})


async def test_many_calls_are_counted_by_programs_beside_the_daemon(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(30):
        await house.call("sales", day, "+33612345678")
        await house.call("help", day, "+4915112345678", country="DE", class_="minimal")
    number = await house.draft(SAMPLED)
    within = await house.simulate(number)
    monkeypatch.setattr("server.counters.FEW", 10)
    monkeypatch.setattr("server.counters.MOST_PROCESSES", 3)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    told: list[tuple[int, int]] = []
    watching = watch.set(lambda done, of: told.append((done, of)))
    assert await house.simulate(number) == within
    watch.reset(watching)
    assert told == sorted(told) and told[-1] == (within.calls, within.calls), "it says how far it is"
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(Failure, match="could not be counted"):
        await house.simulate(number)


@pytest.mark.parametrize("many", [1, 9, 12, 40])
def test_the_names_of_months_do_not_run_into_each_other(many: int) -> None:
    months = [{"month": f"20{26 + n // 12}-{n % 12 + 1:02}", "before": n, "after": 1} for n in range(many)]
    said = {"number": 2, "against": None, "calls": 1, "kept": 1, "gone": [], "months": months, "leaving": []}
    sides = {"before": {"recorded": 1}, "after": {"recorded": 1}}
    drawn = ET.fromstring(picture({**said, **sides}))  # noqa: S314
    labels = [one for one in drawn.iter("{http://www.w3.org/2000/svg}text") if str(one.text)[4:5] == "-"]
    places = [float(one.attrib["x"]) for one in labels]
    assert places and all(two - one >= 60 for one, two in pairwise(places)), "seven figures of 13 pixels take 55"


def test_what_is_opened_for_counting_shows_no_number_in_a_log() -> None:
    said = repr([PastCall(0, None, "inbound", True, False, "", b'{"caller": "+33612345678"}')])
    assert "612345678" not in said and "inbound" in said


async def test_calls_without_a_trace_are_said_to_be_missing(house: House) -> None:
    await house.call("sales", 2, "+33612345678")
    async with house.services.db.transaction() as tx:
        for _ in range(3):
            await call_records.count(tx, "2026-11-28", "inbound", 2)
    said = await house.simulate(await house.draft(SAMPLED))
    assert (said.calls, said.untold) == (1, 3)


async def test_an_empty_history_and_an_empty_policy(house: House) -> None:
    number = (await policy_service.draft(house.services, ME)).number
    said = await house.simulate(number)
    assert said.calls == said.before.recorded == said.after.recorded == said.kept == 0
    assert ET.fromstring(picture(plain(said))).tag.endswith("svg")  # noqa: S314


async def test_the_picture_says_the_numbers(house: House) -> None:
    for day in range(40):
        await house.call("sales", day + 0.1, "+33612345678")
    await house.recording(50)
    drawn = ET.fromstring(picture(plain(await house.simulate(await house.draft(SAMPLED, FULL)))))  # noqa: S314
    space = "{http://www.w3.org/2000/svg}"
    words = [one.text for one in drawn.iter(f"{space}title")]
    assert "Version 1 of the policy, compared with the lines as they are" in words
    assert "2026-11, before: 30" in words and "2026-11, after: 2" in words
    described = drawn.find(f"{space}desc")
    assert described is not None and "Of 40 calls, 40 would be recorded before and 2 after" in str(described.text)
    assert (
        "script" not in {one.tag.removeprefix(space) for one in drawn.iter()}
        and "+336" not in ET.tostring(drawn).decode()
    )


def test_the_command_says_it_lists_it_and_draws_it(beffroi: Callable[..., Ran], tmp_path: Path) -> None:
    beffroi("line", "add", "sales", "300", "--pack", "REC_QUALITY")
    assert beffroi("policy", "draft", "--from-lines").status == 0
    told = beffroi("policy", "simulate", "1", "--svg", str(tmp_path / "p.svg"), "--list")
    assert told.status == 0 and "compared with the lines as they are, on 0 calls" in told.out
    assert "</svg>" in (tmp_path / "p.svg").read_text()
    assert json.loads(beffroi("policy", "simulate", "1", "--json").out)["number"] == 1
    assert beffroi("policy", "simulate", "1", "--from", "soon").status == 1
    assert beffroi("policy", "simulate", "1", "--svg", str(tmp_path / "no" / "p.svg")).status == 2
