"""The log on disk against a plain list, over random batches."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.trust import keys, merkle
from appliance.trust.tlog import TransparencyLog

KEY = keys.generate("ed25519")
BATCHES = st.lists(
    st.one_of(st.integers(min_value=0, max_value=5), st.sampled_from([255, 256, 257, 600])), min_size=1, max_size=6
)


@settings(max_examples=25, deadline=None)
@given(batches=BATCHES, data=st.data())
def test_the_log_is_the_list_of_what_was_appended(batches: list[int], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = TransparencyLog(Path(folder), "log.test", KEY)
        log.create()
        expected: list[bytes] = []
        for number, size in enumerate(batches):
            batch = [b"%d.%d" % (number, index) * (index % 3) for index in range(size)]
            assert log.append(batch) == range(len(expected), len(expected) + size)
            expected += batch
        row = [merkle.leaf_hash(entry) for entry in expected]
        again = TransparencyLog(Path(folder), "log.test", KEY)  # nothing but the files
        assert again.size() == len(expected)
        assert list(again.entries()) == expected
        assert again.checkpoint().root == again.root() == merkle.root(row)
        assert again.fsck().ok
        if expected:
            index = data.draw(st.integers(min_value=0, max_value=len(expected) - 1))
            size = data.draw(st.integers(min_value=index + 1, max_value=len(expected)))
            assert again.entry(index) == expected[index]
            assert again.root(size) == merkle.root(row[:size])
            assert merkle.is_included(row[index], index, size, again.inclusion(index, size), merkle.root(row[:size]))
            assert merkle.is_consistent(
                size, len(row), merkle.root(row[:size]), merkle.root(row), again.consistency(size)
            )
        partial = [path.name for path in Path(folder).rglob("*.p/*")]
        tiles = (len(expected), len(expected), len(expected) // 256, len(expected) // 65536)  # entries, levels 0 to 2
        assert sorted(partial) == sorted(str(row % 256) for row in tiles if row % 256)
