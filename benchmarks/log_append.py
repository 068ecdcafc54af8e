"""Append to the transparency log against pymerkle: the same entries, the same durability, in one run.

    python benchmarks/log_append.py [--json] [--small] [--keep FOLDER]

Peer: `SqliteTree` of pymerkle 7, the only of its trees that survives its process. Both append groups of entries of 150
bytes. After each group, on both sides, every file is synced and the root of the tree is known; ours also signs it,
opens what it signed, publishes it as a checkpoint, and keeps every tile for readers without a server. Compared is CPU
time per entry at 10,000 entries a group, the least of rounds taken in turn. The files lie in memory: the sync calls are
made, but the time of a disk is not the programs'. Smaller groups show what a commit costs whatever it holds; the third
column is pymerkle's tree in memory, which keeps nothing. The peer has a virtual environment of its own, made here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from benchmarks import outcome

ROOT = Path(__file__).resolve().parent.parent
PEER = ["pymerkle==7.0.0"]
GOAL, SMALL_GOAL = 4.0, 1.8
GROUPS = (100, 1_000, 10_000)
MEMORY = Path("/dev/shm")
ROUNDS = 4

MEASURE = """
import sys, tempfile, time
def measure(open_log):
    folder, group, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    entries = [
        b'{"seq":%d,"actor":"svc-ingest","action":"table.append","object":"telemetry","snapshot":%d,"ts":17000%08d,'
        b'"detail":"rows=500000 bytes=13100000"}' % (i, i * 7, i) for i in range(count)
    ]
    with tempfile.TemporaryDirectory(dir=folder) as name:
        append = open_log(name)
        append(entries[:1])
        cpu = time.process_time()
        for start in range(0, count, group):
            append(entries[start : start + group])
        print((time.process_time() - cpu) / count * 1e6)
"""

OURS = f"""
{MEASURE}
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from appliance.trust import keys
from appliance.trust.tlog import TransparencyLog
def open_log(folder):
    log = TransparencyLog(Path(folder), "log.test", keys.generate("ed25519"))
    log.create()
    return log.append
measure(open_log)
"""

THEIRS = f"""
{MEASURE}
from pymerkle import InmemoryTree, SqliteTree
def open_log(folder):
    tree = SqliteTree(folder + "/tree.db") if sys.argv[4] == "durable" else InmemoryTree()
    def append(entries):
        tree.append_entries(entries)
        tree.get_root()
    return append
measure(open_log)
"""


def main() -> int:
    parser = outcome.arguments(__doc__, small="a quarter of the entries and one size of group")
    parser.add_argument("--keep", type=Path, help="folder for the peer's environment; kept")
    options = parser.parse_args()
    scale = 4 if options.small else 1
    with tempfile.TemporaryDirectory(prefix="log-append-", dir=MEMORY if MEMORY.is_dir() else None) as name:
        python = peer_environment(options.keep or Path(name))
        programs = {
            "peer": [python, "-c", THEIRS, name, "durable"],
            "memory": [python, "-c", THEIRS, name, "memory"],
            "ours": [sys.executable, "-c", OURS, name, ROOT],
        }
        groups = GROUPS[-1:] if options.small else GROUPS
        rows = {group: best(programs, group, min(200_000, 500 * group) // scale) for group in groups}
    peer, ours = rows[GROUPS[-1]]["peer"], rows[GROUPS[-1]]["ours"]
    return outcome.answer(
        "log_append",
        peer=1 / peer,
        ours=1 / ours,
        unit="million durable entries per CPU second",
        ratio=peer / ours,
        goal=SMALL_GOAL if options.small else GOAL,
        table=(
            f"{'entries a commit':>16}{'SqliteTree us':>15}{'InmemoryTree us':>17}{'ours us':>10}{'ratio':>8}",
            *(
                f"{group:>16,}{each['peer']:15.2f}{each['memory']:17.2f}{each['ours']:10.2f}"
                f"{each['peer'] / each['ours']:8.2f}"
                for group, each in rows.items()
            ),
        ),
        as_json=options.json,
    )


def best(programs: dict[str, list[object]], group: int, count: int) -> dict[str, float]:
    """CPU microseconds per entry of each program."""
    found: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, words in programs.items():
            found[name].append(float(run([*words[:4], group, count, *words[4:]])))
    return {name: min(each) for name, each in found.items()}


def peer_environment(folder: Path) -> Path:
    home = folder / "peer"
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
        run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEER])
    return python


def run(command: list[object]) -> str:
    done = subprocess.run([str(word) for word in command], env=os.environ, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
