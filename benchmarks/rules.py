"""Row rules against Great Expectations: the same rules on the same rows, in one run.

    python benchmarks/rules.py [--json] [--small]

1,000,000 readings of 500 devices in 10,000 records, and eleven rules: names of device and firmware, known measure,
unit of each measure, time, range of each measure, quality. Great Expectations gets a virtual environment of its own,
made here, and a pandas frame; ours gets Arrow columns. Both are in memory already. Ours gives every row its first
reason, and judges not-a-number, repeated records and stuck sensors besides. Timed are CPU seconds of all threads, the
median of three runs after one that is not counted. Broken rows are planted, and both must find the same rules broken
before any figure is printed.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from appliance.ingestion.declarations import Measure, Measures
from appliance.ingestion.rules import CODES, Columns, Rulebook, classify
from benchmarks import outcome

PEER = ["great_expectations==1.24.0", "pyarrow"]
GOAL, SMALL_GOAL = 20.0, 12.0
ROWS, SMALL_ROWS, READINGS = 1_000_000, 200_000, 100
MEASURES: Mapping[str, Measure] = {
    "load": Measure(unit="pu", min=0.0, max=3.0, interval="15min"),
    "ambient": Measure(unit="degC", min=-50.0, max=60.0, interval="15min"),
    "top_oil": Measure(unit="degC", min=-40.0, max=180.0, interval="15min"),
}
ARRIVED_US = 1_780_000_000_000_000
PLANTED = {"DEVICE": 3, "MEASURE": 5, "UNIT": 7, "EVENT_TIME": 11, "RANGE": 13, "QUALITY": 17}  # code -> rows

THEIRS = """
import json, logging, os, statistics, sys, time, warnings
warnings.filterwarnings("ignore")
logging.disable(50)
os.environ.update(GX_ANALYTICS_ENABLED="false", TQDM_DISABLE="1")
import great_expectations as gx
import great_expectations.expectations as e
import pandas as pd
frame = pd.read_parquet(sys.argv[1])
measures = json.loads(sys.argv[2])
context = gx.get_context(mode="ephemeral")
context.variables.progress_bars = {"globally": False}
source = context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")
suite = context.suites.add(gx.ExpectationSuite(name="s"))
name = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$"
rules = [
    ("DEVICE", e.ExpectColumnValuesToMatchRegex(column="device_id", regex=name)),
    ("DEVICE", e.ExpectColumnValuesToMatchRegex(column="firmware", regex=name)),
    ("MEASURE", e.ExpectColumnValuesToBeInSet(column="measure", value_set=list(measures))),
    ("EVENT_TIME", e.ExpectColumnValuesToBeBetween(column="event_time", min_value=946684800000000,
                                                   max_value=int(sys.argv[3]) + 3600000000)),
    ("QUALITY", e.ExpectColumnValuesToBeInSet(column="quality", value_set=["good", "estimated"])),
]
for measure, (unit, low, high) in measures.items():
    only = dict(row_condition=f'measure == "{measure}"', condition_parser="pandas")
    rules.append(("UNIT", e.ExpectColumnValuesToBeInSet(column="unit", value_set=[unit], **only)))
    rules.append(("RANGE", e.ExpectColumnValuesToBeBetween(column="value", min_value=low, max_value=high, **only)))
for code, rule in rules:
    rule.meta = {"code": code}
    suite.add_expectation(rule)
validation = context.validation_definitions.add(gx.ValidationDefinition(name="v", data=source, suite=suite))
times = []
for _ in range(4):
    started = time.process_time()
    found = validation.run(batch_parameters={"dataframe": frame})
    times.append(time.process_time() - started)
broken = {}
for each in found.results:
    assert each.exception_info.get("raised_exception") is not True, each.exception_info
    code = each.expectation_config.meta["code"]
    broken[code] = broken.get(code, 0) + each.result["unexpected_count"]
print(json.dumps({"seconds": statistics.median(times[1:]), "rules": len(rules), "broken": broken}))
"""


def main() -> int:
    options = outcome.arguments(__doc__, small="fewer rows").parse_args()
    rows = SMALL_ROWS if options.small else ROWS
    readings = make_readings(rows)
    ours, ours_broken = run_ours(readings)
    theirs, theirs_broken = run_theirs(readings)
    assert ours_broken == theirs_broken == PLANTED, (ours_broken, theirs_broken)
    return outcome.answer(
        "rules",
        peer=rows / theirs / 1e6,
        ours=rows / ours / 1e6,
        unit="M rows per CPU s",
        ratio=theirs / ours,
        goal=SMALL_GOAL if options.small else GOAL,
        table=[
            f"{rows:,} rows, equal findings",
            f"Great Expectations  {theirs:8.3f} CPU s  {rows / theirs / 1e6:6.2f} M rows/s",
            f"row rules           {ours:8.3f} CPU s  {rows / ours / 1e6:6.2f} M rows/s",
        ],
        as_json=options.json,
    )


def make_readings(rows: int) -> pa.Table:
    """Good readings, but for the planted ones, which break one rule each."""
    chance = np.random.default_rng(7)
    number = chance.integers(0, 3, rows)
    drawn = [chance.random(rows), chance.normal(15, 4, rows), chance.normal(60, 5, rows)]
    columns: dict[str, np.ndarray] = {
        "device_id": np.char.add("tx-", np.repeat(chance.integers(0, 500, rows // READINGS), READINGS).astype(str)),
        "firmware": np.full(rows, "4.1.0"),
        "measure": np.array(list(MEASURES))[number],
        "unit": np.array([each.unit for each in MEASURES.values()])[number],
        "quality": np.where(chance.random(rows) < 0.02, "estimated", "good"),
        "event_time": ARRIVED_US - 86_400_000_000 + np.arange(rows) * 1_000,
        "value": np.choose(number, drawn),
    }
    columns = {name: each.astype(object) if each.dtype.kind == "U" else each for name, each in columns.items()}
    bad = {
        "DEVICE": ("device_id", "-tx"),
        "MEASURE": ("measure", "humidity"),
        "UNIT": ("unit", "K"),
        "EVENT_TIME": ("event_time", 5),
        "RANGE": ("value", 900.0),
        "QUALITY": ("quality", "guessed"),
    }
    places = iter(chance.permutation(rows)[: sum(PLANTED.values())])
    for code, count in PLANTED.items():
        column, value = bad[code]
        for _ in range(count):
            columns[column][next(places)] = value
    return pa.table(columns)


def run_ours(readings: pa.Table) -> tuple[float, dict[str, int]]:
    """Median CPU seconds, and rows by reason code."""
    rulebook = Rulebook.of(Measures(measure=dict(MEASURES)))
    texts = ("device_id", "firmware", "measure", "unit", "quality")
    decoded = readings
    for name in texts:  # as the decoder gives them
        decoded = decoded.set_column(decoded.schema.get_field_index(name), name, decoded[name].dictionary_encode())
    rows = readings.num_rows
    records = np.repeat(np.arange(rows // READINGS), READINGS)
    times = []
    for _ in range(4):
        started = time.process_time()
        codes = classify(
            Columns.of(decoded),
            rulebook,
            record_ids=records,
            arrived_us=np.full(rows, ARRIVED_US),
            repeated=np.zeros(rows, np.bool_),
        )
        times.append(time.process_time() - started)
    counts = np.bincount(codes, minlength=len(CODES))
    return statistics.median(times[1:]), {code: int(n) for code, n in zip(CODES, counts, strict=True) if code and n}


def run_theirs(readings: pa.Table) -> tuple[float, dict[str, int]]:
    """Median CPU seconds, and rows by reason code, in an environment of its own."""
    with tempfile.TemporaryDirectory(prefix="rules-") as name:
        folder = Path(name)
        pq.write_table(readings, folder / "readings.parquet")
        venv.create(folder / "peer", with_pip=True)
        python = folder / "peer" / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEER], check=True)
        limits = json.dumps({name: (each.unit, each.min, each.max) for name, each in MEASURES.items()})
        done = subprocess.run(
            [python, "-c", THEIRS, folder / "readings.parquet", limits, str(ARRIVED_US)],
            capture_output=True,
            text=True,
        )
    if done.returncode != 0:
        sys.exit(f"Great Expectations failed:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return float(found["seconds"]), {code: count for code, count in found["broken"].items() if count}


if __name__ == "__main__":
    raise SystemExit(main())
