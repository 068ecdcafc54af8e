"""Drops with sensitive columns in children that are ended in the middle; tells what is on the disk afterwards.

Started by test_sealed_crash.py as a program of its own: it imports everything once and forks a child for each run.

usage: sealed_worker.py FOLDER FIRST STEP
"""

import functools
import json
import shutil
import sys
from pathlib import Path

from appliance.ingestion.sensitive import sealing
from tests.fault.crashing import CRASHED, child, crash_at, finish
from tests.small_site import SmallSite
from tests.unit.ingestion.sensitive.customers import MAPPING, ROWS, csv
from tests.unit.ingestion.sensitive.scan import leaks

PLANTED = [text for row in ROWS for text in row[1:3]]
FILES = {
    "a.csv": csv(),
    "b.csv": csv(ROWS[1:], extra="2026-01-09,c-2,too few\n"),
    "c.csv": b"no header, Sigrid Halvorsen\n",
}


def prepare(folder):
    site = SmallSite(folder)
    spool = site.declare_drop("customers", MAPPING.replace("FORMAT", "csv"))
    for name, data in FILES.items():
        (spool.incoming / name).write_bytes(data)
    (spool.incoming / "refused.txt").write_bytes(csv())


def ingest(folder, crash=None):
    if crash is not None:
        crash_at(crash)
    SmallSite(folder).drops.run()


def leaked(folder):
    """Files with planted texts, but for those of the spool, which are as they were dropped until a run takes them."""
    return [each for each in leaks(folder, *PLANTED) if not each.startswith("spool/")]


def tell(folder, target):
    """Rows with their cells opened; how many objects and data files there are: a retry must add none."""
    site = SmallSite(folder)
    rows = site.lake.scan("silver.customers").to_pylist()
    for row in rows:
        for column in ("name", "card"):
            key_id = sealing.key_id_of(row[column])
            place = sealing.place_of("silver.customers", column, row["source"], row["position"], row["line"])
            row[column] = sealing.open_text(row[column], site.data_keys.get([key_id])[key_id], place)
        row["card_token"] = row["card_token"] is not None
    raw = site.rows("raw.drops")
    content = {
        "rows": sorted(map(str, rows)),
        "refused": sorted((row["position"], row["line"] or 0, row["code"]) for row in site.rows("quarantine.drops")),
        "files": [site.drops.original(row["digest"]).decode() for row in raw],
        "objects": sum(path.is_file() for path in (folder / "objects").rglob("*")),
        "data files": sum(1 for _ in (folder / "lake").rglob("*.parquet")),
        "left in the spool": [path.name for path in (folder / "spool").rglob("*.csv")],
    }
    target.write_text(json.dumps({"content": content, "leaks": leaks(folder, *PLANTED)}, default=str))


def told(folder):
    target = folder.parent / "told.json"
    assert finish(child(lambda: tell(folder, target))) == 0
    return json.loads(target.read_text())


def main(folder, first, step):
    whole = folder / "whole"
    prepare(whole)
    assert finish(child(lambda: ingest(whole))) == 0
    expected = told(whole)["content"]
    print(json.dumps(expected), flush=True)
    number = first
    while True:
        site = folder / "site"
        prepare(site)
        crashed = finish(child(functools.partial(ingest, site, number)))
        during = leaked(site)
        again = finish(child(functools.partial(ingest, site)))
        after = told(site)
        line = {"write": number, "crashed": crashed == CRASHED, "again": again, "same": after["content"] == expected}
        print(json.dumps({**line, "during": during, "after": after["leaks"]}), flush=True)
        shutil.rmtree(site)
        if crashed == 0:
            return
        number += step


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
