"""Segments through a topic: "whole and in order, each at least once" comes out as each exactly once, in order."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.serving.prediction_records import Intake, records_of
from tests.portal_site import prediction
from tests.prediction_site import Partition

LENGTHS = st.lists(st.integers(0, 4), min_size=1, max_size=8)
RUNS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=6)  # of writers: first and last segment


def lines_of(number, length):
    found = [prediction(100 * number + line, "") for line in range(length)]
    return [(msgspec.json.encode(each), each) for each in found]


@settings(max_examples=300, deadline=None)
@given(LENGTHS, RUNS, st.integers(0, 8))
def test_repeats_are_dropped_and_the_rest_comes_once_and_in_order(lengths, runs, taken):
    """Writers begin anywhere at or before what is missing, stop anywhere, and a table that has the first ones reads."""
    partition, sent, taken = Partition(), 0, min(taken, len(lengths))
    for start, end in [*runs, (len(lengths), len(lengths))]:
        for number in range(min(start, sent) + 1, min(end, len(lengths)) + 1):
            partition.send(records_of(number, lines_of(number, lengths[number - 1])))
            sent = max(sent, number)
    intake = Intake("kafka:predictions:0", taken)
    found = [segment for records in partition.read(0) for each in records if (segment := intake.add(each))]
    assert intake.whole
    assert [each.number for each in found] == list(range(taken + 1, len(lengths) + 1))
    for each in found:
        expected = lines_of(each.number, lengths[each.number - 1])
        assert [record.value for record in each.records] == [line for line, _ in expected]
        assert list(each.predictions) == [said for _, said in expected]
