"""Runs the sink in children that are ended in the middle, and tells what is in the tables afterwards.

Started by test_crash.py as a program of its own: it imports everything once, starts no thread, and forks a child for
each run, so that a run costs a fraction of a second.

usage: crash_worker.py FOLDER (points FIRST STEP | contract FIRST STEP | random SEED)
"""

import functools
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from appliance.base.clock import to_us
from appliance.base.digest import digest_bytes
from appliance.ingestion import decode
from appliance.ingestion.letters import Letters
from tests.fault.crashing import CRASHED, child, crash_at, finish
from tests.small_site import START, SmallSite, avro, readings, record

NOISE = b"neither Avro nor anything else"
CONTRACT = """
table: silver.readings
version: 1
owner: data-engineering
checks:
  - {{id: oil, kind: range, in_sink: true, where: {{measure: oil_temperature}}, column: value, maximum: {limit}}}
"""
FIX = '[[decoder]]\nfirmware = "2.0"\nevent_time_unit = "ms"\n'


def files(count):
    """Good readings, refused ones, repetitions, a firmware that sends milliseconds, and a file cut short."""
    found = {}
    for number in range(count):
        late = readings(4, first=8 * number)
        milliseconds = [{**each, "event_time": each["event_time"] // 1000} for each in late]
        data = avro(
            record("tx-1", number, readings(8, first=8 * number)),
            record("tx-2", number, readings(8, first=8 * number, measure="load", value=5000.0 if number % 3 else 5.0)),
            record("tx-3", number // 2, readings(4, first=8 * (number // 2))),
            record("tx-4", number, milliseconds if number % 2 else late, firmware="2.0" if number % 2 else "1.0"),
            block_bytes=300,
        )
        found[f"batch-{number:03d}.avro"] = data if number % 5 else data[:-30]
    return found


def put(folder, contents):
    incoming = folder / "spool" / "readings" / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (incoming / name).write_bytes(data)


def ingest(folder):
    SmallSite(folder, commit_rows=40).sink.run()


def ingest_and_reparse(folder):
    site = SmallSite(folder, commit_rows=40)
    site.sink.run()
    (site.declarations / "decoders.toml").write_text(FIX)
    site.quarantine.reparse()


def crash_in_ingest(folder, number):
    crash_at(number)
    ingest_and_reparse(folder)


def ingest_under(folder, limit, number=None):
    """Under a contract; with `number` the run ends before that write."""
    site = SmallSite(folder, commit_rows=40)
    (site.declarations / "contracts").mkdir(exist_ok=True)
    (site.declarations / "contracts" / "readings.yaml").write_text(CONTRACT.format(limit=limit))
    if number is not None:
        crash_at(number)
    site.sink.run()


def tell_standing(folder, target):
    """What is in quarantine, and whether it has taken items that silver has not."""
    lake = SmallSite(folder).lake
    found = {"rows": [], "ahead": False}
    if {"quarantine.readings", "silver.readings"} <= set(lake.tables()):
        stands = [
            lake.head(name).properties.get("appliance.positions") for name in ("quarantine.readings", "silver.readings")
        ]
        columns = ("position", "record", "index", "code", "detail")
        rows = lake.scan("quarantine.readings", columns=columns).to_pylist()
        found = {"rows": [[row[name] for name in columns] for row in rows], "ahead": stands[0] != stands[1]}
    target.write_text(json.dumps(found))


def standing(folder):
    target = folder / "standing.json"
    assert finish(child(lambda: tell_standing(folder, target))) == 0
    return json.loads(target.read_text())


def tell(folder, target):
    """All rows, sealed letters by the bytes that they open to, and how many objects there are: a retry must add none.

    Keys are random, so the objects of letters have other names in another site.
    """
    site = SmallSite(folder)
    site.check_nothing_lost_or_doubled()
    letters = Letters(landing=site.landing, spool=site.sink.spool, clock=site.clock)
    text = json.dumps(site.content(), default=str)
    for letter, data in letters.with_bytes(letters.find()):
        text = text.replace(letter.raw_digest, digest_bytes(data))
    assert NOISE not in b"".join(path.read_bytes() for path in objects_of(folder))
    target.write_text(json.dumps({**json.loads(text), "objects": len(objects_of(folder))}))


def objects_of(folder):
    return [path for path in (folder / "objects").rglob("*") if path.is_file()]


def content(folder):
    target = folder / "content.json"
    if finish(child(lambda: tell(folder, target))) != 0:
        return "does not add up"
    return json.loads(target.read_text())


def points(folder, first, step):
    """A crash before each `step`-th write from `first` on, then a run to the end: one line per crash."""
    contents = {**files(4), "batch-001-noise.avro": NOISE}  # which is sealed
    whole = folder / "whole"
    put(whole, contents)
    assert finish(child(lambda: ingest_and_reparse(whole))) == 0
    expected = content(whole)
    assert len(expected["silver.readings"]) > 50
    assert len(expected["quarantine.readings"]) > 20
    number = first
    while True:
        site = folder / "site"
        put(site, contents)
        crashed = finish(child(functools.partial(crash_in_ingest, site, number)))
        again = finish(child(functools.partial(ingest_and_reparse, site)))
        same = content(site) == expected
        print(json.dumps({"write": number, "crashed": crashed == CRASHED, "again": again, "same": same}), flush=True)
        shutil.rmtree(site)
        if crashed == 0:
            return
        number += step


def contract_points(folder, first, step):
    """As `points`, but the run to the end is under a contract that asks for more, or for less: one line per crash."""
    contents = files(2)
    number = first
    while True:
        site = folder / "site"
        put(site, contents)
        crashed = finish(child(functools.partial(ingest_under, site, 23, number)))
        before = standing(site)
        again = finish(child(functools.partial(ingest_under, site, 21 if number % 4 < 2 else 25)))
        whole, after = content(site), standing(site)
        line = {
            "write": number,
            "crashed": crashed == CRASHED,
            "ahead": before["ahead"],
            "refused": sum(row[3] == "CONTRACT" for row in before["rows"]),
            "again": again,
            "adds_up": whole != "does not add up",
            "stands": all(row in after["rows"] for row in before["rows"]),
        }
        print(json.dumps(line), flush=True)
        shutil.rmtree(site)
        if crashed == 0:
            return
        number += step


def time_of_two_files(site, contents):
    """Seconds that one of the runs below takes when nobody kills it."""
    put(site, dict(list(contents.items())[:2]))
    began = time.monotonic()
    assert finish(child(lambda: ingest(site))) == 0
    return time.monotonic() - began


def at_random(folder, seed):
    """Twenty kills at random moments, files coming in all the while: one line per kill, one at the end."""
    rng = random.Random(seed)
    contents = {**files(38), "batch-007-noise.avro": NOISE, "batch-023-noise.avro": 2 * NOISE}
    names = sorted(contents)
    whole, site = folder / "whole", folder / "site"
    put(whole, contents)
    assert finish(child(lambda: ingest(whole))) == 0
    longest = 0.9 * min(time_of_two_files(folder / f"probe-{number}", contents) for number in range(3))
    for kill in range(20):
        put(site, {name: contents[name] for name in names[2 * kill : 2 * kill + 2]})
        delay = rng.uniform(0, longest)
        pid = child(lambda: ingest(site))
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
        print(json.dumps({"kill": kill, "after_s": round(delay, 4), "died": finish(pid) == -9}), flush=True)
    again = finish(child(lambda: ingest(site)))
    expected = content(whole)
    assert len(expected["silver.readings"]) > 500
    print(json.dumps({"again": again, "same": content(site) == expected}), flush=True)


if __name__ == "__main__":
    decode.decode(avro(record(readings=readings(1))), decode.Limits())  # compiled code is loaded before the forks
    assert to_us(START) > 0
    if sys.argv[2] in ("points", "contract"):
        {"points": points, "contract": contract_points}[sys.argv[2]](
            Path(sys.argv[1]), int(sys.argv[3]), int(sys.argv[4])
        )
    else:
        at_random(Path(sys.argv[1]), int(sys.argv[3]))
