"""A topic of a real broker into Iceberg, on one core: records of 96 readings -> judged -> Parquet -> Iceberg commit.

Peer: the loop that one writes by hand on kafka-python's iterator: fastavro, an if per rule on each reading as a
dictionary, a table from the list of dictionaries, pyiceberg's append. Ours: the worker of `appliance ingest topic`,
with raw bytes kept, lineage documents, quarantine, the check for duplicates, and positions in the commits. Same broker
(TLS, SCRAM), same records, one run, CPU time of the process; the peer takes a tenth of them, because it is slow.

usage: python benchmarks/topic.py [--small] [--json]
"""

import datetime as dt
import io
import itertools
import math
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import fastavro
import kafka
import numpy as np
import pyarrow as pa

from appliance.base.clock import FixedClock
from appliance.deploy.servers import kafka as broker
from appliance.ingestion import declarations, reading, rows
from appliance.ingestion.schemas.folder import FolderRegistry
from appliance.ingestion.topics.connection import Connection
from appliance.ingestion.topics.producer import ReadingProducer, subject_of
from appliance.ingestion.topics.worker import TopicWorker
from appliance.secrets.secret import FileSecret
from benchmarks.ingest import PER_RECORD, declare, file_of, judge, landing_in, tables_of_peer
from benchmarks.outcome import answer, arguments
from tests.integration.servers.running import Servers

GOAL, SMALL_GOAL = 5.0, 2.0  # the small one is 60 % of what was measured; the goal is not reached yet (4.1 to 4.5)
ROUNDS = 3
SCHEMA = fastavro.parse_schema(reading.SCHEMA)
RECORDS_PER_BATCH = 400
PEER_COMMIT_ROWS = 100_000


def fill(connection, topic, schemas, count):
    """Send so many records."""
    rng = np.random.default_rng(20260301)
    with ReadingProducer(connection, topic, schemas) as producer:
        for number in range(count // RECORDS_PER_BATCH):
            producer.send(file_of(number, RECORDS_PER_BATCH, rng))


def peer(connection, topic, folder):
    """Seconds of CPU per reading of the loop by hand."""
    tables = tables_of_peer(folder)
    began = time.process_time()
    consumer = kafka.KafkaConsumer(
        topic,
        **connection.settings(),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        consumer_timeout_ms=3_000,
    )
    good, bad, count = [], [], 0

    def commit():
        for table, found in zip(tables, (good, bad), strict=True):
            if found:
                table.append(pa.Table.from_pylist(found, rows.SILVER))
                found.clear()

    for record in consumer:
        batch = fastavro.schemaless_reader(io.BytesIO(record.value[5:]), SCHEMA, None)
        judge(batch, record.offset, 0, good, bad)
        count += len(batch["readings"])
        if len(good) >= PEER_COMMIT_ROWS:
            commit()
    commit()
    consumer.close()
    return (time.process_time() - began) / count


def ours(connection, topic, folder, schemas):
    """Seconds of CPU per reading of the worker."""
    declare(folder)
    worker = TopicWorker(
        connection=connection,
        topic=topic,
        group=f"bench-{folder.name}",
        landing=landing_in(folder),
        schemas=schemas,
        declared=declarations.load(folder / "declarations"),
        clock=FixedClock(dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)),
        commit_after_s=60.0,
        standing_folder=folder / "topics",
    )
    began = time.process_time()
    taken = worker.run(until_end=True).taken
    spent = time.process_time() - began
    assert taken.accepted + sum(taken.refused.values()) == taken.readings
    assert abs(taken.refused["RANGE"] / taken.readings - 1 / 80) < 1e-3, taken.refused
    return spent / taken.readings


def main():
    options = arguments(__doc__, small="a fifth of the readings").parse_args()
    readings, goal = (600_000, SMALL_GOAL) if options.small else (3_000_000, GOAL)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    servers = Servers()
    try:
        servers.up("kafka")
        place = servers.place
        connection = Connection(
            servers=(place.address("kafka"),),
            user="admin",
            password=FileSecret(place.secret_file("kafka-admin")),
            ca_file=place.authority,
        )
        admin = kafka.KafkaAdminClient(**broker.client_settings(place, "admin"))
        configs = {"message.timestamp.type": "LogAppendTime"}
        sizes = {"peer": readings // 10, "ours": readings}
        admin.create_topics({name: {"num_partitions": 3, "configs": configs} for name in sizes}, wait_for_metadata=True)
        admin.close()
        schemas = FolderRegistry(servers.folder / "schemas", levels={})
        for name, size in sizes.items():
            schemas.register(subject_of(name), "AVRO", reading.SCHEMA_JSON)
            fill(connection, name, schemas, max(size // PER_RECORD, 2 * RECORDS_PER_BATCH))
        best = dict.fromkeys(sizes, math.inf)
        measures = {
            "peer": lambda f: peer(connection, "peer", f),
            "ours": lambda f: ours(connection, "ours", f, schemas),
        }
        for round_number, name in itertools.product(range(-1, ROUNDS), sizes):
            with tempfile.TemporaryDirectory() as folder:
                spent = measures[name](Path(folder))
            if round_number >= 0:  # the first one compiles, or takes compiled code from its cache
                best[name] = min(best[name], spent)
    finally:
        servers.remove()
    of_peer, of_ours = 1 / best["peer"] / 1e6, 1 / best["ours"] / 1e6
    return answer(
        "topic",
        peer=of_peer,
        ours=of_ours,
        unit="million readings per CPU second",
        ratio=of_ours / of_peer,
        goal=goal,
        table=(
            f"{'':28}{'M readings / CPU s':>20}",
            f"{'loop on the iterator':28}{of_peer:>20.3f}",
            f"{'the worker':28}{of_ours:>20.3f}",
        ),
        as_json=options.json,
    )


if __name__ == "__main__":
    raise SystemExit(main())
