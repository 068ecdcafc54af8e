"""What a source's tables hold is in the lake, row for row, whatever happens to them."""

import time

import pytest

pytestmark = pytest.mark.integration


def until(holds, seconds=60.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.5)


def test_rows_that_are_there_and_every_change_after_them(site, register):
    register.do(
        "INSERT INTO transformers SELECT n, 'T' || n, n * 1.5, '2020-01-01'::date + n, now(), now(), '12:30',"
        " n % 2 = 0, 3, n * 0.5, gen_random_uuid(), '{\"a\": 1}', 'abc', ARRAY[n, null, 2], n * 1.123456789"
        " FROM generate_series(1, 250) n"
    )
    added = site.do("add")
    print(added)
    until(lambda: (site.do("run"), len(site.changes("transformers")) >= 250)[1])
    print(site.changes("transformers")[:2])
    print(register.rows("transformers")[:1])
    print(site.do("status"))
