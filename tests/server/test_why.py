"""Why could somebody not be heard: what is kept of a call by class, and what the command says of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from server.commands.why import FIELDS, LIST_FIELDS, _language_of, shown
from server.diagnoses import DatabaseKeeper
from server.failure import Failure
from server.services import calls, why
from server.services.actor import SYSTEM, Actor
from server.services.context import Services, open_services
from server.wire import plain
from sip.calls.diagnosis import judge
from sip.calls.history import CallHistory, Figures, LegHistory, Step, Stretch
from sip.calls.observatory import Judged, Observatory
from sip.calls.plan import Outcome, Refusal
from sip.edge.protocol import EdgeRequest
from sip.worker import protocol as p
from storage import accounts, call_records, devices, diagnoses, ledger
from tests.server.conftest import Ran
from tests.sip.calls.drive import plan

pytestmark = pytest.mark.promise("P15", "L13")

NOW = datetime(2026, 11, 22, 1, 23, 45, tzinfo=UTC)
ME = Actor(SYSTEM, "test")
CALL = "c0ffee" + "0" * 26
REQUEST = EdgeRequest("invite", (1, 2), "x", 1, "", "alice", "102", "tls:127.0.0.1:4000", False)
LOSSY = Figures(rx_packets=4500, rx_lost=500, rx_jitter_us=2000, tx_packets=5000, tx_jitter_us=900, rtt_us=20_000)
FINE = replace(LOSSY, rx_packets=5000, rx_lost=0)


def history() -> CallHistory:
    """A minute and a half, in which a tenth of the caller's audio was lost."""
    legs = (
        LegHistory(
            "a", inward=True, codec="PCMA", srtp=True, up_ms=1200, stretches=(Stretch("start", 100_000, LOSSY),)
        ),
        LegHistory("b0", codec="PCMA", up_ms=1100, stretches=(Stretch("start", 100_000, FINE),)),
    )
    ladder = (
        Step(0, "a", True, "INVITE"),
        Step(40, "b0", False, "INVITE"),
        Step(1100, "b0", True, "200"),
        Step(101_234, "a", True, "BYE"),
    )
    return CallHistory("ring", "caller-hung-up", 200, 101_500, legs, ladder, talked=True)


def judged(class_: str = "minimal", call_id: str = CALL) -> Judged:
    return Judged(call_id, NOW, history(), judge(history()), class_)


def at(services: Services, moment: datetime) -> Services:
    services.clock = lambda: moment
    return services


async def keep(services: Services, *what: Judged, days: int = 7) -> None:
    keeper = DatabaseKeeper(services.db, days)
    for each in what:
        await keeper.keep(each)


async def kept(services: Services, now: datetime = NOW) -> list[diagnoses.CallDiagnosis]:
    async with services.db.read() as tx:
        return list(await diagnoses.list_all(tx, now))


# --- what is kept -----------------------------------------------------------------------------------------------------


async def test_class_standard_keeps_times_and_counts(services: Services) -> None:
    await keep(services, judged("standard"))
    [found] = await kept(services)
    assert (found.at, found.expires_at) == (NOW, NOW + timedelta(days=7))
    assert (found.verdict, found.mos_centi) == ("loss-in", found.facts["mos_centi"])
    assert found.facts["ladder"][-1] == [101_234, "a", True, "BYE"]
    assert found.facts["legs"][0]["rx_packets"] == 4500


@pytest.mark.promise("3.3", "P15")
async def test_class_minimal_tells_no_more_of_the_length_than_its_record(services: Services) -> None:
    await keep(services, judged("minimal"))
    [found] = await kept(services)
    assert found.at == NOW.replace(minute=0, second=0, microsecond=0)
    assert [rung[0] for rung in found.facts["ladder"]] == [0, 40, 1100, None]
    assert found.facts["legs"][0]["rx_packets"] == found.facts["legs"][1]["tx_packets"] == 500
    assert found.facts["legs"][0]["loss_in_permille"] == 100
    text = json.dumps(found.facts)
    assert not [told for told in ("101234", "101500", "100000", "4500", "5000") if told in text]


@pytest.mark.promise("3.3")
@pytest.mark.parametrize("how", ["class none", "became none", "private", "became private", "zero days"])
async def test_a_protected_call_leaves_nothing(services: Services, how: str) -> None:
    call = replace(plan(), metadata_class="none" if how == "class none" else "standard", private=how == "private")
    outcome = Outcome(metadata_class="none" if how == "became none" else "", private=how == "became private")
    keeper = DatabaseKeeper(services.db, 0 if how == "zero days" else 7)
    observatory = Observatory(keeper)
    observatory.ended(observatory.begun(call, REQUEST, lambda _: None), outcome, NOW)
    task = asyncio.get_running_loop().create_task(observatory.run())
    await observatory.flush(10)
    task.cancel()
    assert await kept(services) == []
    assert observatory.counters["diagnoses_lost"] == 0


async def refused(services: Services, shown: dict[str, Any], **more: Any) -> list[diagnoses.CallDiagnosis]:
    request = replace(REQUEST, **{"auth_user": shown["devices"][0]["user"], **more})
    stories: list[Judged] = []

    class Keeper:
        async def keep(self, judged: Judged) -> None:
            stories.append(judged)
            await keep(services, judged)

    observatory = Observatory(Keeper())
    observatory.refused(CALL, request, Refusal(488, "SRTP Is Required Over TLS", "no-srtp"), NOW)
    task = asyncio.get_running_loop().create_task(observatory.run())
    await observatory.flush(10)
    task.cancel()
    assert len(stories) == 1
    return await kept(services)


async def test_a_refused_call_is_kept_without_saying_whose(services: Services, shown: dict[str, Any]) -> None:
    [found] = await refused(services, shown)
    assert (found.verdict, found.at.minute) == ("srtp-required", 0)
    for personal in ("alice", "102", shown["devices"][0]["user"], "127.0.0.1"):
        assert personal not in json.dumps(found.facts)


@pytest.mark.promise("3.3")
@pytest.mark.parametrize("who", ["caller", "called", "stranger", "trunk"])
async def test_a_refused_call_of_somebody_protected_leaves_nothing(
    services: Services, shown: dict[str, Any], who: str
) -> None:
    async with services.db.transaction() as tx:
        made = await accounts.add(tx, "eve", "155", "Eve", NOW, metadata_class="none")
    changes: dict[str, Any] = {"stranger": {"auth_user": "nobody-1"}, "trunk": {"trunk": "t1", "auth_user": ""}}.get(
        who, {"request_user": "155"}
    )
    if who == "caller":
        async with services.db.transaction() as tx:
            await devices.add(tx, made.id, "phone", "eve-k3f9", "0" * 32, NOW)
        changes = {"auth_user": "eve-k3f9"}
    assert await refused(services, shown, **changes) == []


# --- what is said -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "10 % of the audio sent by the caller's telephone was lost"), ("fr", "10 % de l'audio envoyé par le")],
)
async def test_the_verdict_comes_first_with_its_remedy(services: Services, language: Any, words: str) -> None:
    await keep(services, judged())
    said = await why.why(at(services, NOW), ME, call_id=CALL[:8], language=language)
    assert (said.verdict, said.live, said.id) == ("loss-in", False, CALL)
    assert said.says.startswith(words) and "DSCP" in said.remedy
    assert said.mos is not None and 3.2 < said.mos < 3.6
    rung = said.ladder[0]
    assert (rung.sender, rung.receiver, rung.what, rung.ms) == ("phone A", "Beffroi", "INVITE", 0)
    text = shown(plain(said), ladder=True)  # type: ignore[arg-type]
    assert text.index(words) < text.index("  -> ") < text.index("phone A") < text.index("BYE")
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "10.0%" in text and "later" in text


async def test_what_has_expired_is_not_said_any_more(services: Services) -> None:
    await keep(services, judged("standard"))
    with pytest.raises(Failure, match="nothing is known"):
        await why.why(at(services, NOW + timedelta(days=7)), ME, call_id=CALL)
    assert await why.whys(services, ME) == []


async def test_ids_that_name_no_one_call(services: Services) -> None:
    await keep(services, judged(), judged(call_id=CALL[:-1] + "1"))
    for wrong, says in (("c0f", "any call"), (CALL[:8], "several"), ("%%%%%%%%", "nothing is known")):
        with pytest.raises(Failure, match=says):
            await why.why(at(services, NOW), ME, call_id=wrong)


async def test_the_newest_calls_or_only_those_with_a_problem(services: Services) -> None:
    fine = replace(history(), legs=(history().legs[1],))
    good = replace(judged(call_id="9" * 32), history=fine, diagnosis=judge(fine))
    await keep(services, judged(), good)
    at(services, NOW)
    assert {view.verdict for view in await why.whys(services, ME)} == {"loss-in", "good"}
    [only] = await why.whys(services, ME, problems=True)
    assert (only.id, only.verdict) == (CALL, "loss-in")
    assert len(await why.whys(services, ME, limit=1)) == 1


async def test_a_list_of_calls_shows_the_score(services: Services) -> None:
    await keep(services, judged())
    async with services.db.transaction() as tx:
        await call_records.add(
            tx, call_records.CallRecord(CALL, None, "minimal", "x", "y", NOW, NOW + timedelta(30), {}, None), {}
        )
    [view] = await calls.list_(at(services, NOW), ME)
    assert view.mos == (await why.why(services, ME, call_id=CALL)).mos
    assert (await calls.show(at(services, NOW + timedelta(days=8)), ME, call_id=CALL)).mos is None


async def test_every_look_is_written_down(services: Services) -> None:
    await keep(services, judged())

    async def looks() -> int:
        async with services.db.read() as tx:
            return len(await ledger.entries(tx, "access"))

    before = await looks()
    await why.why(at(services, NOW), ME, call_id=CALL)
    await why.whys(services, ME)
    assert await looks() == before + 2


# --- while it goes on -------------------------------------------------------------------------------------------------


async def test_a_call_that_goes_on_is_measured_when_somebody_asks(services: Services) -> None:
    observatory = services.observatory = Observatory()
    sent: list[p.Command] = []

    def worker(command: p.Command) -> None:
        sent.append(command)
        if isinstance(command, p.Measure):
            packets = 0 if command.leg == "b0" else 400
            observation.happened(p.LegQuality(command.leg, packets, 0, 900, 400, 9000, codec="PCMA", final=False))

    call = replace(plan(), call_id=CALL)
    observation = observatory.begun(call, REQUEST, worker)
    clock = observation._clock
    observation._clock = lambda: clock() - 8  # it began eight seconds ago
    for leg in ("a", "b0"):
        observation.happened(p.LegMedia(leg, True, "PCMA"))
        observation.happened(p.LegUp(leg))
    observation._clock = clock
    said = await why.why(services, ME, call_id=CALL[:6])
    assert (said.live, said.verdict, said.expires_at) == (True, "no-packets", None)
    assert {command.leg for command in sent if isinstance(command, p.Measure)} == {"a", "b0"}
    observatory.ended(observation, Outcome(), NOW)
    with pytest.raises(Failure):
        await why.why(services, ME, call_id=CALL)


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_line(beffroi: Callable[..., Ran], data: Path) -> None:
    async def prepare() -> None:
        async with open_services(data) as services:
            began = services.clock()
            await keep(services, replace(judged("standard"), began_at=began))

    asyncio.run(prepare())
    assert beffroi("calls", "why", CALL, "--json", "--language", "en").json["verdict"] == "loss-in"
    ran = beffroi("calls", "why", CALL, "--language", "fr")
    assert ran.status == 0 and ran.out.startswith("10 % de l'audio") and "BYE" not in ran.out
    assert "101234 ms" in beffroi("calls", "why", CALL, "--ladder").out
    listed = beffroi("calls", "why", "--problems", "--limit", "5", "--json").json
    assert [one["verdict"] for one in listed] == ["loss-in"]
    assert CALL[:12] in beffroi("calls", "why").out
    missing = beffroi("calls", "why", "0" * 32)
    assert missing.status == 1 and "nothing is known" in missing.err and len(missing.err.splitlines()) <= 2


def test_verdicts_speak_the_language_of_the_terminal() -> None:
    assert _language_of({"LANG": "fr_FR.UTF-8"}) == "fr"
    assert _language_of({"LANG": "fr_FR.UTF-8", "LC_ALL": "C"}) == "en"
    assert _language_of({}) == "en"


def test_the_documented_fields_are_those_of_the_answer() -> None:
    assert [field.name for field in FIELDS] == [field.name for field in fields(why.WhyView)]
    assert [field.name for field in LIST_FIELDS] == [field.name for field in fields(why.TroubleView)]


async def test_a_call_that_broke_off_is_not_measured_for_ever() -> None:
    observatory = Observatory()
    observatory.begun(replace(plan(), call_id=CALL), REQUEST, lambda _: None)
    assert observatory.going() == [CALL]
    observatory.forget(CALL)
    observatory.forget(CALL)
    assert observatory.going() == []
