"""The grammar of feature expressions."""

from __future__ import annotations

import pytest

from appliance.base.errors import ApplianceError
from appliance.features.expression import FUNCTIONS, MAX_CHARACTERS, Term, parse_expression

HOUR_US = 3_600_000_000


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_is_read(function):
    parsed = parse_expression(f"{function}(load, 24h)")
    assert parsed.terms == (Term(function=function, measure="load", span_us=24 * HOUR_US),)
    assert parsed.program == (0,)


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("last(a) - last(b)", (0, 1, "-")),
        ("last(a) - last(b) * 2", (0, 1, 2.0, "*", "-")),
        ("(last(a) - last(b)) * 2", (0, 1, "-", 2.0, "*")),
        ("-last(a) / 0.5", (0, "neg", 0.5, "/")),
        ("last(a) + last(a)", (0, 0, "+")),
        ("last(a) - 1 - 2", (0, 1.0, "-", 2.0, "-")),
        ("1e3 * last(s.a)", (1000.0, 0, "*")),
    ],
)
def test_arithmetic_becomes_postfix(text, program):
    assert parse_expression(text).program == program


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a number, an aggregate or a bracket, got the end"),
        ("mean(load)", "mean(load) needs a window"),
        ("mean(load, 24)", "expected a duration such as 24h in mean(), got '24'"),
        ("median(load, 24h)", "expected one of count, sum"),
        ("mean(load, 24h", "expected ')', got 'the end'"),
        ("mean(load, 24h))", "expected the end, got ')'"),
        ("1 + 2", "a constant is not a feature"),
        ("mean(load, 24h) ** 2", "got '*'"),
        ("last(load); import os", "cannot read"),
        ("(" * 21 + "last(load)" + ")" * 21, "nested deeper"),
        ("last(a)" + " " * MAX_CHARACTERS + "+ 1", "characters, at most"),
        ("load", "expected one of"),
    ],
)
def test_what_the_grammar_does_not_know_is_refused(text, message):
    with pytest.raises(ApplianceError) as caught:
        parse_expression(text)
    assert caught.value.code.id == "APL-FEATURES-003"
    assert message in caught.value.message
