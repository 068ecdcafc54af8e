"""The guided run: what was planted is what was found, and its own numbers add up."""

import pytest

from tests.product import Product, port_settings

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


def test_a_demo_that_fails_half_way_leaves_its_site_and_no_program(tmp_path):
    """One question is too little traffic for a trial, so it fails after the gateway was started."""
    product = Product(tmp_path / "site")
    words = ("demo", "run", "--devices", 60, "--days", 45, "--seed", 7, "--requests", 1, "--no-ett", *port_settings())
    ended = product.run(*words)
    assert (ended.code, ended.error["code"]) == (1, "APL-DEMO-002")
    assert "APL-PIPE-005" in ended.error["message"]
    assert product.do("serve", "status")["processes"] == []
    assert product.versions() == {1: "approved"}
