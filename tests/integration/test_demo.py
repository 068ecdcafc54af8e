"""The guided run: what was planted is what was found, and its own numbers add up."""

import pytest

pytestmark = pytest.mark.integration


def test_every_planted_fault_is_found(demo):
    planted, found = demo.printed["faults_planted"], demo.printed["faults_found"]
    assert found == planted
    assert all(count > 0 for count in planted.values()), "a fault that is not planted proves nothing"


def test_no_reading_is_lost(demo):
    printed = demo.printed
    assert printed["ledger_imbalance"] == 0
    assert printed["readings_in"] == printed["readings_lake"] + printed["readings_quarantined"]
    assert printed["reparsed"] == printed["faults_planted"]["milliseconds"]


def test_a_model_went_live_and_its_prediction_is_verified(demo):
    (model,) = demo.printed["models"]
    assert model["stage"] == "live"
    assert 0.5 < float(model["value"]) <= 1
    assert demo.printed["verified"]


def test_nothing_is_left_running(demo):
    assert demo.product.do("serve", "status")["processes"] == []
