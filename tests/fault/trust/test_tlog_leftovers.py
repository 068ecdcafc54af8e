"""What a commit left that was cut short is removed by the next one, or the one after, wherever that is stopped."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.fault.trust import injection
from tests.fault.trust.injection import KILLED
from tests.fault.trust.kills import leftovers

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")

TILES = 30  # of entries, in the commit that was cut short


@pytest.fixture
def cut_short(tmp_path: Path) -> Path:
    """A log of three entries, as a power cut leaves it just before the checkpoint of many more is written."""
    folder = injection.make_template(tmp_path / "log", [b"a", b"b", b"c"])
    before = shutil.copytree(folder / "log", tmp_path / "before")
    injection.open_log(folder).append([b"%d" % index for index in range(256 * TILES)])
    shutil.copytree(before, folder / "log", dirs_exist_ok=True)
    assert injection.state(folder)[0] == 3
    assert leftovers(injection.open_log(folder)) > 2 * TILES
    return folder


@pytest.mark.parametrize("number", [1, 2, 20, 40, 60])
def test_a_clean_up_that_is_killed_hides_nothing_from_the_next(cut_short: Path, number: int) -> None:
    ended, _ = injection.traced_append(cut_short, [b"d"], f"inject=unlink:signal=KILL:when={number}")
    assert ended == KILLED
    log = injection.open_log(cut_short)
    assert log.append([b"d"]) == range(3, 4)
    assert leftovers(log) == 0
    assert injection.state(cut_short)[0] == 4


def test_a_log_of_another_history_grows_past_the_leftovers(cut_short: Path) -> None:
    log = injection.open_log(cut_short)
    log.append([b"other %d" % index for index in range(256 * TILES)])
    assert injection.state(cut_short)[0] == 3 + 256 * TILES
