"""The runtime contract, reason by reason."""

from __future__ import annotations

import math

import pytest

from appliance.features.contract import REASONS, STATES, Contract, judge_supplied

CONTRACT = Contract(
    name="top_oil",
    type="double",
    unit="degC",
    low=-40.0,
    high=180.0,
    max_age_s=3600.0,
    default=50.0,
    policies=(1, 2, 3, 3, 2, 1),  # null default, nan abstain, type reject, unit reject, range abstain, age default
)


@pytest.mark.parametrize(
    ("supplied", "reason", "state", "value"),
    [
        ({"top_oil": 61.5}, "ok", "ok", 61.5),
        ({"top_oil": {"value": 61.5, "unit": "degC", "age_s": 60}}, "ok", "ok", 61.5),
        ({"top_oil": -40.0}, "ok", "ok", -40.0),
        ({}, "null", "default", 50.0),
        ({"top_oil": None}, "null", "default", 50.0),
        ({"top_oil": math.nan}, "nan", "abstain", None),
        ({"top_oil": math.inf}, "nan", "abstain", None),
        ({"top_oil": 10**400}, "nan", "abstain", None),
        ({"top_oil": "61.5"}, "type", "reject", None),
        ({"top_oil": True}, "type", "reject", None),
        ({"top_oil": [61.5]}, "type", "reject", None),
        ({"top_oil": {"value": 142.0, "unit": "degF"}}, "unit", "reject", None),
        ({"top_oil": 180.1}, "range", "abstain", None),
        ({"top_oil": {"value": 61.5, "age_s": 3601}}, "age", "default", 50.0),
    ],
)
def test_each_fault_has_its_reason_and_its_policy(supplied, reason, state, value):
    judged = judge_supplied([CONTRACT], supplied)
    assert REASONS[judged.reasons[0, 0]] == reason
    assert STATES[judged.states[0, 0]] == state
    assert STATES[judged.outcomes[0]] == state
    got = judged.values[0, 0]
    assert math.isnan(got) if value is None else got == value


def test_a_whole_number_contract_refuses_fractions():
    whole = Contract.from_json({**CONTRACT.as_json(), "type": "int"})
    assert REASONS[judge_supplied([whole], {"top_oil": 3.5}).reasons[0, 0]] == "type"
    assert REASONS[judge_supplied([whole], {"top_oil": 3.0}).reasons[0, 0]] == "ok"


def test_the_worst_feature_decides_the_row():
    other = Contract.from_json({**CONTRACT.as_json(), "name": "load"})
    judged = judge_supplied([CONTRACT, other], {"top_oil": 61.5, "load": "high"})
    assert [STATES[state] for state in judged.states[0]] == ["ok", "reject"]
    assert STATES[judged.outcomes[0]] == "reject"


def test_json_round_trip():
    assert Contract.from_json(CONTRACT.as_json()) == CONTRACT
