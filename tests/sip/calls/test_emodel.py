"""The E-model, against figures that were published."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.calls import emodel


def test_the_scale_of_annex_b() -> None:
    # ITU-T G.107 table B.1: user satisfaction
    for r, expected in ((90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58)):
        assert emodel.mos(r) == pytest.approx(expected, abs=0.01)
    assert (emodel.mos(-5), emodel.mos(120)) == (1.0, 4.5)


def test_what_loss_costs() -> None:
    # Ie,eff of G.711 with concealment: 95 * 10 / 35.1 = 27 at ten percent
    assert emodel.rating(0, 0) - emodel.rating(0.1, 0) == pytest.approx(27.07, abs=0.01)
    assert emodel.mos(emodel.rating(0.0, 20)) > 4.35
    assert 3.2 < emodel.mos(emodel.rating(0.10, 20)) < 3.6


def test_delay_hurts_little_below_177_ms_and_much_above() -> None:
    below = emodel.rating(0, 0) - emodel.rating(0, 177.3)
    assert below == pytest.approx(0.024 * 177.3, abs=0.001)
    assert emodel.rating(0, 177.3) - emodel.rating(0, 277.3) == pytest.approx(2.4 + 11, abs=0.001)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 2000))
def test_more_loss_is_never_better(one: float, other: float, delay_ms: float) -> None:
    less, more = sorted((one, other))
    assert 1.0 <= emodel.mos(emodel.rating(more, delay_ms)) <= emodel.mos(emodel.rating(less, delay_ms)) + 0.01 <= 4.51


def test_one_way_is_half_the_round_trip_a_packet_and_the_buffer() -> None:
    assert emodel.one_way_ms(100, 5) == 80
