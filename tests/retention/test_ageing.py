"""Fields age by the shipped data: only ever coarser, never later than said, and each says why it is as it is."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import metadata_ages, packs
from config.metadata_ages import FORMS
from config.periods import Period
from config.shipped import DataError, read
from retention.ageing import Aged, Aging, aged, because, due_ageing, explain, form_of, month_key_due, month_of, next_at
from retention.metadata import CallFacts, MetadataClass, reduce

pytestmark = [pytest.mark.promise("L11", "3.3")]
AGES, PACKS = metadata_ages.load(), packs.load()
START = datetime(2026, 11, 21, 14, 37, 12, 345, tzinfo=UTC)
NUMBER = "+33612345678"
ORDER = {field: forms.index for field, forms in FORMS.items()}


def record(class_: MetadataClass = MetadataClass.STANDARD, at: datetime = START, **changes: Any) -> Aging:
    facts = CallFacts(
        call_id="c" * 32, line_id="d" * 32, line_pseudonym="d" * 32, direction="inbound", started_at=at,
        ended_at=at + timedelta(seconds=151), talk_s=142, cause="answered", numbers={"caller": NUMBER, "callee": "101"},
        peer_country="FR", trunk="e" * 32, cost_cents=12,
    )  # fmt: skip
    kept = reduce(replace(facts, **changes), class_)
    assert kept.at is not None and kept.expires_at is not None
    fields = {**kept.fields, "contact_evidence": "f" * 32} if class_ is MetadataClass.STANDARD else kept.fields
    return Aging("c" * 32, str(class_), kept.at, kept.expires_at, fields, kept.numbers)


def at_age(one: Aging, age: str, more: timedelta = timedelta(0)) -> Aged:
    return aged(one, AGES, Period.parse(age).after(one.at) + more, PACKS)


def again(one: Aging, became: Aged) -> Aging:
    return Aging(
        one.call_id, one.metadata_class, became.at, became.expires_at, became.fields, became.numbers, became.keyed
    )


def test_nothing_ages_before_its_time() -> None:
    for class_ in (MetadataClass.STANDARD, MetadataClass.MINIMAL):
        one = record(class_)
        first = next_at(one, AGES, one.at)
        assert first is not None and due_ageing(one, AGES, first - timedelta(microseconds=1)) == []
        assert due_ageing(one, AGES, first) != []


def test_after_a_month_a_standard_record_has_hashes_an_hour_and_a_bucket() -> None:
    became = at_age(record(), "P1M")
    assert became.numbers == {} and became.to_key == {"caller": NUMBER, "callee": "101"} and became.keyed
    assert became.fields == {
        "call_id": "c" * 32, "line_id": "d" * 32, "direction": "inbound", "start_hour": "2026-11-21T14Z",
        "duration": "under_5m", "trunk": "e" * 32, "cause": "answered", "cost_cents": 12, "peer": "FR",
    }  # fmt: skip
    assert became.at == datetime(2026, 11, 21, 14, tzinfo=UTC)
    assert became.expires_at == datetime(2027, 5, 21, 14, tzinfo=UTC), "nor may the expiry tell the second of the end"


def test_after_three_months_only_country_and_day_are_left() -> None:
    became = at_age(again(record(), at_age(record(), "P1M")), "P3M")
    assert (became.numbers, became.to_key, became.keyed) == ({}, {}, False)
    assert became.fields["peer"] == "FR" and became.fields["start_day"] == "2026-11-21"
    assert "cost_cents" not in became.fields and became.ages_at is None
    assert became.at == datetime(2026, 11, 21, tzinfo=UTC) and became.expires_at == datetime(2027, 5, 21, tzinfo=UTC)


def test_steps_that_were_missed_are_passed_over() -> None:
    """A daemon that was off for four months hashes nothing: the key of that month would be made for nothing."""
    straight = at_age(record(), "P4M")
    assert straight.to_key == {} and not straight.keyed
    by_steps = at_age(again(record(), at_age(record(), "P1M")), "P4M")
    assert straight == by_steps


def test_a_minimal_record_loses_its_hour_and_then_its_duration() -> None:
    one = record(MetadataClass.MINIMAL)
    fortnight = at_age(one, "P14D")
    assert fortnight.fields["start_day"] == "2026-11-21" and fortnight.fields["duration"] == "under_5m"
    assert fortnight.expires_at == datetime(2026, 12, 21, tzinfo=UTC)
    later = at_age(again(one, fortnight), "P21D")
    assert "duration" not in later.fields and later.fields["peer"] == "FR" and later.ages_at is None


@pytest.mark.parametrize(
    ("direction", "numbers", "peer"),
    [
        ("outbound", {"caller": "101", "callee": "+442071838750"}, "GB"),
        ("inbound", {"caller": "+88216123456", "callee": "101"}, "+88"),
        ("inbound", {"caller": "anonymous", "callee": "101"}, "unknown"),
        ("internal", {"caller": "101", "callee": "102"}, "internal"),
    ],
)
def test_what_is_left_of_the_other_side(direction: Any, numbers: dict[str, str], peer: str) -> None:
    assert at_age(record(direction=direction, numbers=numbers), "P1M").fields["peer"] == peer


def test_what_was_never_known_does_not_come_up_with_age() -> None:
    became = at_age(record(unlisted=True, numbers={}), "P4M")
    assert "peer" not in became.fields and became.numbers == {}


ages = st.timedeltas(timedelta(0), timedelta(days=400))
starts = st.timedeltas(timedelta(0), timedelta(days=1460)).map(lambda one: datetime(2024, 1, 1, tzinfo=UTC) + one)
classes = st.sampled_from([MetadataClass.STANDARD, MetadataClass.MINIMAL])


@given(classes, starts, st.lists(ages, min_size=1, max_size=6))
def test_only_ever_coarser_and_only_on_time(class_: MetadataClass, start: datetime, when: list[timedelta]) -> None:
    one = record(class_, start)
    expires_at = one.expires_at
    for age in sorted(when):
        became = again(one, aged(one, AGES, start + age, PACKS))
        for field in AGES.classes[str(class_)].fields:
            assert ORDER[field](form_of(became, field)) >= ORDER[field](form_of(one, field)), field
        assert became.at <= one.at and became.expires_at <= one.expires_at <= expires_at
        assert due_ageing(became, AGES, start + age) == [], "once done it is done"
        assert aged(became, AGES, start + age, PACKS).fields == became.fields
        one = became


@given(classes, starts, ages)
def test_the_way_there_makes_no_difference(class_: MetadataClass, start: datetime, age: timedelta) -> None:
    """Step by step as each falls due, or at once: the same is left, and no number where none may be."""
    one, now = record(class_, start), start + age
    at_once = aged(one, AGES, now, PACKS)
    stepped, step = one, next_at(one, AGES, one.at)
    while step is not None and step <= now:
        became = aged(stepped, AGES, step, PACKS)
        stepped, step = again(stepped, became), became.ages_at
    last = aged(stepped, AGES, now, PACKS)
    assert (last.at, last.fields, last.numbers, last.keyed) == (
        at_once.at,
        at_once.fields,
        at_once.numbers,
        at_once.keyed,
    )
    if now >= Period.parse("P1M").after(start):
        assert NUMBER not in json.dumps([dict(at_once.fields), dict(at_once.numbers)])


@given(classes, starts, ages)
def test_the_next_step_is_told_before_it_is_due(class_: MetadataClass, start: datetime, age: timedelta) -> None:
    one, now = record(class_, start), start + age
    became = aged(one, AGES, now, PACKS)
    if became.ages_at is not None:
        assert now < became.ages_at < became.expires_at
        assert due_ageing(again(one, became), AGES, became.ages_at) != []


@given(starts)
def test_a_months_key_outlives_every_record_that_is_under_it(start: datetime) -> None:
    one = record(at=start)
    due = month_key_due(month_of(start), AGES, PACKS)
    keyed = again(one, aged(one, AGES, Period.parse("P1M").after(start), PACKS))
    last = next_at(keyed, AGES, Period.parse("P1M").after(start))
    assert last is not None and last <= due
    assert not aged(keyed, AGES, due, PACKS).keyed


def test_each_field_says_why_it_is_as_it_is_and_until_when() -> None:
    one = record()
    now = START + timedelta(days=40)
    said = {each.field: each for each in explain(again(one, aged(one, AGES, now, PACKS)), AGES, now)}
    assert said["number"].rule == f"standard.number.keyed@{AGES.version}"
    assert (said["number"].until, said["number"].then) == (datetime(2027, 2, 21, 14, tzinfo=UTC), "prefix")
    assert said["duration"].then == "the record goes" and said["duration"].until == datetime(
        2027, 5, 21, 14, tzinfo=UTC
    )
    assert because(due_ageing(one, AGES, now)).startswith(
        f"number full>keyed since 2026-12-21T14:37:12Z by standard.number.keyed@{AGES.version}"
    )


def changed(index: int, **fields: Any) -> dict[str, Any]:
    data = copy.deepcopy(read("metadata_ages.toml"))
    data["class"][index]["ages"].update(fields)
    return data


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"number": {"full": "P0D", "prefix": "P1M", "keyed": "P2M"}}, "finer with age"),
        ({"number": {"full": "P0D", "prefix": "P7M"}}, "beyond P6M"),
        ({"number": {"full": "P0D", "keyed": "P1M", "prefix": "P1M"}}, "not later"),
        ({"number": {"full": "P1D"}}, "from P0D on"),
        ({"number": {"keyed": "P0D"}}, "begins as full"),
        ({"number": {"full": "P0D", "hashed": "P1M"}}, "unknown hashed"),
        ({"number": {"full": "P0D", "keyed": "1 month"}}, "ISO 8601"),
        ({"evidence": {"full": "P0D"}}, "leads to the number"),
        ({"evidence": {"full": "P0D", "gone": "P2M"}}, "leads to the number"),
        ({"colour": {"full": "P0D"}}, "unknown colour"),
    ],
)
def test_a_mistake_in_the_data_is_found_when_it_is_read(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        metadata_ages.build(changed(0, **fields), PACKS)


def test_the_shipped_ages_are_within_the_packs() -> None:
    for one in AGES.classes.values():
        retention, maximum = PACKS[one.pack].retention, PACKS[one.pack].maximum
        assert retention is not None and maximum is not None
        for stages in one.fields.values():
            assert maximum.at_least_as_long_as(retention) and retention.at_least_as_long_as(stages[-1].since)


def test_the_document_has_the_stages_of_the_data() -> None:
    text = (Path(__file__).parents[2] / "docs" / "metadata.md").read_text()
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines() if row.startswith("|")]
    written = {(row[0], row[1]): [cell for cell in row[2:] if cell] for row in rows if row[0] in AGES.classes}
    assert written == {
        (name, field): [stages[0].form, *(f"{stage.form} from {stage.since}" for stage in stages[1:])]
        for name, one in AGES.classes.items()
        for field, stages in one.fields.items()
    }
