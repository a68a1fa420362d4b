"""What a call leaves in writing: acts of consent, and one record with just the fields of its class."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sip.calls import acts
from sip.calls.plan import CallPlan, ContactMade, Direction, Outcome
from sip.calls.ports import ClosedCall
from sip.worker import protocol as p
from storage import call_records, contact_attempts, ledger_verify, lines
from storage.errors import StorageError
from tests.server.recording_house import NOW, House, act, house, plan
from tests.sip.calls.test_script import Call, accepted, asked
from tests.sip.calls.test_script import plan as script_plan

SECRETS = ("0612345678", "+33187654321", "Alice", "secret-line")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("template") / "template.sqlite3"


@pytest.fixture
async def place(tmp_path: Path, template: Path) -> AsyncIterator[House]:
    async with house(tmp_path, template) as made:
        yield made


async def line(place: House) -> str:
    async with place.db.transaction() as tx:
        return (await lines.add(tx, "office", "200", NOW)).id


def closed(
    class_: str, *, talk_s: float = 95.0, rec_id: str | None = None, line_id: str | None = None, **outcome: Any
) -> ClosedCall:
    call = plan()
    call = replace(
        call,
        metadata_class=class_,
        line_id=line_id,
        caller=replace(call.caller, number="+33187654321", display="Alice"),
        callee=replace(call.callee, number="0612345678", display="secret-line"),
    )
    how = Outcome(code=200, cause="caller-hung-up", recording="recorded")
    for name, value in outcome.items():
        setattr(how, name, value)
    return ClosedCall(call, how, NOW, NOW + timedelta(seconds=100), talk_s, (rec_id,) if rec_id else ())


async def record(place: House, call: ClosedCall) -> call_records.CallRecord:
    async with place.db.read() as tx:
        return await call_records.get(tx, call.plan.call_id)


# --- the record ---------------------------------------------------------------------------------------------------


@pytest.mark.promise("3.3")
async def test_class_none_leaves_a_count_and_nothing_that_leads_to_a_call(place: House, tmp_path: Path) -> None:
    call = closed("none")
    await place.book.close(call)
    await place.book.close(closed("none", talk_s=0.0))
    async with place.db.read() as tx:
        assert await call_records.list_all(tx) == ()
        (total,) = await call_records.totals(tx)
        for number in SECRETS[:2]:
            assert await call_records.with_number(tx, number) == ()
    assert (total.direction, total.calls, total.minutes) == ("internal", 2, 2)
    await place.db.close()
    assert not found(tmp_path, call.plan.call_id, *SECRETS)


@pytest.mark.promise("3.3", "0.13")
async def test_class_minimal_keeps_no_number_and_no_exact_time(place: House, tmp_path: Path) -> None:
    call = closed("minimal", rec_id="f" * 32, line_id=await line(place))
    await place.book.close(call)
    kept = await record(place, call)
    assert (kept.metadata_class, kept.line_id, kept.recording_id) == ("minimal", None, "f" * 32)
    assert kept.at == NOW.replace(minute=0, second=0, microsecond=0)
    assert kept.fields["duration"] == "under_5m" and kept.fields["recording"] == "recorded"
    assert not any(secret in json.dumps(dict(kept.fields)) for secret in SECRETS)
    async with place.db.read() as tx:
        assert await call_records.numbers(tx, call.plan.call_id) == {}
        assert await call_records.with_number(tx, "0612345678") == ()
    await place.db.close()
    assert not found(tmp_path, *SECRETS)


@pytest.mark.promise("0.1")
async def test_class_standard_keeps_numbers_sealed_and_finds_them(place: House, tmp_path: Path) -> None:
    call = closed("standard", line_id=await line(place))
    await place.book.close(call)
    kept = await record(place, call)
    assert (kept.line_id, kept.fields["duration_s"]) == (call.plan.line_id, 95)
    assert kept.fields["cause"] == "caller-hung-up"
    async with place.db.read() as tx:
        assert [r.id for r in await call_records.with_number(tx, "0612345678")] == [call.plan.call_id]
        assert (await call_records.numbers(tx, call.plan.call_id))["caller"] == "+33187654321"
    await place.db.close()
    assert not found(tmp_path, *SECRETS), "in the files they are sealed"


@pytest.mark.promise("2.19", "L10")
@pytest.mark.parametrize("class_", ["minimal", "standard"])
async def test_each_record_says_on_what_it_rests_and_when_it_goes(place: House, class_: str) -> None:
    call = closed(class_)
    await place.book.close(call)
    kept = await record(place, call)
    assert kept.purpose and kept.legal_basis and kept.expires_at > NOW + timedelta(days=1)


async def test_a_call_that_was_transferred_says_so_and_how_many_recordings_there_are(place: House) -> None:
    call = replace(closed("minimal", transferred=True), rec_ids=("e" * 32, "f" * 32))
    await place.book.close(call)
    kept = await record(place, call)
    assert kept.fields["transferred"] is True and kept.fields["recordings"] == 2 and kept.recording_id == "e" * 32


@pytest.mark.promise("L5")
async def test_a_call_that_became_private_or_that_somebody_protected_joined_leaves_no_record(place: House) -> None:
    call = closed("standard", metadata_class="none")
    await place.book.close(call)
    async with place.db.read() as tx:
        assert await call_records.list_all(tx) == ()


@pytest.mark.parametrize(("direction", "peer"), [("outbound", "BE"), ("inbound", "DE")])
async def test_the_peer_of_a_call_by_a_trunk_is_who_is_outside(place: House, direction: Direction, peer: str) -> None:
    call = closed("minimal")
    outside = replace(
        call.plan,
        direction=direction,
        trunk_id="t1" if direction == "inbound" else None,
        caller=replace(call.plan.caller, country="DE"),
        callee=replace(call.plan.callee, country="BE"),
    )
    await place.book.close(replace(call, plan=outside))
    kept = await record(place, call)
    assert (kept.fields["direction"], kept.fields["peer"]) == (direction, peer)


async def test_a_call_is_written_once(place: House) -> None:
    call = closed("minimal")
    await place.book.close(call)
    with pytest.raises(StorageError):
        await place.book.close(call)
    async with place.db.read() as tx:
        (total,) = await call_records.totals(tx)
    assert total.calls == 1, "the count went back with the record"


def found(directory: Path, *marks: str) -> list[str]:
    data = b"".join(path.read_bytes() for path in directory.glob("beffroi.sqlite3*"))
    return [mark for mark in marks if mark.encode() in data]


# --- evidence -----------------------------------------------------------------------------------------------------


@pytest.mark.promise("2.2", "L1")
async def test_an_act_of_consent_names_prompt_leg_key_and_time_and_nobody(place: House) -> None:
    call = plan()
    seq = await place.book.note(call, act("a", "key1", "1"), NOW)
    (entry,) = await place.entries("consent")
    assert (entry["seq"], entry["act"], entry["key"], entry["media_ms"]) == (seq, "key1", "1", 900)
    assert (entry["prompt_id"], entry["prompt_sha256"]) == ("PROMPT_STAFF", "ab" * 32)
    assert (entry["call_id"], entry["leg_id"]) == (call.call_id, call.leg_id("a"))
    assert entry["rule"] == call.recording.rule_id and entry["pack"] == "REC_QUALITY"
    assert not any(name in json.dumps(entry) for name in ("101", "102", "Alice", "Bob"))
    async with place.db.read() as tx:
        assert await ledger_verify.verify(tx, place.ledger_public) == []


async def test_an_objection_says_to_which_recording(place: House) -> None:
    await place.objected("f" * 32, plan())
    (entry,) = await place.entries("consent")
    assert (entry["act"], entry["rec_id"]) == ("objection", "f" * 32)


def refused(call_plan: CallPlan) -> Call:
    call = asked(call_plan)
    call.feed(p.Digit("a", "2", 900))
    call.hears()
    return call


def silent(call_plan: CallPlan) -> Call:
    call = asked(call_plan)
    call.hears()
    call.time_passes()
    call.hears()
    return call


def more(call_plan: CallPlan) -> Call:
    call = asked(call_plan)
    call.feed(p.Digit("a", "0", 900))
    call.feed(p.Digit("a", "1", 1900))
    return call


def hung_up(call_plan: CallPlan) -> Call:
    call = asked(call_plan)
    call.feed(p.LegDown("a", 200, ""))
    return call


def objected(call_plan: CallPlan) -> Call:
    call = accepted(call_plan)
    call.feed(acts.RecordingStarted(), p.Digit("a", "2", 86_400_000))
    return call


def statute(call_plan: CallPlan) -> Call:
    call = Call(call_plan)
    call.feed(p.Incoming("a", "x"), p.LegUp("b0"), p.LegMedia("b0", True))
    return call


OPT_IN, MISSING = script_plan(), script_plan(without=frozenset({"PROMPT_OPTIN"}))
STORIES: list[tuple[Callable[[CallPlan], Call], CallPlan, set[str]]] = [
    (accepted, OPT_IN, {"key1", "heard"}),
    (refused, OPT_IN, {"key2"}),
    (silent, OPT_IN, {"timeout"}),
    (more, OPT_IN, {"key1"}),
    (hung_up, OPT_IN, {"hangup"}),
    (objected, OPT_IN, {"key1", "heard", "objection"}),
    (asked, MISSING, {"prompt_failed"}),
    (statute, script_plan("REC_EMERGENCY", None, statute="CSP art. L6311-1"), {"statute"}),
]


@pytest.mark.parametrize(("story", "call_plan", "expected"), STORIES, ids=lambda one: getattr(one, "__name__", ""))
async def test_whatever_a_script_notes_can_be_written_down(
    place: House, story: Callable[[CallPlan], Call], call_plan: CallPlan, expected: set[str]
) -> None:
    """An act that the ledger refuses would be an act without evidence."""
    call = story(call_plan)
    for evidence in call.script.outcome.evidence:
        await place.book.note(call_plan, evidence, NOW, "f" * 32)
    assert {entry["act"] for entry in await place.entries("consent")} == expected


# --- on behalf of a canvassing line -------------------------------------------------------------------------------


@pytest.mark.promise("L4")
@pytest.mark.parametrize(
    ("class_", "talk_s", "cause", "outcome", "kept"),
    [
        ("standard", 95.0, "caller-hung-up", "answered", {"contact_rule": "FR.consumers", "contact_evidence": "c1"}),
        ("minimal", 0.0, "no-answer", "not_answered", {"contact_rule": "FR.consumers"}),
        ("none", 0.0, "trunk-failed", "failed", None),
    ],
)
async def test_what_a_contact_rested_on_stands_where_the_class_allows_it(
    place: House, class_: str, talk_s: float, cause: str, outcome: str, kept: dict[str, str] | None
) -> None:
    line_id = await line(place)
    async with place.db.transaction() as tx:
        made = await contact_attempts.add(
            tx, "+33142123456", line_id=line_id, channel="voice", at=NOW, evidence="c1", purpose="counted",
            legal_basis="C. conso. D223-9", kept_until=NOW + timedelta(days=31),
        )  # fmt: skip
    call = closed(class_, talk_s=talk_s, line_id=line_id, cause=cause)
    call = replace(call, plan=replace(call.plan, contact=ContactMade(made.id, "FR.consumers", "c1")))
    await place.book.close(call)
    async with place.db.read() as tx:
        assert [one.outcome for one in await contact_attempts.of_number(tx, "+33142123456")] == [outcome]
    if kept is None:
        with pytest.raises(StorageError):
            await record(place, call)
    else:
        fields = (await record(place, call)).fields
        assert {name: value for name, value in fields.items() if name.startswith("contact")} == kept
