"""From the settings to the plain values that the planner takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import rates
from config.settings import parse
from server.company import outside_habits, rates_of


def test_what_is_configured_reaches_the_planner() -> None:
    settings = parse("""
        [company]
        country = "FR"
        [numbering]
        outside_prefix = "0"
        [limits]
        international = true
        minutes_per_day = 30
        money_per_day_cents = 0
        [emergency]
        trunks = ["main"]
        callback_min = 5
        location = { default = "<https://example.org/site.xml>" }
    """)
    habits = outside_habits(settings, rates.load())
    assert (habits.site.country, habits.site.outside_prefix) == ("FR", "0")
    assert habits.defaults.international and not habits.defaults.premium
    assert (habits.defaults.minutes_per_day, habits.defaults.cents_per_day) == (30, None)  # zero is no limit
    assert (habits.emergency_trunks, habits.callback_min, habits.drill) == (("main",), 5, False)
    assert habits.emergency_location == {"default": "<https://example.org/site.xml>"}
    assert outside_habits(parse('[numbering]\ncountry = "DE"\n'), rates.load()).site.country == "DE"


@pytest.mark.promise("P12")
def test_a_mistake_in_the_prices_keeps_no_telephone_silent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = tmp_path / "rates.toml"
    own.write_text("version = ")
    assert rates_of(own).examples and "rates.toml" in caplog.text
