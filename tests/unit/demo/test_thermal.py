"""The thermal model against values worked out by hand from IEEE C57.91-2011."""

import numpy as np
import pytest

from appliance.demo.fleet.thermal import Ratings, State, ageing_acceleration, draw_ratings, step, ultimate


def ratings():
    one = np.ones(1)
    return Ratings(
        top_oil_rise_k=45.0 * one,
        hot_spot_rise_k=24.0 * one,
        loss_ratio=4.9 * one,
        oil_exponent=0.8 * one,
        winding_exponent=0.8 * one,
        oil_time_constant_h=3.0 * one,
        winding_time_constant_h=7.0 / 60.0 * one,
    )


def test_rated_load_ends_at_the_rated_rises():
    end = ultimate(ratings(), np.ones(1), np.ones(1))
    assert end.top_oil_rise_k == pytest.approx(45.0)
    assert end.hot_spot_rise_k == pytest.approx(24.0)


def test_overload_rises_by_the_exponents():
    """K = 1.5: 45 ((1.5^2 4.9 + 1) / 5.9)^0.8 = 80.5 K and 24 1.5^1.6 = 45.9 K."""
    end = ultimate(ratings(), np.full(1, 1.5), np.ones(1))
    assert end.top_oil_rise_k == pytest.approx(45.0 * ((2.25 * 4.9 + 1) / 5.9) ** 0.8)
    assert end.hot_spot_rise_k == pytest.approx(45.9, abs=0.1)


def test_after_one_time_constant_63_percent_of_the_way_is_done():
    state = step(ratings(), State(top_oil_rise_k=np.zeros(1), hot_spot_rise_k=np.zeros(1)), np.ones(1), np.ones(1), 3.0)
    assert state.top_oil_rise_k == pytest.approx(45.0 * (1 - np.exp(-1)))


def test_small_steps_and_one_large_step_agree():
    start = State(top_oil_rise_k=np.full(1, 10.0), hot_spot_rise_k=np.full(1, 5.0))
    small = start
    for _ in range(24):
        small = step(ratings(), small, np.full(1, 1.2), np.ones(1), 0.25)
    large = step(ratings(), start, np.full(1, 1.2), np.ones(1), 6.0)
    assert small.top_oil_rise_k == pytest.approx(large.top_oil_rise_k)


@pytest.mark.parametrize(("celsius", "factor"), [(110.0, 1.0), (117.0, 2.0), (98.0, 0.28)])
def test_ageing_doubles_every_seven_kelvin_or_so(celsius, factor):
    assert ageing_acceleration(np.array([celsius]))[0] == pytest.approx(factor, rel=0.03)


def test_drawn_ratings_are_plausible():
    drawn = draw_ratings(1000, np.random.default_rng(1))
    assert ((drawn.top_oil_rise_k > 30) & (drawn.top_oil_rise_k < 60)).all()
    assert (drawn.oil_time_constant_h > 1).all()
