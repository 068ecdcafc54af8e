"""Runs upkeep in children that are ended in the middle, and tells what is in the table afterwards.

Started by test_upkeep_crash.py as a program of its own, like tests/fault/ingestion/crash_worker.py.

usage: upkeep_worker.py FOLDER (points | beside SEED)
"""

import contextlib
import datetime as dt
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import pyarrow as pa

from appliance.base.clock import FixedClock, SystemClock
from appliance.base.digest import digest_file
from appliance.governance.lineage import Lineage
from appliance.observability.alerts import Alerts
from appliance.storage.files import SiteFiles
from appliance.storage.tables import LINEAGE, CommitLost, Lake
from appliance.storage.upkeep.documents import removal_of
from appliance.storage.upkeep.plan import LEAST_ORPHAN_AGE, Limits
from appliance.storage.upkeep.run import TableUpkeep
from tests.fault.crashing import CRASHED, child, crash_at, finish

NAME = "silver.things"
SCHEMA = pa.schema([pa.field("n", pa.int64(), nullable=False), ("text", pa.string())])
LIMITS = Limits(
    target_bytes=1 << 20, keep=2, retain=dt.timedelta(0), orphans_after=LEAST_ORPHAN_AGE, max_small_files=200
)
COMMITS = 12


class LinesLog:
    """A log of entries in a file; a crash leaves whole lines."""

    def __init__(self, path):
        self.path = path

    def append(self, entries):
        with self.path.open("ab") as file:
            file.write(b"".join(each + b"\n" for each in entries))


class Site:
    def __init__(self, folder, clock=None):
        self.folder = folder
        self.lineage = Lineage(folder / "lineage", LinesLog(folder / "log"))
        self.lake = Lake(folder / "lake", SiteFiles(folder), self.lineage)
        self.upkeep = TableUpkeep(
            lake=self.lake, lineage=self.lineage, state_folder=folder / "upkeep",
            alerts=Alerts(folder / "alerts"),
            clock=clock or SystemClock(),
        )  # fmt: skip

    def append(self, number):
        rows = pa.table({"n": [number, number], "text": ["a", None]}, schema=SCHEMA)
        said = {"appliance.positions": json.dumps({"a": number + 1})}
        done = False
        while not done:
            with contextlib.suppress(CommitLost):
                head = self.lake.head(NAME)
                self.lake.append(NAME, rows, expected=head, properties=said, inputs=[], facts={})
                done = True

    def rows(self):
        return sorted(self.lake.scan(NAME)["n"].to_pylist())

    def faults(self):
        """What does not add up, for people; empty when all does."""
        head = self.lake.head(NAME)
        rows = self.rows()
        position = json.loads(head.properties["appliance.positions"])["a"]
        if rows != sorted([*range(position)] * 2):
            return f"position {position}, rows {rows}"
        logged = {json.loads(line)["id"] for line in (self.folder / "log").read_bytes().splitlines()}
        documents = [
            self.lineage.load(f"sha256:{path.stem}") for path in (self.folder / "lineage").glob("[0-9a-f]*.json")
        ]
        removals = [removal_of(each) for each in documents if each.kind == "removal" and each.id in logged]
        removed = {(each.file.path, each.file.digest) for removal in removals for each in removal.removed}
        for document in self.lineage.walk(head.properties[LINEAGE]):
            if document.id not in logged:
                return f"{document.id} is not logged"
            for file in document.files:
                path = self.folder / file.path
                if not path.exists() and (file.path, file.digest) not in removed:
                    return f"{file.path} is gone, and nothing says so"
                if path.exists() and digest_file(path) != file.digest:
                    return f"{file.path} was altered"
        if sum(bool(each.facts.get("rows")) for each in self.lineage.walk(head.properties[LINEAGE])) < position:
            return "a commit is not in the chain"
        return ""

    def strays(self):
        """Files of the table that nothing needs, after an upkeep that saw all of them as old."""
        table = self.lake.table(NAME)
        used = {table.metadata_location, *(each.metadata_file for each in table.metadata.metadata_log)}
        for snapshot in table.snapshots():
            used.add(snapshot.manifest_list)
            for manifest in snapshot.manifests(table.io):
                used.add(manifest.manifest_path)
                used |= {each.data_file.file_path for each in manifest.fetch_manifest_entry(table.io)}
        names = {each.rsplit("/", 1)[1] for each in used}
        found = (path for path in (self.folder / "lake/silver/things").rglob("*") if path.is_file())
        return [path.name for path in found if path.name not in names]


def make(folder):
    """A table with replaced files and with small ones, so that the next upkeep has something of each kind to do."""
    site = Site(folder)
    site.lake.ensure(NAME, SCHEMA)
    for number in range(COMMITS):
        site.append(number)
    site.upkeep.run(NAME, LIMITS)
    for number in range(COMMITS, 2 * COMMITS):
        site.append(number)
    stray = folder / "lake/silver/things/data/00000000000000000007-00112233.parquet"
    stray.write_bytes(b"left by a writer")
    os.utime(stray, (0, 0))
    assert site.upkeep.plan(NAME, LIMITS).replaced


def told(folder, name, work):
    """What a child says that does `work` on a site: it opens the site anew, as a restart does."""
    target = folder.parent / name
    target.unlink(missing_ok=True)
    code = finish(child(lambda: target.write_text(json.dumps(work()))))
    return json.loads(target.read_text()) if code == 0 else f"ended with {code}"


def later():
    """A clock two hours on, for which whatever a crash has left is old."""
    return FixedClock(dt.datetime.now(dt.UTC) + 2 * LEAST_ORPHAN_AGE)


def finished(folder):
    """A whole run, and one more for what the first one replaced; the head has moved on since the crash."""
    site = Site(folder, later())
    site.append(2 * COMMITS)
    site.upkeep.run(NAME, LIMITS)
    for number in range(2 * COMMITS + 1, 2 * COMMITS + 5):
        site.append(number)
    for _ in range(2):
        Site(folder, later()).upkeep.run(NAME, LIMITS)
    return site.faults()


def points(folder):
    """A crash before each write of one upkeep: one line per crash, the last one for the run that came to its end."""
    # Tables name their files by absolute paths, so every copy is put where the site was made.
    number, site, made = 0, folder / "site", folder / "made"
    assert finish(child(lambda: make(site))) == 0
    site.rename(made)
    while True:
        shutil.copytree(made, site)
        crashed = finish(child(lambda number=number: upkeep_and_crash(site, number)))
        after = told(site, "after", lambda: Site(site).faults())
        again = told(site, "again", lambda: finished(site))
        rest = told(site, "rest", lambda: Site(site).strays())
        line = {"write": number, "crashed": crashed == CRASHED, "after": after, "again": again, "rest": rest}
        print(json.dumps(line), flush=True)
        shutil.rmtree(site)
        if crashed == 0:
            return
        number += 1


def upkeep_and_crash(folder, number):
    site = Site(folder)
    crash_at(number)
    site.upkeep.run(NAME, LIMITS)


def write_for_ever(folder, first):
    site = Site(folder)
    number = first
    while True:
        site.append(number)
        number += 1


def beside(folder, seed):
    """Upkeep again and again, killed at random moments, while another process appends."""
    rng = random.Random(seed)
    site = folder / "site"
    assert finish(child(lambda: make(site))) == 0
    writer = child(lambda: write_for_ever(site, 2 * COMMITS))
    for kill in range(12):
        pid = child(lambda: Site(site).upkeep.run(NAME, LIMITS))
        delay = rng.uniform(0.02, 0.8)
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
        print(json.dumps({"kill": kill, "after_s": round(delay, 3), "died": finish(pid) == -9}), flush=True)
    os.kill(writer, signal.SIGKILL)
    finish(writer)
    end = Site(site, later())
    end.upkeep.run(NAME, LIMITS)
    position = json.loads(end.lake.head(NAME).properties["appliance.positions"])["a"]
    print(json.dumps({"faults": end.faults(), "rows": len(end.rows()), "expected": 2 * position}), flush=True)


if __name__ == "__main__":
    if sys.argv[2] == "points":
        points(Path(sys.argv[1]))
    else:
        beside(Path(sys.argv[1]), int(sys.argv[3]))
