"""The company's policy from draft to in force: services on a real database, and what the next call is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, text

from config.periods import Period
from config.settings import Policy as PolicySettings
from retention.policy_rules import CallAbout
from server.call_book import DatabaseCallBook
from server.failure import Failure
from server.policy_desk import PolicyDesk
from server.services import lines as line_service
from server.services import policies as policy_service
from server.services import policy_register, system
from server.services.actor import Actor
from server.services.context import Services
from server.services.policies import PolicyView
from sip.calls.plan import Outcome, PolicyMark, Sample
from sip.calls.ports import ClosedCall
from storage import call_records, ledger, lines, people, policies, policy_samples, tables
from tests.server.conftest import Ran
from tests.server.recording_house import plan as a_plan

ME = Actor("os:1000", "desk-7", reason="a test")
NOW = datetime(2026, 12, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)
KINDS = ("cse_consulted", "staff_informed", "dpia_signed", "unrecorded_line_available")


class House:
    """Services whose clock is set, two officers, a line, and the desk that calls ask."""

    def __init__(self, services: Services) -> None:
        self.services, self.moment, self.line = services, NOW, ""
        self.told = 0
        services.clock = lambda: self.moment
        self.desk = PolicyDesk(services.db, services.keys.ledger.public_key(), services.clock, self._tell)

    def _tell(self) -> None:
        self.told += 1

    async def settle_in(self) -> None:
        async with self.services.db.transaction() as tx:
            for login, roles in (("dora", ("dpo",)), ("dirk", ("dpo",)), ("emma", ("employee",))):
                await people.add(tx, login, login.title(), NOW, roles=roles)
            self.line = (await lines.add(tx, "sales", "300", NOW)).id

    async def draft(self, **rule: Any) -> int:
        made = await policy_service.draft(self.services, ME)
        given = {"rule": "sales", "pack": "REC_QUALITY", "line": "sales", "valid_from": "approval", **rule}
        await policy_service.set_(self.services, ME, number=made.number, **given)
        return made.number

    async def enter(self, *kinds: str) -> None:
        for kind in kinds or KINDS:
            await policy_register.enter(
                self.services,
                ME,
                kind=kind,
                pack="REC_QUALITY",
                evidence="minutes 7",
                done_by="Dora",
                done_on=NOW.date(),
            )

    async def approve(self, number: int, login: str = "dora") -> PolicyView:
        view = await policy_service.approve(self.services, ME, number=number, login=login)
        await self.desk.refresh()
        return view

    def about(self, line: str | None = None) -> CallAbout:
        return CallAbout(line or self.line, frozenset(), frozenset(), "inbound", frozenset({"FR"}))

    async def recorded(self) -> tuple[str, str]:
        """Pack and why, as the next call hears it."""
        said = await self.desk.govern(self.about(), self.moment)
        if said is None:
            return "", "none in force"
        return (said.recording.id if said.recording is not None else "", said.why)


@pytest.fixture
async def house(services: Services) -> House:
    made = House(services)
    await made.settle_in()
    return made


async def access(services: Services) -> list[dict[str, Any]]:
    async with services.db.read() as tx:
        return [json.loads(entry.body) for entry in await ledger.entries(tx, "access")]


# --- from draft to in force -------------------------------------------------------------------------------------------


@pytest.mark.promise("2.18", "3.5")
async def test_a_policy_waits_for_what_has_to_be_done_beforehand(house: House) -> None:
    number = await house.draft()
    with pytest.raises(Failure) as refused:
        await house.approve(number)
    for kind in KINDS:
        assert f"beffroi policy enter {kind} --pack REC_QUALITY" in refused.value.what
    assert str(refused.value).endswith("--on DAY. Then approve it again.")
    await house.enter(*KINDS[1:])
    with pytest.raises(Failure, match=KINDS[0]):
        await house.approve(number)
    assert await house.recorded() == ("", "none in force")
    await house.enter(KINDS[0])
    view = await house.approve(number)
    assert (view.state, view.approved_by, view.in_force_since) == ("in force", ("dora",), NOW)
    assert await house.recorded() == ("REC_QUALITY", "policy 1, rule sales")


@pytest.mark.promise("2.18")
async def test_an_approval_names_its_hash_in_the_access_log(house: House) -> None:
    await house.enter()
    view = await house.approve(await house.draft())
    [said] = [one for one in await access(house.services) if one["action"] == "approve"]
    assert (said["policy_sha256"], said["policy_version"]) == (view.sha256, 1)
    async with house.services.db.read() as tx:
        assert said["person_id"] == (await people.by_login(tx, "dora")).id


async def test_a_date_that_comes_needs_nobody(house: House) -> None:
    await house.enter()
    await house.approve(await house.draft(valid_from="2026-12-05"))
    assert await house.recorded() == ("", "none in force")
    house.moment = datetime(2026, 12, 4, 23, 59, 59, tzinfo=UTC)
    assert await house.recorded() == ("", "none in force")
    house.moment = datetime(2026, 12, 5, tzinfo=UTC)  # the same desk, and nothing was read again
    assert await house.recorded() == ("REC_QUALITY", "policy 1, rule sales")


async def test_a_new_version_supersedes_and_the_history_says_so(house: House) -> None:
    await house.enter()
    await house.approve(await house.draft())
    house.moment += DAY
    second = (await policy_service.draft(house.services, ME, copy=1, login="emma")).number
    await policy_service.set_(house.services, ME, number=second, rule="sales", pack="REC_NONE", valid_from="approval")
    house.moment += DAY
    await house.approve(second)
    assert await house.recorded() == ("", "rule sales protects it (REC_NONE)")
    said = [(one.number, one.event, one.who) for one in await policy_register.history(house.services, ME)]
    assert said[1:] == [
        (1, "approved", "dora"), (1, "in force", ""), (2, "drafted", "emma"), (1, "superseded", ""),
        (2, "approved", "dora"), (2, "in force", ""),
    ]  # fmt: skip
    states = [(one.number, one.state) for one in await policy_service.list_(house.services, ME)]
    assert states == [(2, "in force"), (1, "superseded")]


async def test_nobody_but_a_data_protection_officer_approves(house: House) -> None:
    await house.enter()
    number = await house.draft()
    with pytest.raises(Failure, match="no data protection officer"):
        await house.approve(number, "emma")
    async with house.services.db.transaction() as tx:
        await people.disable(tx, (await people.by_login(tx, "dirk")).id, NOW)
    with pytest.raises(Failure, match="no data protection officer"):
        await house.approve(number, "dirk")
    assert await house.recorded() == ("", "none in force")


@pytest.mark.promise("0.4")
async def test_two_persons_where_the_settings_say_two_and_the_author_is_neither(house: House) -> None:
    house.services.settings = house.services.settings.model_copy(update={"policy": PolicySettings(approvals=2)})
    await house.enter()
    made = await policy_service.draft(house.services, ME, login="dora")
    await policy_service.set_(house.services, ME, number=made.number, rule="r", pack="CDR_STANDARD",
                              valid_from="approval")  # fmt: skip
    with pytest.raises(Failure, match="dora wrote version 1"):
        await house.approve(made.number)
    half = await house.approve(made.number, "dirk")
    assert (half.state, half.approved_by, half.approvals_needed) == ("draft", ("dirk",), 2)
    with pytest.raises(Failure, match="has approved it already"):
        await house.approve(made.number, "dirk")
    async with house.services.db.read() as tx:
        ids = {one.login: one.id for one in await people.list_all(tx)}
    may = {
        login: (await policy_service.show(house.services, Actor(who, "here"), number=1)).may_approve
        for login, who in {**ids, "nobody": "os:0"}.items()
    }
    assert not any(may.values()), "the author, who has approved it, and who is no data protection officer"
    assert await house.recorded() == ("", "none in force")
    async with house.services.db.transaction() as tx:
        dana = await people.add(tx, "dana", "Dana", NOW, roles=("dpo",))
    assert (await policy_service.show(house.services, Actor(dana.id, "here"), number=1)).may_approve
    assert (await house.approve(made.number, "dana")).state == "in force"
    # What was approved by one alone before does not become two by a change of the settings, nor the other way round.
    house.services.settings = house.services.settings.model_copy(update={"policy": PolicySettings(approvals=1)})
    assert (await policy_service.show(house.services, ME, number=1)).state == "in force"


async def test_what_was_approved_is_never_changed(house: House) -> None:
    await house.enter()
    number = await house.draft()
    await house.approve(number)
    for change in (
        policy_service.set_(house.services, ME, number=number, rule="sales", retention="P1D"),
        policy_service.discard(house.services, ME, number=number),
    ):
        with pytest.raises(Exception, match="superseded, never changed"):
            await change
    with pytest.raises(Failure, match="approved already"):
        await house.approve(number, "dirk")


async def test_killed_between_approval_and_ledger_there_is_neither(house: House, monkeypatch: Any) -> None:
    await house.enter()
    number, before = await house.draft(), await access(house.services)

    async def dies(*_args: object) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(policies, "approve", dies)
        with pytest.raises(OSError, match="killed"):
            await house.approve(number)
    assert await access(house.services) == before
    assert (await policy_service.show(house.services, ME, number=number)).approved_by == ()
    assert (await house.approve(number)).state == "in force"
    assert [one.sound for one in await policy_register.verify(house.services, ME)] == [True]


async def test_contradictions_are_all_named_at_once(house: House) -> None:
    number = await house.draft(retention="P1Y", rate="20%", consent="announce", valid_from="2026-11-01")
    with pytest.raises(Failure) as refused:
        await house.approve(number)
    for said in ("valid_from 2026-11-01", "retention P1Y (limit: P6M)", "rate 20 % (limit: 10 %)", "consent announce"):
        assert said in refused.value.what, said
    view = await policy_service.show(house.services, ME, number=number)
    assert [one.key for one in view.problems][:4] == ["valid_from", "retention", "consent", "rate"]
    assert all(one.remedy for one in view.problems)


# --- withdrawn, altered, gone -----------------------------------------------------------------------------------------


async def test_an_entry_that_is_withdrawn_stops_recording_at_once(house: House) -> None:
    await house.enter()
    await house.approve(await house.draft())
    house.moment += DAY
    needs = await policy_register.needs(house.services, ME, pack="REC_QUALITY")
    [dpia] = [one for one in needs if one.kind == "dpia_signed"]
    assert dpia.id is not None and (dpia.evidence, dpia.done_by) == ("minutes 7", "Dora")
    with pytest.raises(Failure, match="needs a reason"):
        await policy_register.withdraw(house.services, replace(ME, reason=None), entry=dpia.id)
    await policy_register.withdraw(house.services, ME, entry=dpia.id[:8])
    await house.desk.refresh()
    assert await house.recorded() == ("", "rule sales waits for dpia_signed")
    assert "for want of preconditions: sales" in (await system.status(house.services, ME)).policy
    house.moment += DAY
    await house.enter("dpia_signed")
    await house.desk.refresh()
    assert (await house.recorded())[0] == "REC_QUALITY"


async def test_what_nobody_may_read_without_a_reason_is_hidden(house: House) -> None:
    await house.enter("dpia_signed")
    [one] = [n for n in await policy_register.needs(house.services, replace(ME, reason=None)) if n.id is not None]
    assert (one.evidence, one.done_by, one.kind) == ("(given)", "(given)", "dpia_signed")
    for wrong in ({"kind": "magic"}, {"pack": "REC_MIFID"}, {"evidence": " "}, {"done_on": NOW.date() + DAY}):
        given = {"kind": "dpia_signed", "pack": "REC_QUALITY", "evidence": "x", "done_by": "y", "done_on": NOW.date()}
        with pytest.raises(Failure):
            await policy_register.enter(house.services, ME, **(given | wrong))  # type: ignore[arg-type]


ALTERATIONS = {
    "body": "UPDATE policies SET body = CAST(replace(body, 'P1M', 'P6M') AS BLOB)",
    "hash": "UPDATE policy_approvals SET sha256 = '" + "0" * 64 + "'",
    "signature": "UPDATE policy_approvals SET signature = x'00'",
    "date": "UPDATE policy_approvals SET at = at - 1000000",
    "garbage": "UPDATE policies SET body = x'00'",
}


@pytest.mark.promise("2.11")
@pytest.mark.parametrize("statement", ALTERATIONS.values(), ids=ALTERATIONS.keys())
async def test_a_row_that_is_altered_is_found_and_nothing_is_recorded(house: House, statement: str) -> None:
    await house.enter()
    await house.approve(await house.draft(retention="P1M"))
    assert (await house.recorded())[0] == "REC_QUALITY"
    async with house.services.db.transaction() as tx:
        await tx.conn.execute(text(statement))
    await house.desk.refresh()
    pack, why = await house.recorded()
    assert pack == "" and "policy 1 was altered" in why
    [verdict] = await policy_register.verify(house.services, ME)
    assert not verdict.sound and verdict.findings
    assert "altered" in (await system.status(house.services, ME)).policy


@pytest.mark.promise("2.11")
@pytest.mark.parametrize("table", ["policy_approvals", "policies"])
async def test_an_approval_that_is_taken_away_is_missed_by_the_access_log(house: House, table: str) -> None:
    await house.enter()
    await house.approve(await house.draft())
    async with house.services.db.transaction() as tx:
        await tx.write(delete(tables.policy_approvals))
        if table == "policies":
            await tx.write(delete(tables.policies))
    [verdict] = await policy_register.verify(house.services, ME)
    assert not verdict.sound and "gone" in verdict.findings[0]


# --- one file ---------------------------------------------------------------------------------------------------------


@pytest.mark.promise("3.5")
async def test_one_file_holds_it_and_comes_back_as_a_draft(house: House) -> None:
    await house.enter()
    await house.approve(await house.draft(retention="P1M", rate="2%"))
    said = await policy_service.export(house.services, ME)
    assert '"line": "sales"' in said.document and house.line not in said.document
    back = await policy_service.import_(house.services, ME, document=said.document, login="emma")
    assert (back.number, back.state, back.valid_from, back.author) == (2, "draft", None, "emma")
    assert back.rules == (await policy_service.show(house.services, ME, number=1)).rules
    with pytest.raises(Failure, match="no line elsewhere"):
        other = said.document.replace('"line": "sales"', '"line": "elsewhere"')
        await policy_service.import_(house.services, ME, document=other)


@pytest.mark.parametrize("document", ["", "{", "[]", '{"format": "other"}', '{"format": "beffroi-policy/1"}'])
async def test_a_file_that_is_no_policy_is_refused(house: House, document: str) -> None:
    with pytest.raises(Failure):
        await policy_service.import_(house.services, ME, document=document)
    assert await policy_service.list_(house.services, ME) == []


async def test_a_draft_of_what_the_lines_say(house: House) -> None:
    view = await policy_service.draft(house.services, ME, from_lines=True)
    rules = {rule["name"]: rule for rule in view.rules}
    assert rules["recorded"] == {"name": "recorded", "pack": "REC_QUALITY", "line": "recorded", "consent": "opt-in"}
    assert rules["private.records"]["pack"] == "CDR_NONE_PROTECTED" and "sales" not in rules


# --- lines under a policy ---------------------------------------------------------------------------------------------


async def test_a_line_does_not_loosen_what_the_policy_says(house: House) -> None:
    await line_service.set_(house.services, ME, line="sales", metadata_class="standard")  # none is in force yet
    await house.enter()
    await house.approve(await house.draft())
    for change in ({"pack": "REC_NONE"}, {"metadata_class": "standard"}, {"statute": "a text"}):
        with pytest.raises(Failure, match="version 1 of the policy is in force"):
            await line_service.set_(house.services, ME, line="sales", **change)
    with pytest.raises(Failure, match="version 1"):
        await line_service.add(house.services, ME, name="x", number="301", pack="REC_QUALITY")
    await line_service.add(house.services, ME, name="y", number="302")
    for change in ({"metadata_class": "none"}, {"consent": "opt-in"}, {"consent": ""}):
        await line_service.set_(house.services, ME, line="sales", **change)


async def test_status_says_whether_there_is_one(house: House) -> None:
    assert "none in force" in (await system.status(house.services, ME)).policy
    await house.enter()
    await house.approve(await house.draft())
    assert (await system.status(house.services, ME)).policy == "version 1 is in force"
    second = (await policy_service.draft(house.services, ME)).number
    await policy_service.set_(house.services, ME, number=second, rule="trading", pack="REC_MIFID", line="sales",
                              statute="L533-10 CMF", valid_from="approval")  # fmt: skip
    for kind in ("written_recording_policy", "clients_informed_before_service", "staff_informed"):
        await policy_register.enter(house.services, ME, kind=kind, pack="REC_MIFID", evidence="x", done_by="y",
                                    done_on=NOW.date())  # fmt: skip
    await house.approve(second)
    said = (await system.status(house.services, ME)).policy
    assert said == "version 2 is in force; not recorded, because nobody may listen (person grant): REC_MIFID"
    assert house.desk.gauges() == {"policy_version": 2.0} and house.told == 2


# --- sampling ---------------------------------------------------------------------------------------------------------


@pytest.mark.promise("L5")
async def test_the_share_is_counted_in_the_database_and_never_passes_the_ceiling(house: House) -> None:
    await house.enter()
    await house.approve(await house.draft(rate="10%"))
    said = await house.desk.govern(house.about(), house.moment)
    assert said is not None and said.sampling is not None
    drawn = 0
    for number in range(60):
        sample = await house.desk.draw(said, house.about(), f"{number:032x}", house.moment)
        drawn += sample.drawn
        async with house.services.db.transaction() as tx:
            await policy_samples.add(tx, sample.subject, sample.day, held=1)
            held, taken = await policy_samples.counts(tx, house.line, NOW.date())
        assert held == number + 1 and taken == drawn and taken * 10 <= held
    assert 1 <= drawn <= 6
    again = PolicyDesk(house.services.db, house.services.keys.ledger.public_key(), house.services.clock)
    await again.refresh()  # a restart: the counts are those of the database
    async with house.services.db.read() as tx:
        assert await policy_samples.counts(tx, house.line, NOW.date()) == (60, drawn)


async def test_a_sample_that_cannot_be_counted_is_not_recorded(house: House) -> None:
    await house.enter()
    await house.approve(await house.draft(rate="10%"))
    said = await house.desk.govern(house.about(), house.moment)
    assert said is not None
    await house.services.db.close()
    async with house.services.db.transaction() as tx:
        await tx.conn.execute(text("DROP TABLE policy_samples"))
    assert not (await house.desk.draw(said, house.about(), "0" * 32, house.moment)).drawn


@pytest.mark.parametrize(
    ("drawn", "talk_s", "recording", "counts"),
    [
        (True, 30.0, "recorded", (1, 1)),
        (True, 30.0, "objected", (1, 1)),  # it was recorded, until somebody objected
        (True, 30.0, "refused", (1, 0)),
        (True, 0.0, "not-asked", (0, 0)),
        (False, 30.0, "not-asked", (1, 0)),
        (False, 0.0, "not-asked", (0, 0)),
    ],
)
async def test_what_was_drawn_and_came_to_nothing_is_given_back(
    house: House, drawn: bool, talk_s: float, recording: str, counts: tuple[int, int]
) -> None:
    sample = Sample("line", NOW.date(), drawn)
    if drawn:
        async with house.services.db.transaction() as tx:
            await policy_samples.add(tx, "line", sample.day, taken=1)
    call = replace(a_plan(), policy=PolicyMark(1, "CDR_MINIMAL", None, sample), metadata_class="minimal")
    closed = ClosedCall(call, Outcome(recording=recording), NOW, NOW + timedelta(seconds=60), talk_s, ())
    await DatabaseCallBook(house.services.db).close(closed)
    async with house.services.db.read() as tx:
        assert await policy_samples.counts(tx, "line", sample.day) == counts


@pytest.mark.promise("2.5", "2.19", "3.3")
@pytest.mark.parametrize(
    ("class_", "pack", "kept", "days"),
    [
        ("standard", "CDR_STANDARD", 10, 10),
        ("minimal", "CDR_MINIMAL", 45, 45),
        ("minimal", "CDR_STANDARD", 10, 10),  # an account asked for less than the policy: no longer than either
        ("minimal", "CDR_STANDARD", 90, 30),
    ],
)
async def test_a_record_is_kept_as_the_policy_says_and_names_its_version(
    house: House, class_: str, pack: str, kept: int, days: int
) -> None:
    call = replace(a_plan(), policy=PolicyMark(3, pack, Period(days=kept)), metadata_class=class_)
    ended = NOW + timedelta(seconds=60)
    await DatabaseCallBook(house.services.db).close(ClosedCall(call, Outcome(), NOW, ended, 30.0, ()))
    async with house.services.db.read() as tx:
        record = await call_records.get(tx, call.call_id)
    began = ended if class_ == "standard" else NOW  # a minimal record does not tell when the call ended
    assert record.fields["policy"] == 3 and record.expires_at == began + timedelta(days=days)


# --- as it is typed ---------------------------------------------------------------------------------------------------


@pytest.mark.promise("2.18")
def test_the_whole_way_by_command(beffroi: Callable[..., Ran], tmp_path: Any) -> None:
    assert beffroi("person", "add", "dora", "Dora", "--roles", "dpo").status == 0
    drafted = beffroi("policy", "draft", "--from-lines")
    assert "rule recorded: REC_QUALITY, line recorded, consent opt-in" in drafted.out
    assert "! valid_from: has no date" in drafted.out and "policy enter dpia_signed --pack REC_QUALITY" in drafted.out
    assert beffroi("policy", "set", "1", "--rule", "recorded", "--rate", "3%", "--retention", "P1M").status == 0
    refused = beffroi("policy", "approve", "1", "--as", "dora")
    assert refused.status == 1 and "cse_consulted" in refused.err
    for kind in KINDS:
        assert beffroi("policy", "enter", kind, "--pack", "REC_QUALITY", "--evidence", "minutes 7", "--by", "Dora",
                       "--on", "2026-01-15").status == 0  # fmt: skip
    assert beffroi("policy", "set", "1", "--from", "approval").status == 0
    assert "in force" in beffroi("policy", "approve", "1", "--as", "dora").out
    assert [one["state"] for one in beffroi("policy", "list", "--json").json] == ["in force"]
    assert "rate 3%" in beffroi("policy", "show").out
    assert beffroi("status", "--json").json["policy"] == "version 1 is in force"
    file = tmp_path / "policy.json"
    file.write_text(beffroi("policy", "export").out)
    assert beffroi("policy", "import", str(file)).status == 0
    assert [one["event"] for one in beffroi("policy", "history", "--json").json].count("in force") == 1
    assert beffroi("policy", "verify").status == 0
    assert "dpia_signed: L'analyse" in beffroi("policy", "needs", "--pack", "REC_QUALITY").out
    assert beffroi("policy", "set", "2", "--rule", "x", "--pack", "REC_QUALITY", "--rate", "3").status == 1
    assert beffroi("policy", "discard", "2").status == 0
