"""Campaigns from the command line and as services: who may do what, the list, the simulation, the second person."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from server import campaign_desk
from server.commands import campaigns as shown
from server.failure import Failure
from server.messaging import Messaging
from server.services import campaign_simulation, campaigns, consents, inboxes, people
from server.services.actor import Actor
from server.services.campaign_simulation import PreviewView, SimulationView
from server.services.campaigns import CampaignView, FateView, StatsView
from server.services.context import Services
from server.services.texts import writer_of
from storage import campaigns as stored
from storage import ledger, sms_sent
from storage.campaigns import Recipient
from tests.server.conftest import Ran
from tests.server.text_house import Anybody

Beffroi = Callable[..., Ran]
TUESDAY = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
ME = Actor("os:1000", "desk-7")
WORDS = "Bonjour {Prénom}, nos soldes commencent."


@pytest.mark.parametrize(
    ("documented", "record"),
    [
        (shown.FIELDS, CampaignView),
        (shown.STATS, StatsView),
        (shown.LINES, FateView),
        (shown.SIMULATION, SimulationView),
        (shown.PREVIEW, PreviewView),
    ],
)
def test_records_hold_just_the_documented_fields(documented: Any, record: Any) -> None:
    assert {field.name for field in documented} == {field.name for field in fields(record)}


async def furnish(services: Services) -> None:
    """Anna and Bob write for sales, Carl for care, Dora is the data protection officer."""
    for login, roles in {"anna": ["employee"], "bob": ["employee"], "carl": ["reader"], "dora": ["dpo"]}.items():
        await people.add(services, ME, login=login, name=login.title(), roles=roles)
    for inbox in ("sales", "care"):
        await inboxes.add(services, ME, name=inbox)
    for inbox, login in (("sales", "anna"), ("sales", "bob"), ("care", "carl")):
        await inboxes.member(services, ME, inbox=inbox, login=login, sending=True)
    await inboxes.add_sender(services, ME, inbox="sales", address="Beffroi", classes=["marketing"],
                             stop_code="36180", approved_by="dora")  # fmt: skip


@pytest.fixture
async def sales(services: Services) -> Services:
    services.clock = lambda: TUESDAY
    await furnish(services)
    return services


async def make(services: Services, name: str = "summer", lines: int = 6, **said: Any) -> CampaignView:
    """With a list of `lines`, of whom all but the last have agreed."""
    await campaigns.add(services, ME, login="anna", inbox="sales", name=name, template=WORDS, sector="telecom", **said)
    some = [Recipient(line, f"+3361234{line:04d}", {"Prénom": f"Doris{line}"}) for line in range(2, lines + 2)]
    async with services.db.transaction() as tx:
        made = await stored.by_name(tx, name)
        await stored.add_recipients(tx, made.id, some, TUESDAY)
    for one in some[:-1]:
        await consents.add(
            services, ME, number=one.number, purpose="telecom", channel="sms", act="checkbox", collector="us",
            source="form", text_id="offers", text_version="1", text_sha256="ab" * 32, given_at="2026-11-01T09:00",
        )  # fmt: skip
    return await campaigns.show(services, ME, login="anna", name=name)


async def approved(services: Services) -> CampaignView:
    await make(services)
    await campaign_simulation.simulate(services, ME, login="anna", name="summer")
    await campaigns.submit(services, ME, login="anna", name="summer")
    return await campaigns.approve(services, ME, login="bob", name="summer")


@pytest.mark.promise("P22")
async def test_a_campaign_from_its_words_to_its_end(sales: Services) -> None:
    await approved(sales)
    assert (await campaigns.start(sales, ME, login="anna", name="summer")).state == "running"
    told, now = list[tuple[str, str]](), [TUESDAY]
    sales.clock = lambda: now[0]
    runner = campaign_desk.runner(
        sales, writer_of(sales), sent=lambda: None, ended=lambda campaign_id, why: told.append((campaign_id, why)),
        alarmed=lambda campaign_id: None,
    )  # fmt: skip
    for _ in range(12):
        await runner.due()
        now[0] += timedelta(seconds=1.5)
    said = await campaigns.stats(sales, ME, login="anna", name="summer")
    assert (said.state, said.queued, said.refused, said.by_ground) == ("done", 5, 1, {"no_consent": 1})
    assert [why for _, why in told] == [""]
    async with sales.db.transaction() as tx:
        queued = await sms_sent.due(tx, TUESDAY + timedelta(hours=1), limit=99)
    assert {one.texts for one in queued} == {
        (f"{sales.settings.company.name}: Bonjour Doris{line}, nos soldes commencent. STOP au 36180",)
        for line in range(2, 7)
    }
    fates = await campaigns.lines(sales, ME, login="anna", name="summer", state="refused")
    assert [(one.line, one.why) for one in fates] == [(7, "no_consent")]


@pytest.mark.promise("P22")
async def test_a_second_person_approves_and_then_nothing_changes(sales: Services) -> None:
    await make(sales)

    async def refused(doing: Any, what: str, **said: Any) -> None:
        with pytest.raises(Failure, match=what):
            await doing(sales, ME, name="summer", **said)

    await refused(campaigns.submit, "simulate it first", login="anna")
    await refused(campaigns.start, "only what is approved", login="anna")
    await campaign_simulation.simulate(sales, ME, login="anna", name="summer")
    assert (await campaigns.submit(sales, ME, login="anna", name="summer")).state == "waiting"
    await refused(campaigns.start, "only what is approved", login="anna")
    await refused(campaigns.approve, "anna has worked on", login="anna")
    await refused(campaigns.approve, "no campaign", login="carl")
    # Other words: all of it again.
    changed = await campaigns.edit(sales, ME, login="bob", name="summer", template="Bonjour {Prénom}, solde.")
    assert changed.state == "draft"
    await campaign_simulation.simulate(sales, ME, login="anna", name="summer")
    await campaigns.submit(sales, ME, login="anna", name="summer")
    await refused(campaigns.approve, "bob has worked on", login="bob")
    done = await campaigns.approve(sales, ME, login="dora", name="summer")
    assert done.state == "approved" and done.approved_sha256 is not None
    for doing in (campaigns.edit, campaign_simulation.simulate, campaigns.submit):
        if doing is not campaign_simulation.simulate:
            more = {"template": "x"} if doing is campaigns.edit else {}
            await refused(doing, "summer: it is approved", login="anna", **more)
    assert (await campaigns.show(sales, ME, login="anna", name="summer")).state == "approved"


async def test_one_person_is_enough_where_the_company_says_so(sales: Services) -> None:
    sms = sales.settings.sms.model_copy(update={"campaign_approval": "one"})
    sales.settings = sales.settings.model_copy(update={"sms": sms})
    await make(sales)
    await campaign_simulation.simulate(sales, ME, login="anna", name="summer")
    done = await campaigns.submit(sales, ME, login="anna", name="summer")
    assert done.state == "approved" and done.approved_by == done.created_by


@pytest.mark.promise("1.9", "1.10")
async def test_nobody_learns_of_campaigns_of_others(sales: Services) -> None:
    await make(sales)
    assert [one.name for one in await campaigns.list_(sales, ME, login="anna")] == ["summer"]
    assert await campaigns.list_(sales, ME, login="carl") == []
    for doing in (campaigns.show, campaigns.stats, campaigns.lines, campaigns.cancel, campaign_simulation.preview):
        with pytest.raises(Failure, match="no campaign"):
            await doing(sales, ME, login="carl", name="summer")
    with pytest.raises(Failure, match="no inbox sales"):
        await campaigns.add(sales, ME, login="carl", inbox="sales", name="other", template="x")
    # Who sees only what was sent writes nothing.
    await inboxes.member(sales, ME, inbox="sales", login="carl", sending=False, sent=True)
    assert (await campaigns.show(sales, ME, login="carl", name="summer")).name == "summer"
    with pytest.raises(Failure, match="may not write"):
        await campaigns.cancel(sales, ME, login="carl", name="summer")


@pytest.mark.promise("1.9", "P22")
async def test_whoever_has_started_one_can_stop_it_whatever_else_they_may_by_now(sales: Services) -> None:
    """Bob has started what Anna has written: either ends it, sees its figures, and nothing of its list."""
    await make(sales, "other")
    await approved(sales)
    await campaigns.start(sales, ME, login="bob", name="summer")
    for login in ("anna", "bob"):
        await inboxes.member(sales, ME, inbox="sales", login=login, sending=False)
        assert [one.name for one in await campaigns.list_(sales, ME, login=login)] == ["summer"]
        assert await campaigns.list_(sales, ME, login=login, state="draft") == []
        seen = await campaigns.show(sales, ME, login=login, name="summer")
        assert seen.may == ("stop",)
        assert (await campaigns.stats(sales, ME, login=login, name="summer")).recipients == 6
        for doing in (campaigns.lines, campaign_simulation.preview, campaign_simulation.simulate):
            with pytest.raises(Failure, match="no campaign summer"):
                await doing(sales, ME, login=login, name="summer")
        with pytest.raises(Failure, match="no campaign other"):  # written, and never started
            await campaigns.show(sales, ME, login=login, name="other")
    assert (await campaigns.pause(sales, ME, login="bob", name="summer")).state == "paused"
    for doing in (campaigns.resume, campaigns.start):
        with pytest.raises(Failure, match="may not write"):
            await doing(sales, ME, login="bob", name="summer")
    with pytest.raises(Failure, match="no campaign"):
        await campaigns.cancel(sales, ME, login="carl", name="summer")
    assert (await campaigns.cancel(sales, ME, login="anna", name="summer")).state == "cancelled"
    assert await campaigns.list_(sales, ME, login="anna") == []


@pytest.mark.promise("P22", "1.1")
async def test_the_simulation_says_who_not_and_why(sales: Services) -> None:
    await make(sales, per_minute=2)
    said = await campaign_simulation.simulate(sales, ME, login="anna", name="summer")
    assert (said.state, said.recipients, said.at_once, said.later, said.never) == ("checked", 6, 5, 0, 1)
    assert said.by_ground == {"no_consent": 1} and said.parts == 5 and said.codings == {"gsm7": 5}
    assert said.without_carrier == 5  # none is set up
    assert said.ends_at == TUESDAY + timedelta(minutes=2.5)
    assert [(one.line, one.ground, one.again_at) for one in said.lines] == [(7, "no_consent", None)]
    evening = await campaign_simulation.simulate(sales, ME, login="anna", name="summer", at="2026-11-24T19:58+01:00")
    assert (evening.at_once, evening.later) == (5, 0)
    night = await campaign_simulation.simulate(sales, ME, login="anna", name="summer", at="2026-11-24T22:00+01:00")
    morning = datetime(2026, 11, 25, 7, 0, tzinfo=UTC)
    assert (night.at_once, night.later, night.by_ground) == (0, 5, {"hours": 5, "no_consent": 1})
    assert night.ends_at == morning + timedelta(minutes=2.5)


async def test_words_that_the_list_cannot_fill(sales: Services) -> None:
    await make(sales)
    await campaigns.edit(sales, ME, login="anna", name="summer", template="Bonjour {Nom}")
    with pytest.raises(Failure, match="no field"):
        await campaign_simulation.simulate(sales, ME, login="anna", name="summer")
    await campaigns.edit(sales, ME, login="anna", name="summer", template=WORDS)
    masked = await campaign_simulation.preview(sales, ME, login="anna", name="summer", lines=1)
    assert "Bonjour …" in str(masked[0].words)
    reasoned = Actor("os:1000", "desk-7", reason="before it is sent")
    open_ = await campaign_simulation.preview(sales, reasoned, login="anna", name="summer", lines=1)
    assert "Bonjour Doris2" in str(open_[0].words)


@pytest.mark.promise("P16", "P22")
async def test_of_what_is_cancelled_whoever_listens_is_told(sales: Services) -> None:
    await approved(sales)
    await campaigns.start(sales, ME, login="anna", name="summer")
    runner = campaign_desk.runner(sales, writer_of(sales), sent=lambda: None, ended=lambda *_: None,
                                  alarmed=lambda _: None)  # fmt: skip
    await runner.due()
    async with sales.db.read() as tx:
        queued = {one.sent.id for one in await sms_sent.due(tx, TUESDAY + timedelta(hours=1), limit=99)}
    told: list[str] = []
    sales.texts = Messaging(sales, lambda _: [], Anybody())
    sales.texts.outbox.changed = told.extend
    await campaigns.cancel(sales, ME, login="bob", name="summer")
    assert queued and set(told) == queued and len(told) == len(queued)


@pytest.mark.promise("P22")
async def test_what_is_cancelled_does_not_go_out(sales: Services) -> None:
    await approved(sales)
    await campaigns.start(sales, ME, login="anna", name="summer")
    runner = campaign_desk.runner(sales, writer_of(sales), sent=lambda: None, ended=lambda *_: None,
                                  alarmed=lambda _: None)  # fmt: skip
    await runner.due()
    await campaigns.pause(sales, ME, login="bob", name="summer")
    await campaigns.resume(sales, ME, login="bob", name="summer")
    assert (await campaigns.cancel(sales, ME, login="bob", name="summer")).state == "cancelled"
    said = await campaigns.stats(sales, ME, login="anna", name="summer")
    assert (said.queued, said.cancelled, said.waiting) == (0, 6, 0)
    with pytest.raises(Failure, match="it is over"):
        await campaigns.cancel(sales, ME, login="anna", name="summer")


@pytest.mark.promise("0.6", "P22")
async def test_figures_are_read_beside_whoever_writes_and_a_look_counts_once_it_is_written(
    sales: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(sales)
    me = Actor("os:1000", "desk-7", session="5" * 32)

    async def looks() -> int:
        async with sales.db.read() as tx:
            seen = [json.loads(one.body) for one in await ledger.entries(tx, "access")]
        return sum((one["action"], one["object"]) == ("show", "campaign") for one in seen)

    async def full(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    before = await looks()
    with monkeypatch.context() as failing:
        failing.setattr(campaigns, "note", full)
        with pytest.raises(OSError, match="full"):
            await campaigns.stats(sales, me, login="anna", name="summer")
    assert await looks() == before
    await campaigns.stats(sales, me, login="anna", name="summer")
    assert await looks() == before + 1, "the look that failed was none"
    async with sales.db.transaction(), asyncio.timeout(10):
        assert (await campaigns.stats(sales, me, login="anna", name="summer")).recipients == 6
    assert await looks() == before + 1


# --- the command line ---------------------------------------------------------------------------------------------


@pytest.fixture
def typed(beffroi: Beffroi, monkeypatch: pytest.MonkeyPatch) -> Beffroi:
    """With what is typed on standard input as `words`."""

    def run(*argv: str, words: str = "") -> Ran:
        monkeypatch.setattr("sys.stdin", io.StringIO(words))
        return beffroi(*argv)

    for login, roles in (("anna", "employee"), ("dora", "dpo")):
        assert run("person", "add", login, login.title(), "--roles", roles).status == 0
    assert run("inbox", "add", "sales").status == 0
    assert run("inbox", "member", "sales", "anna", "--send").status == 0
    assert run("inbox", "sender", "add", "sales", "Beffroi", "--classes", "marketing", "--stop-code", "36180",
               "--approved-by", "dora").status == 0  # fmt: skip
    assert run("campaign", "add", "summer", "--as", "anna", "--inbox", "sales", "--sector", "telecom",
               words=WORDS).status == 0  # fmt: skip
    return run


def as_json(ran: Ran) -> Any:
    return json.loads(ran.out)


@pytest.mark.promise("P22", "1.7")
def test_a_list_is_written_as_a_whole_or_not_at_all(typed: Beffroi, tmp_path: Path) -> None:
    rows = ["Prénom;Mobile", "Zoé;06 12 34 56 78", "Jo;112", "Al;0612345679", "Zoé;+33612345678", "Li;"]
    file = tmp_path / "list.csv"
    file.write_bytes("\r\n".join(rows).encode("cp1252"))
    no = typed("campaign", "import", str(file), "summer", "--as", "anna", "--json")
    said = as_json(no)
    assert no.status == 1 and (said["written"], said["wrong"]) == (0, 3)
    assert [(one["line"], one["column"]) for one in said["errors"]] == [(3, "Mobile"), (5, "Mobile"), (6, "Mobile")]
    assert "line 2" in said["errors"][1]["problem"] and all(one["remedy"] for one in said["errors"])
    assert "0612345678" not in no.out.replace(" ", "")
    assert as_json(typed("campaign", "show", "summer", "--as", "anna", "--json"))["recipients"] == 0
    yes = typed("campaign", "import", str(file), "summer", "--as", "anna", "--skip-errors", "--json")
    assert yes.status == 0 and (as_json(yes)["written"], as_json(yes)["state"]) == (2, "draft")
    again = typed("campaign", "import", str(file), "summer", "--as", "anna", "--skip-errors")
    assert again.status == 1 and "has a list" in again.err
    simulated = typed("campaign", "simulate", "summer", "--as", "anna")
    assert simulated.status == 0 and "no_consent 2" in simulated.out
    assert typed("campaign", "stats", "summer", "--as", "anna").status == 0
    assert "checked: 2 in all" in typed("campaign", "progress", "summer", "--as", "anna").out


def test_files_that_are_no_lists_say_what_to_do(typed: Beffroi, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("a;b\n1;2\n")
    ran = typed("campaign", "import", str(file), "summer", "--as", "anna")
    assert ran.status == 1 and "--column" in ran.err
    assert typed("campaign", "import", str(tmp_path / "none"), "summer", "--as", "anna").status == 1
