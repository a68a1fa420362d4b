"""A simulation's arithmetic: nothing is lost between the two sides, nothing is kept longer than was announced."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import packs as pack_data
from config.periods import Period
from retention.simulation import ALL, Alike, Bundle, Happened, Said, compare, leaving

NOW = datetime(2026, 12, 1, tzinfo=UTC)
PACKS = pack_data.load()
NOTHING = Said(0, "", "", "minimal", False, "no rule")
QUALITY = Said(30, "REC_QUALITY", "opt-out", "standard", False, "rule sales")
MIFID = Said(ALL, "REC_MIFID", "announce", "standard", True, "rule orders")

SAID = st.sampled_from((NOTHING, QUALITY, MIFID))
ALIKE = st.builds(
    Alike,
    st.sampled_from(("2026-09", "2026-10", "2026-11")),
    st.sampled_from((None, "sales", "help")),
    st.sampled_from(("inbound", "outbound", "internal")),
    st.sampled_from((None, "FR", "DE")),
)
CALLS = st.dictionaries(ALIKE, st.builds(lambda n, m: Happened(n + m, m), st.integers(0, 99), st.integers(0, 99)))


@pytest.mark.promise("L7")
@given(CALLS, st.dictionaries(ALIKE, SAID), st.dictionaries(ALIKE, SAID))
def test_every_call_is_counted_once_on_either_side(
    calls: dict[Alike, Happened], one: dict[Alike, Said], two: dict[Alike, Said]
) -> None:
    found = compare(calls, lambda alike: one.get(alike, NOTHING), lambda alike: two.get(alike, NOTHING))
    total = sum(each.calls for each in calls.values())
    assert found.happened.calls == total == sum(row.happened.calls for row in found.rows)
    for side in (found.before, found.after):
        assert sum(side.classes.values()) == total
        assert sum(side.purposes.values()) == side.recorded <= ALL * found.happened.talked
        assert side.asked <= side.recorded
    assert found.before.recorded == sum(before.recorded for _, before, _ in found.months.values())
    assert found.after.recorded == sum(after.recorded for _, _, after in found.months.values())
    assert list(found.months) == sorted(found.months)
    assert all(one.changes >= two.changes for one, two in pairwise(found.rows)), "what changes comes first"


def test_a_sample_is_its_share_and_a_duty_is_all() -> None:
    calls = {Alike("2026-11", "sales", "inbound", "FR"): Happened(1200, 1000, 900)}
    found = compare(calls, lambda _: MIFID, lambda _: QUALITY)
    assert (found.before.recorded, found.after.recorded) == (1000 * ALL, 30 * ALL)
    assert (found.before.asked, found.after.asked) == (0, 30 * ALL), "an announcement asks nobody"
    assert (found.before.may_end, found.after.may_end) == (1000, 0)
    [row] = found.rows
    assert row.changes and row.happened.recorded == 900


DAYS = st.integers(0, 700)
BUNDLES = st.lists(
    st.builds(
        lambda pack, began, kept, count: Bundle(
            "recording", pack, NOW - timedelta(days=began), NOW + timedelta(days=kept), count
        ),
        st.sampled_from(("REC_QUALITY", "REC_MIFID", "REC_CONTRACT")),
        DAYS,
        DAYS,
        st.integers(1, 50),
    )
)


@pytest.mark.promise("L7")
@given(BUNDLES, st.integers(1, 700))
def test_what_is_kept_goes_once_and_never_later(bundles: list[Bundle], days: int) -> None:
    periods = {"REC_QUALITY": Period.parse(f"P{days}D"), "REC_MIFID": Period.parse(f"P{days}D")}
    found = leaving(bundles, periods, PACKS, NOW)
    kept = sum(bundle.count for bundle in bundles)
    assert found.kept == kept
    assert sum(one for one, _ in found.months.values()) == sum(two for _, two in found.months.values()) == kept
    seen_before = seen_after = 0
    for before, after in found.months.values():
        seen_before, seen_after = seen_before + before, seen_after + after
        assert seen_after >= seen_before, "by the end of no month less is gone than without the change"
    assert all(found.at_once[key] <= count for key, count in found.earlier.items())
    assert ("recording", "REC_CONTRACT") not in found.earlier, "the version says nothing of it"


def test_a_legal_minimum_stands_against_a_shorter_period() -> None:
    began = NOW - timedelta(days=700)
    bundle = Bundle("recording", "REC_MIFID", began, NOW + timedelta(days=2000), 3)
    found = leaving([bundle], {"REC_MIFID": Period.parse("P1M")}, PACKS, NOW)
    minimum = PACKS["REC_MIFID"].minimum
    assert minimum is not None
    goes = minimum.after(began)
    assert not found.at_once and found.months[goes.strftime("%Y-%m")] == [0, 3]
