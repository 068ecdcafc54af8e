"""Point-in-time join against Feast on DuckDB: the same rows, in one run.

    python benchmarks/asof.py [--json] [--small] [--keep FOLDER]

10,000,000 feature rows (8 float32) of 100,000 entities, 1,000,000 questions. Feast gets a virtual environment of its
own, made here. Both read the same Parquet files; Feast joins on event time, ours on event time and arrival time. Timed
is reading and joining, in CPU seconds of all threads; imports, registration and loading of compiled code are left out
on both sides. The answers are compared value by value before any figure is printed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import outcome

ROOT = Path(__file__).resolve().parent.parent
PEER = ["feast[duckdb]==0.67.0"]
GOAL, SMALL_GOAL = 15.0, 4.0
COLUMNS = [f"f{index}" for index in range(8)]
INSTANT = pa.timestamp("us", "UTC")

OURS = """
import sys, resource, time
import pyarrow as pa, pyarrow.parquet as pq
sys.path.insert(0, sys.argv[3])
from appliance.features.asof import asof_join
from appliance.features.view import Axes
pa.set_cpu_count(2)
folder = sys.argv[1]
axes = Axes(event="ts", known="arrived_at")
def join(spine, rows):
    return asof_join(spine, rows, by="entity", at="event_timestamp", axes=axes)
instant = pa.array([1]).cast(pa.timestamp("us", "UTC"))
one = {"entity": [1], "ts": instant, "arrived_at": instant}
join(pa.table({"entity": [1], "event_timestamp": instant}), pa.table(one))
started = time.process_time()
joined = join(pq.read_table(f"{folder}/spine.parquet"), pq.read_table(f"{folder}/features.parquet"))
print(time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
pq.write_table(joined.select(["row", *[f"f{i}" for i in range(8)]]), sys.argv[2])
"""

THEIRS = """
import sys, resource, time, warnings
warnings.filterwarnings("ignore")
from datetime import timedelta
from pathlib import Path
import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float32
folder = Path(sys.argv[1])
(folder / "repo").mkdir(exist_ok=True)
(folder / "repo" / "feature_store.yaml").write_text(
    f"project: p\\nregistry: {folder}/repo/registry.db\\nprovider: local\\noffline_store:\\n  type: duckdb\\n"
    f"online_store:\\n  type: sqlite\\n  path: {folder}/repo/online.db\\nentity_key_serialization_version: 3\\n"
)
entity = Entity(name="entity", join_keys=["entity"], value_type=ValueType.INT64)
view = FeatureView(
    name="view", entities=[entity], ttl=timedelta(days=365),
    schema=[Field(name=f"f{i}", dtype=Float32) for i in range(8)],
    source=FileSource(path=str(folder / "features.parquet"), timestamp_field="ts"),
)
store = FeatureStore(repo_path=str(folder / "repo"))
store.apply([entity, view])
started = time.process_time()
spine = pd.read_parquet(folder / "spine.parquet")
joined = store.get_historical_features(entity_df=spine, features=[f"view:f{i}" for i in range(8)]).to_df()
print(time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
joined[["row", *[f"f{i}" for i in range(8)]]].to_parquet(sys.argv[2])
"""


def main() -> int:
    parser = outcome.arguments(__doc__, small="one tenth of the rows")
    parser.add_argument("--keep", type=Path, help="folder for data and the peer's environment; kept")
    options = parser.parse_args()
    scale = 10 if options.small else 1
    with tempfile.TemporaryDirectory(prefix="asof-") as name:
        folder = options.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        write_data(folder, rows=10_000_000 // scale, questions=1_000_000 // scale, entities=100_000 // scale)
        python = peer_environment(folder)
        cpu, memory = zip(
            measure([sys.executable, "-c", OURS, folder, folder / "ours.parquet", ROOT]),
            measure([python, "-c", THEIRS, folder, folder / "theirs.parquet"]),
            strict=True,
        )
        compare(folder)
    return outcome.answer(
        "asof",
        peer=cpu[1],
        ours=cpu[0],
        unit="cpu_s",
        ratio=cpu[1] / cpu[0],
        goal=SMALL_GOAL if options.small else GOAL,
        table=(
            f"{'':24}{'CPU s':>10}{'peak MB':>10}",
            f"{'Feast on DuckDB':24}{cpu[1]:10.2f}{memory[1]:10.0f}",
            f"{'ours, two time axes':24}{cpu[0]:10.2f}{memory[0]:10.0f}  (equal answers)",
        ),
        as_json=options.json,
    )


def write_data(folder: Path, *, rows: int, questions: int, entities: int) -> None:
    """Features in order of time, known at once, so that both systems have the same answer."""
    rng = np.random.default_rng(1)
    span_us = 30 * 86_400_000_000
    start_us = 1_767_225_600_000_000
    event = pa.array(np.sort(rng.integers(0, span_us, rows)) + start_us).cast(INSTANT)
    columns = {"entity": rng.integers(0, entities, rows), "ts": event, "arrived_at": event}
    columns.update({name: rng.random(rows).astype("f4") for name in COLUMNS})
    pq.write_table(pa.table(columns), folder / "features.parquet", compression="zstd", row_group_size=1 << 20)
    spine = {
        "entity": rng.integers(0, entities, questions),
        "event_timestamp": pa.array(rng.integers(0, span_us, questions) + start_us).cast(INSTANT),
        "row": np.arange(questions),
    }
    pq.write_table(pa.table(spine), folder / "spine.parquet", compression="zstd")


def peer_environment(folder: Path) -> Path:
    home = folder / "peer"
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
        run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEER])
    return python


def measure(command: list[object]) -> tuple[float, float]:
    """(CPU seconds, peak MB) that the child reports about itself."""
    cpu, memory = run(command).split()[-2:]
    return float(cpu), float(memory)


def run(command: list[object]) -> str:
    environment = {**os.environ, "FEAST_USAGE": "False", "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "2"}
    done = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def compare(folder: Path) -> None:
    ours = pq.read_table(folder / "ours.parquet").sort_by("row")
    theirs = pq.read_table(folder / "theirs.parquet").sort_by("row")
    for name in COLUMNS:
        pair = [np.nan_to_num(table[name].to_numpy(zero_copy_only=False), nan=-1.0) for table in (ours, theirs)]
        if not np.array_equal(*pair):
            sys.exit(f"the answers differ in {name}: {int((pair[0] != pair[1]).sum())} of {len(pair[0])} rows")


if __name__ == "__main__":
    sys.exit(main())
