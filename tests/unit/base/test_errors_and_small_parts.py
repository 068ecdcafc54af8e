"""Error codes, durations, clock text, processes and logs."""

import datetime as dt
import json
import sys

import pytest

from appliance.base import errors, log, process
from appliance.base.clock import from_us, parse_rfc3339, rfc3339, to_us
from appliance.base.duration import duration_us
from appliance.base.errors import ApplianceError


def test_a_code_cannot_be_declared_twice_with_other_words():
    errors.declare("APL-TESTX-001", "a", meaning="m", action="x")
    errors.declare("APL-TESTX-001", "a", meaning="m", action="x")
    with pytest.raises(ValueError, match="declared twice"):
        errors.declare("APL-TESTX-001", "b", meaning="m", action="x")
    del errors._DECLARED["APL-TESTX-001"]


@pytest.mark.parametrize("bad", ["APL-1-001", "apl-BASE-001", "APL-BASE-01", "X-BASE-001"])
def test_a_code_has_one_form(bad):
    with pytest.raises(ValueError, match="APL-<AREA>-<nnn>"):
        errors.declare(bad, "a", meaning="m", action="x")


@pytest.mark.parametrize(
    ("text", "us"), [("1us", 1), ("15min", 900_000_000), ("24h", 86_400_000_000), ("7d", 604_800_000_000)]
)
def test_durations(text, us):
    assert duration_us(text) == us


@pytest.mark.parametrize("bad", ["", "0s", "-1s", "1.5h", "1 h", "h", "1H", "01s", "1w"])
def test_refuses_other_durations(bad):
    with pytest.raises(ApplianceError, match="APL-BASE-004"):
        duration_us(bad)


def test_instants_keep_every_microsecond():
    for us in (0, 1, 1_769_000_000_123_456, -1):
        assert to_us(from_us(us)) == us
    instant = dt.datetime(2026, 1, 5, 18, 0, 0, 5, tzinfo=dt.UTC)
    assert rfc3339(instant) == "2026-01-05T18:00:00.000005Z"
    assert parse_rfc3339(rfc3339(instant)) == instant
    with pytest.raises(ValueError, match="no time zone"):
        parse_rfc3339("2026-01-05T18:00:00")


def test_a_failed_program_tells_its_last_words():
    with pytest.raises(ApplianceError, match=r"ended with 7: last words") as caught:
        process.run([sys.executable, "-c", "import sys; sys.stderr.write('last words'); sys.exit(7)"], timeout_s=20)
    assert caught.value.code.id == "APL-BASE-003"


def test_a_program_that_runs_too_long_is_ended():
    with pytest.raises(ApplianceError, match=r"ran past 0.2 s"):
        process.run([sys.executable, "-c", "import time; time.sleep(30)"], timeout_s=0.2)


def test_a_shown_program_speaks_to_whom_we_speak(capfd):
    words = [sys.executable, "-c", "import sys; sys.stderr.write('half'); print('done')"]
    done = process.run(words, timeout_s=20, shown=True)
    assert (done.stdout, done.stderr, capfd.readouterr().err) == (b"done\n", b"", "half")


def test_children_are_told_not_to_phone_home():
    done = process.run([sys.executable, "-c", "import os; print(os.environ['BENTOML_DO_NOT_TRACK'])"], timeout_s=20)
    assert done.stdout == b"True\n"


def test_stop_ends_a_stubborn_program_and_its_children(tmp_path):
    running = process.start(
        [sys.executable, "-c", "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"],
        log_path=tmp_path / "log",
    )
    assert running.returncode() is None
    assert running.stop(grace_s=0.3) != 0


def test_log_lines_carry_the_trace_id(tmp_path):
    log.configure(path=tmp_path / "x.jsonl")
    import logging

    with log.tracing() as trace_id:
        logging.getLogger("appliance.test").info("hello", extra={"rows": 3})
    line = json.loads((tmp_path / "x.jsonl").read_text())
    assert (line["message"], line["rows"], line["trace_id"]) == ("hello", 3, trace_id)
    log.configure(path=None)
