from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import packs
from retention.metadata import CallFacts, MetadataClass, bucket, reduce, strictest_class

START = datetime(2026, 11, 21, 14, 37, 12, 345, tzinfo=UTC)
FACTS = CallFacts(
    call_id="c" * 32, line_id="d" * 32, line_pseudonym="line-7", direction="inbound", started_at=START,
    ended_at=START + timedelta(seconds=151), talk_s=142.4, cause="answered",
    numbers={"caller": "+33612345678", "callee": "alice"}, peer_country="FR", trunk="operator-a", cost_cents=12,
)  # fmt: skip


def stored(class_: MetadataClass, **changes: Any) -> str:
    kept = reduce(replace(FACTS, **changes), class_)
    return json.dumps([dict(kept.fields), dict(kept.numbers), str(kept.at), vars_of(kept.totals)])


def vars_of(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def test_standard_keeps_all_with_the_numbers_apart() -> None:
    kept = reduce(FACTS, MetadataClass.STANDARD)
    assert kept.fields == {
        "call_id": "c" * 32, "line_id": "d" * 32, "direction": "inbound", "start": "2026-11-21T14:37:12+00:00",
        "duration_s": 142, "trunk": "operator-a", "cause": "answered", "cost_cents": 12,
    }  # fmt: skip
    assert kept.numbers == FACTS.numbers
    assert "33612345678" not in json.dumps(dict(kept.fields)) and "33612345678" not in repr(kept)
    assert kept.at == START and kept.pack == "CDR_STANDARD"


@pytest.mark.promise("3.3", "L11")
def test_minimal_keeps_what_its_pack_lists_and_no_more() -> None:
    kept = reduce(FACTS, MetadataClass.MINIMAL)
    assert kept.fields == {
        "call_id": "c" * 32, "line_pseudonym": "line-7", "direction": "inbound", "peer": "FR",
        "start_hour": "2026-11-21T14Z", "duration": "under_5m", "cause": "answered",
    }  # fmt: skip
    assert kept.numbers == {} and kept.at == datetime(2026, 11, 21, 14, tzinfo=UTC)
    assert len(kept.fields) == len(packs.load()["CDR_MINIMAL"].fields)


@pytest.mark.promise("L5")
def test_a_protected_line_leaves_only_totals() -> None:
    kept = reduce(FACTS, MetadataClass.NONE)
    assert (dict(kept.fields), dict(kept.numbers), kept.at, kept.expires_at) == ({}, {}, None, None)
    assert vars_of(kept.totals) == {"day": "2026-11-21", "direction": "inbound", "trunk": "operator-a", "minutes": 3}
    text = stored(MetadataClass.NONE)
    for trace in ("c" * 32, "d" * 32, "line-7", "612345678", "alice", "14:37", "answered", "FR"):
        assert trace not in text


@pytest.mark.promise("2.19")
def test_each_record_says_why_it_is_kept_and_until_when() -> None:
    standard, minimal = reduce(FACTS, MetadataClass.STANDARD), reduce(FACTS, MetadataClass.MINIMAL)
    assert standard.expires_at == datetime(2027, 5, 21, 14, 39, 43, 345, tzinfo=UTC)
    assert minimal.expires_at == datetime(2026, 12, 21, 14, tzinfo=UTC), (
        "no end to the second beside a start to the hour"
    )
    assert standard.legal_basis.startswith("GDPR 6(1)(f)") and standard.purpose and standard.pack_version


def test_the_strictest_class_of_the_parties_wins() -> None:
    classes = [MetadataClass.parse(text) for text in ("standard", "none", "minimal")]
    assert strictest_class(classes) is MetadataClass.NONE
    assert strictest_class([MetadataClass.STANDARD, MetadataClass.MINIMAL]) is MetadataClass.MINIMAL
    assert strictest_class([]) is MetadataClass.MINIMAL
    assert [str(c) for c in classes] == ["standard", "none", "minimal"]
    with pytest.raises(ValueError, match="full"):
        MetadataClass.parse("full")


def test_the_peer_is_a_country_or_a_short_prefix() -> None:
    def peer(**changes: Any) -> object:
        return reduce(replace(FACTS, **changes), MetadataClass.MINIMAL).fields["peer"]

    assert peer(peer_country=None) == "+33"
    assert peer(peer_country=None, numbers={"caller": "anonymous"}) == "unknown"
    assert peer(peer_country=None, numbers={"caller": "+3361"}) == "unknown"
    assert peer(direction="internal") == "internal"
    assert peer(unlisted=True) == "unlisted"


def test_a_help_lines_number_is_kept_nowhere() -> None:
    for class_ in MetadataClass:
        assert "612345678" not in stored(class_, unlisted=True)


@pytest.mark.parametrize(
    ("talk_s", "name"),
    [(0, "none"), (-1, "none"), (9.9, "under_10s"), (10, "under_1m"), (60, "under_5m"), (300, "under_15m"),
     (900, "under_1h"), (3600, "over_1h")],
)  # fmt: skip
def test_durations_in_buckets(talk_s: float, name: str) -> None:
    assert bucket(talk_s) == name


def test_hours_are_told_in_utc() -> None:
    paris = START.astimezone(timezone(timedelta(hours=13)))
    assert reduce(replace(FACTS, started_at=paris), MetadataClass.MINIMAL).fields["start_hour"] == "2026-11-21T14Z"


@given(st.integers(10**8, 10**14), st.sampled_from(["inbound", "outbound", "internal"]))
def test_no_number_is_ever_in_a_minimal_record(number: int, direction: Any) -> None:
    numbers = {"caller": f"+{number}", "callee": str(number)}
    for class_ in (MetadataClass.MINIMAL, MetadataClass.NONE):
        text = stored(class_, numbers=numbers, direction=direction, peer_country=None)
        assert str(number) not in text and str(number)[3:] not in text
