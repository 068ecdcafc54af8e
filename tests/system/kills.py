"""Kills `appliance pipeline run` with -9 and runs it again until it is done; tells what the end state is.

The undisturbed run and the killed one start from the same bytes in the same place: the prepared site is put back
between them, because tables name their files by absolute paths.
"""

import datetime as dt
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

from appliance.base.clock import SystemClock, parse_rfc3339, rfc3339
from appliance.base.progress import NoProgress
from appliance.config.site import open_site
from appliance.demo import declarations
from appliance.demo.fleet.generate import generate
from appliance.demo.fleet.plan import FleetOptions
from appliance.demo.requests import client_requests
from appliance.demo.run import DECODER_FIX
from appliance.orchestration.journal import Journal
from appliance.orchestration.pipeline import STEPS
from appliance.orchestration.replay import send
from appliance.wiring.parts import Parts
from tests.product import ENVIRONMENT, MODEL, Product, command, port_settings

DEVICES, DAYS, FLEET_SEED = 25, 30, 7  # fixed: on so few devices not every fleet lets a model pass its gates
END = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
POLL_S = 0.005
STEP_WITHIN_S = 120
CLAIMED = "arrived_at"  # of drops: the time of the claim, which differs between two runs
TABLES = ("raw.records", "silver.readings", "quarantine.readings", "raw.drops", "labels.incidents")


def prepare(folder, *, seed, end, requests=300, settings=()):
    """A site whose spool is full, and whose gateway has recorded the questions of clients; nothing runs."""
    product = Product(folder)
    given = ("site.name=demo", "ingest.trust_received_at=true", *settings)
    product.do("site", "init", *(word for each in given for word in ("--set", each)), *port_settings())
    shutil.copytree(Path(declarations.__path__[0]), folder / "declarations", dirs_exist_ok=True)
    (folder / "declarations" / "decoders.toml").write_text(DECODER_FIX)
    set_freshness(product, "36500d")  # this fleet ends on a fixed day
    generate(FleetOptions(devices=DEVICES, days=DAYS, end=end, seed=seed), folder / "fleet", progress=NoProgress())
    for source, spool, pattern in (("readings", "readings", "*.avro"), ("labels", "drops/incidents", "*.csv")):
        incoming = folder / "spool" / spool / "incoming"
        incoming.mkdir(parents=True, exist_ok=True)
        for path in sorted((folder / "fleet" / source).glob(pattern)):
            path.rename(incoming / path.name)
    if requests:
        ask(product, requests)
    return product


def set_freshness(product, within):
    """How old the newest reading may be, in the contract of readings."""
    path = product.folder / "declarations" / "contracts" / "readings.yaml"
    text, changed = re.subn(r"within: \w+", f"within: {within}", path.read_text())
    assert changed == 1
    path.write_text(text)


def ask(product, count):
    """Let clients ask the gateway so many questions; it is stopped afterwards."""
    requests = client_requests(SimpleNamespace(end=rfc3339(END)), DEVICES, count, FLEET_SEED)
    product.do("serve", "start", "--model", MODEL)
    try:
        answers = send(gateway_port(product), MODEL, requests, NoProgress())
        assert answers.failed == 0, answers.problems
    finally:
        product.do("serve", "stop")


def gateway_port(product):
    return open_site(product.folder).settings.serving.gateway_port


def journal(product):
    """The journal of the only run; None before there is one."""
    paths = sorted((product.folder / "pipeline").glob("*/journal.json"))
    runs = [json.loads(path.read_bytes()) for path in paths]
    assert len(runs) <= 1, f"a resumed run is the same run: {runs[0]}"
    return runs[0] if runs else None


def running_step(product):
    """(name, attempts) of the step that the journal shows running; a killed one stays there until the next try."""
    steps = (journal(product) or {"steps": []})["steps"]
    return next(((step["name"], step["attempts"]) for step in steps if step["status"] == "running"), None)


def run_through(product):
    """The pipeline with its approval; gives seconds per step."""
    product.do("serve", "start", "--model", MODEL)
    assert product.pipeline().code == 5
    product.approve(f"{MODEL}/1")
    ended = product.pipeline()
    assert ended.code == 0, ended.said[-3000:]
    assert ended.printed["status"] == "done"
    found = journal(product)
    return {step["name"]: seconds_of(step) for step in found["steps"]}


def seconds_of(step):
    return (parse_rfc3339(step["ended_at"]) - parse_rfc3339(step["started_at"])).total_seconds()


def run_with_kills(product, kills, durations, seed):
    """Kill the pipeline so many times, spread over all steps, and run it again until it is done; gives the kills."""
    random_ = random.Random(seed)
    rounds, rest = divmod(kills, len(STEPS))
    plan = sorted([*STEPS * rounds, *random_.sample(STEPS, rest)], key=STEPS.index)
    product.do("serve", "start", "--model", MODEL)
    done = []
    for number, name in enumerate(plan):
        # A later try of a step finds work done and is shorter; the last step must be met before the run is over.
        shorter = 0.25 if name == STEPS[-1] else 0.5 ** plan[:number].count(name)
        fraction = random_.random() * shorter
        whole_group = random_.random() < 0.5
        found = kill_in(product, name, fraction * durations[name], whole_group=whole_group)
        done.append({"planned": name, "fraction": round(fraction, 3), "group": whole_group, **found})
    ended = product.pipeline()
    for _ in range(3):  # the approval, and a step that met what the killed try had under way
        if ended.code == 0:
            break
        if ended.code == 5:
            product.approve(f"{MODEL}/1")
        ended = product.pipeline()
    assert ended.code == 0, f"seed {seed}: {done}: {ended.said[-3000:]}"
    return done


def kill_in(product, name, after_s, *, whole_group):
    """Start the pipeline, wait until step `name` has run for `after_s`, and kill."""
    before = running_step(product)
    process = subprocess.Popen(
        command("pipeline", "run", MODEL, "--site", product.folder, "--as", "data-scientist", "--json"),
        cwd=product.folder.parent, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    end_s, ended = time.monotonic() + STEP_WITHIN_S, None
    while time.monotonic() < end_s:
        step = running_step(product)
        if step not in (None, before) and STEPS.index(step[0]) >= STEPS.index(name):
            until_s = time.monotonic() + (after_s if step[0] == name else 0.0)
            while time.monotonic() < until_s and running_step(product) == step:
                time.sleep(POLL_S)
            break
        ended = process.poll()
        if ended is not None:
            break
        time.sleep(POLL_S)
    if process.poll() is None:
        step = running_step(product)
        if whole_group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        return {"killed": True, "during": step[0] if step else "between two steps"}
    _, said = process.communicate()
    if process.returncode == 5:
        product.approve(f"{MODEL}/1")
        return kill_in(product, name, after_s, whole_group=whole_group)
    assert process.returncode == 0, said.decode()[-3000:]
    return {"killed": False, "during": None}


def end_state(product):
    """What a run leaves that must not depend on kills. Call when nothing runs."""
    parts = Parts(site=open_site(product.folder), clock=SystemClock())
    rows = {}
    for name in TABLES:
        table = parts.lake.scan(name)
        kept = [column for column in table.column_names if column != CLAIMED or "readings" in name]
        listed = sorted(json.dumps(row, default=str, sort_keys=True) for row in table.select(kept).to_pylist())
        rows[name] = listed
    served = parts.lake.scan("predictions.served", columns=("request_id", "arm", "entity", "score", "outcome"))
    trials = [row for row in served.to_pylist() if row["request_id"].startswith("trial:")]
    phases = [(row["request_id"].split(":")[-2], row["request_id"].split(":")[-1], row["arm"]) for row in trials]
    again = [each for each, count in Counter(phases).items() if count > 1]
    scores = sorted(
        (*phase, row["entity"], row["score"], row["outcome"]) for phase, row in zip(phases, trials, strict=True)
    )
    versions = [(each.id, each.stage, each.manifest.artifact_id) for each in parts.registry.list()]
    return {
        "rows": rows,
        "versions": versions,
        "answered twice": again,
        "trials": [[str(value) for value in each] for each in scores],
        "runs": [run.status for run in Journal(parts.site.pipeline).runs()],
        "imbalance": product.do("ingest", "ledger", role="auditor")["imbalance"],
        "audit": product.run("audit", "check", role="auditor").code,
    }


def left_running(product):
    """Pids of processes that carry this site in their environment or command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            text = (path / "environ").read_bytes() + (path / "cmdline").read_bytes()
        except OSError:
            continue
        if str(product.folder).encode() in text and int(path.name) != os.getpid():
            found.append(int(path.name))
    return found


def compare(folder, *, seed, kills, requests, settings):
    """Run undisturbed and with kills from the same bytes; gives both end states and the kills."""
    product = prepare(folder / "site", seed=FLEET_SEED, end=END, requests=requests, settings=settings)
    try:
        shutil.copytree(product.folder, folder / "prepared", symlinks=True)
        durations = run_through(product)
        product.do("serve", "stop")
        undisturbed = end_state(product)
        shutil.rmtree(product.folder)
        (folder / "prepared").rename(product.folder)
        done = run_with_kills(product, kills, durations, seed)
        product.do("serve", "stop")
        return undisturbed, end_state(product), done, left_running(product)
    finally:
        product.stop()


def check(undisturbed, killed, kills, left, count):
    """Raises AssertionError, naming what differs."""
    died = sum(kill["killed"] for kill in kills)
    assert died == count, f"{died} of {count} kills met a running pipeline: {kills}"
    for name, rows in undisturbed["rows"].items():
        assert rows, f"{name} is empty: it proves nothing"
        assert killed["rows"][name] == rows, f"{name} differs: {kills}"
    assert killed["answered twice"] == [], kills
    assert killed["trials"] == undisturbed["trials"], kills
    assert killed == undisturbed, kills
    assert undisturbed["runs"] == ["done"]
    assert (undisturbed["imbalance"], undisturbed["audit"]) == (0, 0)
    assert left == [], f"processes left: {kills}"


def prove(folder, *, seed, kills, requests, settings=()):
    """Run both and check; gives figures for the evidence."""
    undisturbed, killed, done, left = compare(folder, seed=seed, kills=kills, requests=requests, settings=settings)
    check(undisturbed, killed, done, left, kills)
    return {
        "kills": [f"{kill['during']} after {kill['fraction']} of its time" for kill in done],
        "rows compared": {name: len(rows) for name, rows in undisturbed["rows"].items()},
        "trial answers compared": len(undisturbed["trials"]),
        "artifact id": undisturbed["versions"][0][2],
        "rows or answers that differ or are there twice": 0,
        "processes left": 0,
    }
