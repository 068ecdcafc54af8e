"""Readings at a steady rate into the lake for a long time, with upkeep beside: does anything grow that should not?

A collector sends records of 96 readings, paced by the clock. `appliance ingest topic` takes them, and
`appliance table upkeep` runs again and again. Watched are the worker's memory, how far it is behind, the files of the
table of readings, and how long a commit takes.
"""

from __future__ import annotations

import math
import signal
import statistics
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import kafka
import numpy as np
import pyarrow as pa

from appliance.base.clock import SystemClock, to_us
from appliance.config.site import open_site
from appliance.deploy.servers import kafka as broker
from appliance.ingestion import encode, reading
from appliance.ingestion.topics.producer import ReadingProducer, subject_of
from appliance.ingestion.topics.standing import told
from appliance.wiring.parts import Parts
from tests.integration.servers.running import Servers
from tests.integration.topics.conftest import connection_of, make_topic
from tests.product import ENVIRONMENT, Product, command
from tests.small_site import MEASURES, START, UNITS

PER_RECORD = 96
DEVICES = 200
SLICE_S = 0.5  # the collector sends what is due this often
SAMPLE_S = 2.0
UPKEEP_EVERY_S = 20.0
MEASURE = "oil_temperature"


def due(number):
    """The readings of record `number`: of one device, of quarters of an hour that follow its last ones."""
    device, turn = number % DEVICES, number // DEVICES
    first = np.int64(to_us(START)) + np.arange(PER_RECORD, dtype=np.int64) * 1_000_000 + turn * PER_RECORD * 1_000_000
    return device, turn, first


def batches_of(first, count):
    found = [due(number) for number in range(first, first + count)]
    total = count * PER_RECORD
    times = np.concatenate([each[2] for each in found])
    constant = {"measure": MEASURE, "quality": "good", "unit": UNITS[MEASURE]}
    return encode.Batches(
        device_id=pa.array([f"tx-{device}" for device, _, _ in found], pa.string()),
        firmware=pa.array(["1.0"] * count, pa.string()),
        trace_id=pa.array([f"{number:032x}" for number in range(first, first + count)], pa.string()),
        sequence=np.array([turn for _, turn, _ in found], np.int64),
        produced_at=np.array([int(each[2][-1]) for each in found], np.int64),
        offsets=np.arange(count + 1) * PER_RECORD,
        event_time=times,
        value=20.0 + (times // 1_000_000 % 70).astype(np.float64),
        **{name: pa.array([text] * total, pa.string()) for name, text in constant.items()},
    )


class Collector:
    """Sends `rate` readings a second until it is left; what went wrong is raised there."""

    def __init__(self, connection, topic, schemas, rate):
        self._given = connection, topic, schemas
        self._rate = rate
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self.records = 0

    def __enter__(self):
        self._running = self._pool.submit(self._run)
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._running.result(timeout=120)
        self._pool.shutdown()

    def _run(self):
        with ReadingProducer(*self._given) as producer:
            began = time.monotonic()
            while not self._stop.wait(SLICE_S):
                wanted = math.floor((time.monotonic() - began) * self._rate / PER_RECORD) - self.records
                if wanted > 0:
                    producer.send(batches_of(self.records, wanted))
                    self.records += wanted


@dataclass
class Watched:
    """Samples: seconds since the start, and what was seen then."""

    rss: list[tuple[float, int]] = field(default_factory=list)
    lag: list[tuple[float, int]] = field(default_factory=list)
    files: list[tuple[float, int]] = field(default_factory=list)
    commit_s: list[tuple[float, float]] = field(default_factory=list)


def rss_bytes(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def prepare(folder, connection, topic, **settings):
    """A site that takes the topic."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    product = Product(folder)
    given = {
        "kafka.servers": connection.servers[0],
        "kafka.topic": topic,
        "kafka.group": f"sink-{topic}",
        "kafka.user": connection.user,
        "kafka.password_file": connection.password,
        "kafka.ca_file": connection.ca_file,
        "kafka.commit_after": "2s",
        "storage.retain_files": "1h",
        **settings,
    }
    product.do("site", "init", *(word for key, value in given.items() for word in ("--set", f"{key}={value}")))
    (folder / "declarations" / "measures.toml").write_text(MEASURES.replace('interval = "15min"', 'interval = "1s"', 1))
    schema = folder.parent / "reading.avsc"
    schema.write_text(reading.SCHEMA_JSON)
    product.do("schema", "register", subject_of(topic), schema, role="data-engineer")
    return product


def start_sink(product):
    return subprocess.Popen(
        command("ingest", "topic", "--site", product.folder, "--as", "data-engineer", "--json"),
        cwd=product.folder.parent, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def soak(product, connection, topic, *, rate, seconds, outage_s=0.0, growth=1.5):
    """Run it; gives figures. With an outage the worker is killed in the middle, and started again after so long.

    From the first third of the time to the last, files and the time of a commit may grow `growth` times: a lake that
    begins empty grows until its snapshots expire for the first time.

    Raises:
        AssertionError: something was lost, doubled, or grew.
    """
    parts = Parts(site=open_site(product.folder), clock=SystemClock())
    watched = Watched()
    stop = threading.Event()
    keeper = threading.Thread(target=_keep, args=(product, stop))
    sink = start_sink(product)
    keeper.start()
    try:
        with Collector(connection, topic, parts.schemas, rate) as collector:
            began, outage_over = time.monotonic(), None
            while (now := time.monotonic() - began) < seconds:
                time.sleep(SAMPLE_S)
                if outage_s and outage_over is None and now > seconds / 3:
                    sink.kill()
                    sink.communicate()
                    outage_over = now + outage_s
                if outage_over is not None and now >= outage_over and sink.poll() is not None:
                    sink = start_sink(product)
                _sample(parts, product, sink, now, watched)
        sent = collector.records
        assert sent * PER_RECORD > 0.9 * rate * seconds, f"the collector sent {sent * PER_RECORD} readings only"
        caught_up_s = _caught_up(parts, sent, began=time.monotonic())
    finally:
        stop.set()
        keeper.join(180)
        sink.send_signal(signal.SIGTERM)
        sink.communicate(timeout=60)
    return _judged(parts, product, watched, sent=sent, rate=rate, caught_up_s=caught_up_s, growth=growth)


def _keep(product, stop):
    while not stop.wait(UPKEEP_EVERY_S):
        product.do("table", "upkeep", role="data-engineer")


def _sample(parts, product, sink, now, watched):
    if sink.poll() is None:
        watched.rss.append((now, rss_bytes(sink.pid)))
    standing = list(told(product.folder / "topics"))
    watched.lag.append((now, sum(each.lag for each in standing)))
    watched.commit_s += [(now, each.commit_s) for each in standing if each.commit_s]
    if "silver.readings" in parts.lake.tables():
        watched.files.append((now, len(parts.lake.files("silver.readings"))))


def _caught_up(parts, sent, *, began):
    """Seconds until all that was sent is in the lake."""
    while time.monotonic() - began < 120:
        rows = sum(file.rows for file in parts.lake.files("raw.records"))
        if rows >= sent:
            return time.monotonic() - began
        time.sleep(0.5)
    raise AssertionError(f"{sent} records were sent, {rows} taken two minutes after the last")


def _judged(parts, product, watched, *, sent, rate, caught_up_s, growth):
    silver = parts.lake.scan("silver.readings", columns=("source", "position", "index"))
    assert silver.num_rows == sent * PER_RECORD, f"{sent * PER_RECORD} readings were sent, {silver.num_rows} are there"
    places = silver.group_by(silver.column_names).aggregate([])
    assert places.num_rows == silver.num_rows, f"{silver.num_rows - places.num_rows} readings are there twice"
    assert product.do("ingest", "ledger")["imbalance"] == 0
    figures = {
        "readings": silver.num_rows,
        "readings_per_second": rate,
        "caught_up_s": round(caught_up_s, 1),
        "rss_mib": thirds(watched.rss, 2**20),
        "lag_records": thirds(watched.lag, 1),
        "live_files": thirds(watched.files, 1),
        "commit_s": thirds(watched.commit_s, 1),
    }
    first, _, last = figures["rss_mib"]
    assert last < 600, f"the worker holds {last} MiB"
    assert last < first * 1.3 + 64, f"memory went from {first} to {last} MiB"
    first, _, last = figures["live_files"]
    assert last < first * growth + 20, f"files went from {first} to {last}"
    first, _, last = figures["commit_s"]
    assert last < first * growth + 0.5, f"a commit went from {first} to {last} s"
    return figures


def prove(folder):
    """With all servers: half an hour at 5,000 readings a second; then 10,000, and a minute without the worker."""
    servers = Servers()
    try:
        servers.up()
        admin = kafka.KafkaAdminClient(**broker.client_settings(servers.place, "admin"))
        connection = connection_of(servers, "admin")
        figures = {}
        for name, load in (
            ("steady", {"rate": 5_000, "seconds": 1_800}),
            ("outage", {"rate": 10_000, "seconds": 360, "outage_s": 60.0}),
        ):
            topic = make_topic(admin)
            data = {f"storage.{key}": value for key, value in servers.data().items()}
            product = prepare(folder / name / "site", connection, topic, **data)
            figures[name] = soak(product, connection, topic, **load)
        admin.close()
    finally:
        servers.remove()
    return figures


def thirds(samples, unit):
    """The median of each third of the time, in `unit`."""
    end = samples[-1][0]
    parts = [[value for at, value in samples if end * part / 3 <= at <= end * (part + 1) / 3] for part in range(3)]
    return [round(statistics.median(each) / unit, 1) for each in parts if each]
