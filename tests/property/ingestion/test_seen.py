"""The compiled set against Python's own, growing through its sizes, with keys that collide on purpose."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.ingestion.seen import KeySet

NUMBER = st.integers(0, 3) | st.integers(0, 2**63 - 1)
KEY = st.tuples(NUMBER, NUMBER | st.integers(-(2**63), -1))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.tuples(KEY, st.booleans()), max_size=60), max_size=5))
def test_answers_like_a_set(batches):
    ours, known = KeySet(2), set()
    for batch in batches:
        keys = np.array([key for key, _ in batch], np.int64).reshape(-1, 2)
        wanted = np.array([flag for _, flag in batch], np.bool_)
        expected = []
        for key, flag in batch:
            expected.append(flag and key in known)
            if flag:
                known.add(key)
        assert ours.add(keys, wanted).tolist() == expected
        assert ours.size == len(known)


def test_grows_past_its_first_size_and_forgets_nothing():
    numbers = np.arange(100_000, dtype=np.int64)
    keys = np.stack([numbers % 7, numbers * 900_000_000], axis=1)
    ours = KeySet(2)
    for part in np.array_split(keys, 9):
        assert not ours.add(part).any()
    assert ours.add(keys).all()
    assert ours.size == 100_000
