"""Work in chunks: every chunk is answered for, and a silent source is asked once."""

import pytest

from appliance.base.errors import ApplianceError
from appliance.bundle import codes
from appliance.bundle.chunks import run_chunks


def test_every_chunk_has_its_result_or_its_error():
    def work(chunk):
        if 3 in chunk:
            raise ApplianceError(codes.NOT_OFFERED, "three")
        return sum(chunk)

    found = {tuple(chunk): result for chunk, result in run_chunks([[1, 2], [3], [4]], work, at_once=2)}
    assert found[(1, 2)] == 3
    assert found[(4,)] == 4
    assert found[(3,)].code.id == "APL-BUNDLE-003"


@pytest.mark.parametrize("code", [codes.SOURCE_UNREACHABLE, codes.NO_SPACE])
def test_after_a_silence_or_a_full_disk_nothing_more_is_asked(code):
    asked = []

    def work(chunk):
        asked.append(chunk)
        raise ApplianceError(code, "nothing goes any more")

    found = list(run_chunks([[number] for number in range(50)], work, at_once=1))
    assert len(found) == 50
    assert {result.code for _, result in found} == {code}
    assert asked == [[0]]


def test_a_fault_of_ours_is_not_swallowed():
    def work(chunk):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(run_chunks([[1], [2]], work, at_once=1))
