"""Ingest, end to end on one core: Avro batches -> judged -> Parquet -> Iceberg commit.

Peer: the per-record loop that one writes by hand: fastavro, an if per rule on each reading as a dictionary, a table
from the list of dictionaries, pyiceberg's append. Ours: the sink, with raw bytes kept, lineage documents, quarantine,
and the check for duplicates that the peer does not even have. Same files, one run, CPU time of the process; the peer
gets a tenth of the files, because it is slow, and its figure is per reading. With --checks ours judges three checks of
a contract besides, which the peer does not.

usage: python benchmarks/ingest.py [--small] [--checks] [--json]
"""

import argparse
import datetime as dt
import io
import json
import math
import os
import tempfile
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import fastavro
import numpy as np
import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog

from appliance.base.clock import UTC, FixedClock, SystemClock, to_us
from appliance.config.model import IngestSection
from appliance.governance.lineage import Lineage
from appliance.ingestion import encode, rows
from appliance.ingestion.commit import Landing
from appliance.ingestion.sink import Sink
from appliance.observability.alerts import Alerts
from appliance.storage.files import SiteFiles
from appliance.storage.objects import FolderStore
from appliance.storage.tables import Lake
from appliance.trust.data_keys import DataKeys
from appliance.trust.data_keys_wrap import open_wrapping
from appliance.trust.keys import FileKeys

GOAL, SMALL_GOAL = 6.0, 3.6
ROUNDS = 3
NOW = dt.datetime(2026, 3, 1, tzinfo=UTC)
FIRST_US = to_us(dt.datetime(2025, 1, 1, tzinfo=UTC))
DAY_US = 86_400_000_000
PER_RECORD = 96  # readings: four measures, every quarter of an hour of six hours
DEVICES = 200
MEASURES = {
    "oil_temperature": ("Cel", -40.0, 150.0),
    "load": ("kW", 0.0, 1000.0),
    "ambient": ("Cel", -40.0, 60.0),
    "voltage": ("V", 100.0, 300.0),
}

CONTRACT = """
table: silver.readings
version: 1
owner: benchmark
checks:
  - {id: oil, kind: range, in_sink: true, where: {measure: oil_temperature}, column: value, minimum: -40, maximum: 180}
  - {id: firmwares, kind: codes, in_sink: true, column: firmware, allowed: [4.0.0, 4.1.0]}
  - {id: known, kind: refers, in_sink: true, columns: [device_id], table: reference.devices, to: [device_id]}
"""


class ListLog(list):
    def append(self, entries):
        self.extend(entries)


def file_of(number, records_per_file, rng):
    """One file: records of all devices in turn; one reading in eighty is out of range."""
    ordinal = np.arange(records_per_file) + number * records_per_file
    device, slot = ordinal % DEVICES, ordinal // DEVICES
    start = FIRST_US + slot * (DAY_US // 4)
    n = records_per_file * PER_RECORD
    steps = np.repeat(np.arange(PER_RECORD // 4), 4) * 900_000_000
    measure = np.tile(np.arange(4, dtype=np.int32), n // 4)
    value = np.round(rng.normal(40.0, 3.0, n), 2)
    value[measure == 3] += 160.0
    value[::80] = 9_999.0
    units = [unit for unit, _, _ in MEASURES.values()]
    return encode.Batches(
        device_id=pa.array([f"tx-{each:04d}" for each in device.tolist()]),
        firmware=pa.array(["4.1.0"] * records_per_file),
        sequence=slot,
        produced_at=start + DAY_US // 4,
        trace_id=pa.array([f"{each:032x}" for each in ordinal.tolist()]),
        offsets=np.arange(records_per_file + 1) * PER_RECORD,
        event_time=(start[:, None] + steps[None, :]).reshape(-1),
        measure=pa.DictionaryArray.from_arrays(pa.array(measure), pa.array(list(MEASURES))),
        value=value,
        quality=pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array(["good"])),
        unit=pa.DictionaryArray.from_arrays(pa.array(measure), pa.array(units)),
    )


def judge(batch, position, record, good, bad):
    """The loop by hand: each reading as a dictionary, an if per rule."""
    for index, reading in enumerate(batch["readings"]):
        row = {
            "device_id": batch["device_id"], "measure": reading["measure"],
            "event_time": reading["event_time"], "arrived_at": to_us(NOW), "value": reading["value"],
            "unit": reading["unit"], "quality": reading["quality"], "firmware": batch["firmware"],
            "sequence": batch["sequence"], "source": "peer", "position": position, "record": record,
            "index": index,
        }  # fmt: skip
        declared = MEASURES.get(row["measure"])
        accepted = (
            declared is not None
            and row["unit"] == declared[0]
            and 946_684_800_000_000 <= row["event_time"] <= row["arrived_at"] + 3_600_000_000
            and math.isfinite(row["value"])
            and declared[1] <= row["value"] <= declared[2]
            and row["quality"] in ("good", "estimated")
        )
        (good if accepted else bad).append(row)


def declare(folder):
    """The measures as the product has them declared."""
    (folder / "declarations").mkdir()
    (folder / "declarations" / "measures.toml").write_text(
        "".join(
            f'[measure.{name}]\nunit = "{unit}"\nmin = {low}\nmax = {high}\ninterval = "15min"\n'
            for name, (unit, low, high) in MEASURES.items()
        )
    )


def declare_checks(folder, lake):
    """Three checks in the sink, all of which hold, and the devices that one of them refers to."""
    (folder / "declarations" / "contracts").mkdir()
    (folder / "declarations" / "contracts" / "readings.yaml").write_text(CONTRACT)
    known = pa.table({"device_id": [f"tx-{number:04d}" for number in range(DEVICES)]})
    lake.ensure("reference.devices", known.schema)
    head = lake.head("reference.devices")
    lake.append("reference.devices", known, expected=head, properties={}, inputs=[], facts={})


def landing_in(folder):
    """Tables, objects and documents in a folder."""
    lineage = Lineage(folder / "lineage", ListLog())
    return Landing(
        lake=Lake(folder / "lake", SiteFiles(folder), lineage),
        objects=FolderStore(folder / "objects", folder),
        lineage=lineage,
        alerts=Alerts(folder / "alerts"),
        data_keys=DataKeys(folder / "keys", lambda: open_wrapping(FileKeys(folder / "keys")), SystemClock()),
        settings=IngestSection(),
    )


def tables_of_peer(folder):
    """The peer's tables of good and of bad rows."""
    catalog = SqlCatalog("peer", uri=f"sqlite:///{folder}/peer.db", warehouse=f"file://{folder}/peer")
    catalog.create_namespace("n")
    return [catalog.create_table(f"n.{name}", schema=rows.SILVER) for name in ("good", "bad")]


def peer(files, folder):
    """Seconds of CPU per reading of the loop by hand."""
    good_table, bad_table = tables_of_peer(folder)
    began = time.process_time()
    count = 0
    for position, data in enumerate(files):
        good, bad = [], []
        for record, batch in enumerate(fastavro.reader(io.BytesIO(data))):
            judge(batch, position, record, good, bad)
        count += len(good) + len(bad)
        good_table.append(pa.Table.from_pylist(good, rows.SILVER))
        if bad:
            bad_table.append(pa.Table.from_pylist(bad, rows.SILVER))
    return (time.process_time() - began) / count


def ours(files, folder, *, checks=False):
    """Seconds of CPU per reading of the sink."""
    declare(folder)
    landing = landing_in(folder)
    if checks:
        declare_checks(folder, landing.lake)
    sink = Sink(
        spool_folder=folder / "spool",
        declarations_folder=folder / "declarations",
        landing=landing,
        clock=FixedClock(NOW),
    )
    for number, data in enumerate(files):
        (sink.spool.incoming / f"batch-{number:06d}.avro").write_bytes(data)
    began = time.process_time()
    report = sink.run()
    spent = time.process_time() - began
    assert report.accepted + sum(report.refused.values()) == report.readings
    assert abs(report.refused["RANGE"] / report.readings - 1 / 80) < 1e-3, report.refused
    return spent / report.readings


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--small", action="store_true", help="one fifth of the readings, for CI")
    parser.add_argument("--checks", action="store_true", help="three checks of a contract in the sink")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    readings, goal = (600_000, SMALL_GOAL) if options.small else (3_000_000, GOAL)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    rng = np.random.default_rng(20260301)
    records_per_file = 400
    count = max(10, readings // (records_per_file * PER_RECORD))
    files = [encode.encode_batches(file_of(number, records_per_file, rng)) for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        ours(
            files[:1], Path(folder), checks=options.checks
        )  # compile once; a second start takes the compiled code from its cache
    best = {"peer": math.inf, "ours": math.inf}
    for _ in range(ROUNDS):  # in turn, and the best of each: other work on the machine hits both alike
        for name, measure, given in (
            ("peer", peer, files[: max(1, count // 10)]),
            ("ours", partial(ours, checks=options.checks), files),
        ):
            with tempfile.TemporaryDirectory() as folder:
                best[name] = min(best[name], measure(given, Path(folder)))
    of_peer, of_ours = 1 / best["peer"] / 1e6, 1 / best["ours"] / 1e6
    ratio = of_ours / of_peer
    found = {
        "name": "ingest",
        "peer": round(of_peer, 4),
        "ours": round(of_ours, 4),
        "unit": "million readings per CPU second",
        "ratio": round(ratio, 1),
        "goal": goal,
        "holds": ratio >= goal,
    }
    if options.json:
        print(json.dumps(found))
        return 0 if found["holds"] else 1
    print(f"{'':28}{'M readings / CPU s':>20}")
    print(f"{'per-record loop':28}{of_peer:>20.3f}")
    print(f"{'the sink':28}{of_ours:>20.3f}")
    print(f"{'ratio (goal ' + format(goal, 'g') + ')':28}{ratio:>20.1f}  {'holds' if found['holds'] else 'MISSED'}")
    return 0 if found["holds"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
