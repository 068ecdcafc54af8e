"""When a batch is closed and when a run ends, with a clock that only the source and the waiting move."""

import contextlib

import pytest

from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress
from appliance.ingestion.connectors import codes
from appliance.ingestion.connectors.delivery import Delivery, State
from appliance.ingestion.connectors.run import Limits, run
from appliance.ingestion.connectors.source import Fetched


class Scripted:
    """Gives what it is told, one after the other, a second each; afterwards nothing, exhausted."""

    def __init__(self, *script):
        self.script = list(script)
        self.time = 0.0
        self.told = []
        self.given = 0

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds

    @contextlib.contextmanager
    def session(self):
        yield

    def fetch(self, cursor, *, wait_s):
        self.time += 1.0
        found = self.script.pop(0) if self.script else "empty"
        if isinstance(found, ApplianceError):
            raise found
        stalled = found == "stalled"
        rows = found if isinstance(found, int) else 0
        first, self.given = self.given, self.given + rows
        return Fetched(
            rows=[str(number).encode() for number in range(first, self.given)],
            cursor=self.given,
            exhausted=found == "empty",
            stalled=stalled,
        )

    def delivered(self):
        self.told.append(self.given)


LIMITS = Limits(rows=100, bytes=1000, age_s=60.0, stalled_rows=10, poll_s=0.0)


@pytest.fixture
def delivery(tmp_path):
    return Delivery(tmp_path / "state", "x", tmp_path / "incoming")


@pytest.fixture
def go(delivery, tmp_path):
    """Runs a source; gives the report, and how many rows each file has."""

    def of(source, *, seconds=None, limits=LIMITS):
        report = run(
            source, delivery, limits, seconds=seconds, progress=NoProgress(), now=source.now, sleep=source.sleep
        )
        return report, [len(path.read_text().splitlines()) for path in sorted(tmp_path.glob("incoming/*"))]

    return of


POLL = Limits(rows=100, bytes=1000, age_s=60.0, stalled_rows=10, poll_s=20.0)
CASES = [
    ("one file for several looks", (3, 4), None, LIMITS, [7]),
    ("rows", (60, 60, 5), None, LIMITS, [120, 5]),
    ("bytes", (60, 60), None, Limits(rows=1000, bytes=150, age_s=60.0, stalled_rows=10, poll_s=0.0), [120]),
    ("age", (1,) * 70, 75, LIMITS, [61, 9]),
    ("nothing", (), None, LIMITS, []),
    ("stalled", (20, "stalled", 20, "stalled", 5), None, LIMITS, [20, 20, 5]),
    ("stalled with few", (5, "stalled", 5), None, LIMITS, [5, 5]),
    ("stalled for a time", (20, "stalled", 20, "stalled", 5), 10, LIMITS, [20, 20, 5]),
    ("stalled with few for a time", (5, "stalled", 5, "stalled", 5), 10, LIMITS, [10, 5]),
    ("asked again", (5, "empty", 5, "empty", 5), 50, POLL, [5, 5, 5]),
]


@pytest.mark.parametrize(
    ("script", "seconds", "limits", "files"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_when_a_batch_is_closed(go, delivery, script, seconds, limits, files):
    source = Scripted(*script)
    report, found = go(source, seconds=seconds, limits=limits)
    assert found == files
    assert (report.files, report.rows) == (len(files), sum(files))
    assert report.ended == ("empty" if seconds is None else "time")
    assert source.told[-1] == source.given == report.rows
    assert delivery.state().cursor == (source.given if source.given else 0)


def test_what_came_before_an_error_is_delivered(go, delivery):
    source = Scripted(3, ApplianceError(codes.UNREACHABLE, "gone"), 4)
    with pytest.raises(ApplianceError, match="gone"):
        go(source)
    assert delivery.state() == State(cursor=3, files=1, rows=3)
    assert go(source)[1] == [3, 4]


def test_a_run_that_is_paused_ends_after_its_batch(go, delivery):
    source = Scripted(3, 4)
    fetch = source.fetch

    def pausing(cursor, *, wait_s):
        delivery.pause()
        return fetch(cursor, wait_s=wait_s)

    source.fetch = pausing
    report, files = go(source)
    assert (report.ended, files, source.script) == ("paused", [3], [4])
