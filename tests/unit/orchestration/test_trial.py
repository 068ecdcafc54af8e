"""What lets a candidate pass a shadow or canary, and what stops it."""

import numpy as np
import pytest

from appliance.orchestration.trial import Answer, Limits, judge

LIMITS = Limits(requests=100, max_error_percent=1.0, max_score_shift=0.3)
IDS = [f"r{number}" for number in range(200)]


def answers(ids, scores):
    return [Answer(request_id=id, question=f"q{id}", score=score) for id, score in zip(ids, scores, strict=True)]


def scores(low, high, count=200):
    return list(np.linspace(low, high, count))


SAME = answers(IDS, scores(0, 1))
CASES = {
    "as good as live": (IDS, SAME, SAME, 200, True, True, ""),
    "no live model yet": (IDS, SAME, [], 200, True, True, ""),
    "zero traffic": ([], [], [], 0, False, False, "0 requests sent"),
    "too little traffic": (IDS[:50], SAME[:50], SAME[:50], 50, False, False, "100 are asked for"),
    "the arm never answered": (IDS, [], SAME, 200, False, False, "0 of 200 answered"),
    "failures": (IDS, SAME[:190], SAME, 200, True, False, "5.00 % of requests"),
    "one failure in two hundred is allowed": (IDS, SAME[:199], SAME, 200, True, True, ""),
    "abstains from everything": (IDS, answers(IDS, [None] * 200), [], 200, True, False, "every request"),
    "abstains more": (IDS, answers(IDS, [None] * 20 + scores(0, 1, 180)), SAME, 200, True, False, "in 10.00 %"),
    "other scores": (IDS, answers(IDS, scores(0.6, 1)), SAME, 200, True, False, "scores differ"),
    "abstains where the live model abstains": (
        IDS, answers(IDS, [None] * 20 + scores(0, 1, 180)), answers(IDS, [None] * 20 + scores(0, 1, 180)),
        200, True, True, ""),
    # A canary answers for some devices only; the live model's abstentions elsewhere excuse nothing, and cost nothing.
    "abstains where the live model abstains, in a part": (
        IDS[:40], answers(IDS[:40], [None] * 20 + scores(0, 1, 20)), answers(IDS, [None] * 20 + scores(0, 1, 180)),
        200, True, True, ""),
    "abstains more in its part, while the live model abstains elsewhere": (
        IDS[:40], answers(IDS[:40], [None] * 20 + scores(0, 1, 20)), answers(IDS, scores(0, 1, 100) + [None] * 100),
        200, True, False, "it abstains in 50.00 %, the live model in 0.00 %"),
    "other questions than the live model had": (
        IDS, SAME, [Answer(request_id="x", question="another", score=None)], 200, True, True, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_judgement(name):
    expected, arm, reference, sent, traffic, passed, reason = CASES[name]
    found = judge(expected=expected, arm=arm, reference=reference, sent=sent, limits=LIMITS)
    assert (found.traffic, found.passed) == (traffic, passed)
    assert reason in "; ".join(found.reasons)
