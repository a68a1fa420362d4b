from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.periods import Period
from config.words import number, period

periods = st.builds(Period, st.integers(0, 400), st.integers(0, 4000), st.integers(0, 400_000))


@given(periods)
def test_a_period_is_written_as_it_is_read(value: Period) -> None:
    assert Period.parse(str(value)) == value


@pytest.mark.parametrize("text", ["", "P", "PT", "6M", "P6", "P1.5D", "-P1D", "P1M2Y", "P1DT", "p1d", "P6M "])
def test_what_is_no_period(text: str) -> None:
    with pytest.raises(ValueError, match="ISO 8601"):
        Period.parse(text)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("P6M", (2026, 8, 31), (2027, 2, 28)),
        ("P1M", (2028, 1, 31), (2028, 2, 29)),
        ("P1Y", (2028, 2, 29), (2029, 2, 28)),
        ("P30D", (2026, 12, 15), (2027, 1, 14)),
        ("P2W", (2026, 11, 21), (2026, 12, 5)),
    ],
)
def test_periods_follow_the_calendar(text: str, start: tuple[int, int, int], end: tuple[int, int, int]) -> None:
    assert Period.parse(text).after(datetime(*start, 12, tzinfo=UTC)) == datetime(*end, 12, tzinfo=UTC)


def test_a_doubtful_comparison_counts_as_shorter() -> None:
    assert not Period.parse("P1M").at_least_as_long_as(Period.parse("P30D"))
    assert not Period.parse("P30D").at_least_as_long_as(Period.parse("P1M"))
    assert Period.parse("P2M").at_least_as_long_as(Period.parse("P31D"))


@pytest.mark.parametrize(
    ("value", "fr", "en"),
    [
        (0, "zéro", "zero"), (1, "un", "one"), (16, "seize", "sixteen"), (21, "vingt et un", "twenty-one"),
        (71, "soixante et onze", "seventy-one"), (77, "soixante-dix-sept", "seventy-seven"),
        (80, "quatre-vingts", "eighty"), (81, "quatre-vingt-un", "eighty-one"),
        (91, "quatre-vingt-onze", "ninety-one"), (99, "quatre-vingt-dix-neuf", "ninety-nine"),
        (100, "cent", "one hundred"), (200, "deux cents", "two hundred"),
        (215, "deux cent quinze", "two hundred and fifteen"),
        (1000, "1000", "1000"),
    ],
)  # fmt: skip
def test_numbers_in_words(value: int, fr: str, en: str) -> None:
    assert (number(value, "fr"), number(value, "en")) == (fr, en)


@pytest.mark.parametrize(
    ("text", "fr", "en"),
    [
        ("P6M", "six mois", "six months"),
        ("P1M", "un mois", "one month"),
        ("P1Y6M", "un an et six mois", "one year and six months"),
        ("P18M", "un an et six mois", "one year and six months"),
        ("P30D", "trente jours", "thirty days"),
        ("PT21H", "vingt et une heures", "twenty-one hours"),
        ("P5Y", "cinq ans", "five years"),
        ("P1Y1M1D", "un an, un mois et un jour", "one year, one month and one day"),
        ("P0D", "zéro jour", "zero days"),
    ],
)
def test_periods_in_words(text: str, fr: str, en: str) -> None:
    assert (period(Period.parse(text), "fr"), period(Period.parse(text), "en")) == (fr, en)
