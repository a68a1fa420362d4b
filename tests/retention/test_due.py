"""What is due, why not, and whether the clock may say so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import packs
from config.periods import Period
from retention.due import by_day, due
from retention.gate import Hold, Item
from retention.trusted_clock import AHEAD, AWAY, BACK, Look, doubt

pytestmark = pytest.mark.promise("L3", "2.5")
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
PACKS = packs.load()
DAY = timedelta(days=1)


def item(name: str, expires_at: datetime, pack: str = "REC_QUALITY@2026-11-21.1", days: int = 90) -> Item:
    return Item(name, "recording", pack, expires_at - timedelta(days=days), expires_at)


def test_the_documented_example() -> None:
    """docs/dpo.md: four recordings on one day."""
    items = [
        item("over", NOW - DAY),
        item("runs", NOW + DAY),
        item("held", NOW - DAY),
        item("law", NOW - DAY, "REC_MIFID@2026-11-21.1", days=365),
    ]
    said = {plan.item.item_id: (plan.destroy, plan.rule) for plan in due(items, {"held": [Hold("h1")]}, PACKS, NOW)}
    assert said == {
        "over": (True, "retention_expiry: nothing stands against it"),
        "runs": (False, "expires at 2026-11-29T12:00:00Z"),
        "held": (False, "legal hold h1"),
        "law": (False, "minimum period of REC_MIFID@2026-11-21.1 until 2030-11-27T12:00:00Z"),
    }


@pytest.mark.promise("2.5", "2.6")
def test_a_minimum_that_runs_from_a_contract_does_not_keep_what_led_to_none() -> None:
    """R112-7 C. assur.: two years from the signature; without one, a month."""
    insurance = PACKS["REC_INSURANCE_FR"]
    assert insurance.minimum is not None and insurance.provisional is not None
    declined = Item("a", "recording", "REC_INSURANCE_FR@1", NOW - 32 * DAY, insurance.provisional.after(NOW - 32 * DAY))
    assert due([declined], {}, PACKS, NOW)[0].destroy
    signed = Item("b", "recording", "REC_INSURANCE_FR@1", NOW - 32 * DAY, insurance.minimum.after(NOW - 31 * DAY))
    assert not due([signed], {}, PACKS, NOW)[0].destroy


def test_an_expiry_of_zero_is_taken_for_none() -> None:
    zero = datetime.fromtimestamp(0, UTC)
    (plan,) = due([Item("a", "call_record", "CDR_MINIMAL", zero, zero)], {}, PACKS, NOW)
    assert not plan.destroy and "zero" in plan.rule


moments = st.integers(0, 20 * 365 * 86400).map(lambda s: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=s))
items_ = st.builds(
    lambda n, created, kept, pack: Item(str(n), "recording", f"{pack}@1", created, created + timedelta(days=kept)),
    st.integers(0, 9),
    moments,
    st.integers(0, 4000),
    st.sampled_from(sorted(PACKS)),
)
holds_ = st.dictionaries(
    st.integers(0, 9).map(str),
    st.lists(st.builds(Hold, st.just("h"), st.one_of(st.none(), moments)), max_size=2),
)


@given(st.lists(items_, max_size=20), holds_, moments)
def test_never_early_never_under_a_hold_never_within_a_minimum_and_every_item_is_answered(
    items: list[Item], holds: dict[str, list[Hold]], now: datetime
) -> None:
    plans = due(items, holds, PACKS, now)
    assert [plan.item for plan in plans] == items
    for plan in plans:
        assert plan.rule
        standing = [one for one in holds.get(plan.item.item_id, []) if one.lifted_at is None or one.lifted_at > now]
        pack = PACKS[plan.item.pack.partition("@")[0]]
        minimum = None if pack.provisional else pack.minimum
        over = minimum is None or minimum.after(plan.item.created_at) <= now
        assert plan.destroy == (plan.item.expires_at <= now and not standing and over)
        if not plan.destroy and plan.again_at is not None and not standing:
            assert plan.again_at > now
            assert all(not again.destroy for again in due([plan.item], {}, PACKS, plan.again_at - timedelta(seconds=1)))


def test_a_forecast_counts_what_is_overdue_for_today() -> None:
    items = [item("a", NOW - 3 * DAY), item("b", NOW + DAY / 2), item("c", NOW + DAY), item("d", NOW + 9 * DAY)]
    found = by_day(items, NOW, 3)
    assert {day: dict(kinds) for day, kinds in found.items()} == {
        "2026-11-28": {"recording": 1},
        "2026-11-29": {"recording": 2},
    }


@given(st.integers(0, 60), st.integers(0, 40), moments)
def test_what_was_so_long_ago_is_over_and_two_days_later_it_was_not(months: int, days: int, now: datetime) -> None:
    period = Period(months, days)
    begun = period.ago(now)
    assert period.after(begun) <= now
    assert period.after(begun + timedelta(days=5)) > now


# --- the clock --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "now", "monotonic_s", "says"),
    [
        (None, NOW, 5.0, ""),
        (Look(NOW, 0.0), NOW + DAY, 86400.0, ""),
        (Look(NOW, 0.0), NOW + AHEAD, 0.0, ""),
        (Look(NOW, 0.0), NOW + AHEAD + timedelta(seconds=1), 0.0, "ahead"),
        (Look(NOW, 0.0), NOW + 30 * DAY, 86400.0, "ahead"),
        (Look(NOW, 0.0), NOW - BACK, 900.0, ""),
        (Look(NOW, 0.0), NOW - BACK - timedelta(seconds=1), 900.0, "back"),
        (Look(NOW), NOW - DAY, 5.0, "back"),
        (Look(NOW), NOW + AWAY, 5.0, ""),
        (Look(NOW), NOW + AWAY + DAY, 5.0, "31 days"),
    ],
)
def test_when_the_clock_is_doubted(last: Look | None, now: datetime, monotonic_s: float, says: str) -> None:
    said = doubt(last, now, monotonic_s)
    assert (said == "") if not says else says in said


@given(moments, st.integers(0, 10**7), st.integers(-(10**9), 10**9), st.booleans())
def test_whoever_sets_the_clock_ahead_of_the_other_one_is_found_out(
    at: datetime, elapsed_s: int, shift_s: int, same_process: bool
) -> None:
    last = Look(at, 0.0 if same_process else None)
    now = at + timedelta(seconds=elapsed_s + shift_s)
    said = doubt(last, now, float(elapsed_s))
    if same_process:
        wrong = shift_s > AHEAD.total_seconds() or elapsed_s + shift_s < -BACK.total_seconds()
        assert bool(said) == wrong
    elif not said:
        assert -BACK <= now - at <= AWAY
