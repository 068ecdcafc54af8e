"""A small site for tests of ingestion: real parts in a folder, a clock that stands still, readings made to order."""

import datetime as dt
import hashlib

import numpy as np
import pyarrow as pa

from appliance.base.clock import FixedClock, to_us
from appliance.config.model import IngestSection, SecretsSection, StorageSection
from appliance.governance.lineage import Lineage
from appliance.ingestion import encode, ledger
from appliance.ingestion.commit import Landing
from appliance.ingestion.drop import Drops
from appliance.ingestion.quarantine import Quarantine
from appliance.ingestion.sink import Sink
from appliance.observability.alerts import Alerts
from appliance.secrets.settings import Secrets
from appliance.storage.catalog import database_of
from appliance.storage.files import files_of
from appliance.storage.objects import objects_of
from appliance.storage.tables import Lake
from appliance.trust.data_keys import DataKeys
from appliance.trust.data_keys_wrap import open_wrapping
from appliance.trust.keys import FileKeys

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
START = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
QUARTER_US = 900_000_000
MEASURES = """
[measure.oil_temperature]
unit = "Cel"
min = -40.0
max = 150.0
interval = "15min"

[measure.load]
unit = "kW"
min = 0.0
max = 1000.0
interval = "15min"

[measure.tap_position]
unit = "1"
min = 0.0
max = 33.0
interval = "15min"
may_rest = true
"""
UNITS = {"oil_temperature": "Cel", "load": "kW", "tap_position": "1"}
IDENTITY = ("source", "position", "record", "index")


class ListLog(list):
    """A log that keeps entries in memory."""

    def append(self, entries):
        self.extend(entries)


def readings(count, *, first=0, value=None, measure="oil_temperature", **changes):
    """`count` readings, a quarter of an hour apart; `changes` replace fields of each of them."""
    base = {
        "measure": measure,
        "quality": "good",
        "unit": UNITS.get(measure, "1"),
    }
    return [
        {
            **base,
            "event_time": to_us(START) + (first + number) * QUARTER_US,
            "value": 20.0 + (first + number) % 7 if value is None else value,
            **changes,
        }
        for number in range(count)
    ]


def record(device="tx-1", sequence=0, readings=(), firmware="1.0", produced_at=None):
    return {
        "device_id": device,
        "firmware": firmware,
        "sequence": sequence,
        "produced_at": to_us(START) + sequence * 3_600_000_000 if produced_at is None else produced_at,
        "trace_id": hashlib.sha256(f"{device}{sequence}".encode()).hexdigest()[:32],
        "readings": list(readings),
    }


def batches(records):
    rows = [each for one in records for each in one["readings"]]
    return encode.Batches(
        **{
            name: pa.array([one[name] for one in records], pa.string())
            for name in ("device_id", "firmware", "trace_id")
        },
        **{name: np.array([one[name] for one in records], np.int64) for name in ("sequence", "produced_at")},
        offsets=np.cumsum([0, *(len(one["readings"]) for one in records)]),
        event_time=np.array([row["event_time"] for row in rows], np.int64),
        value=np.array([row["value"] for row in rows], np.float64),
        **{name: pa.array([row[name] for row in rows], pa.string()) for name in ("measure", "quality", "unit")},
    )


def avro(*records, **options):
    return encode.encode_batches(batches(records), **options)


IN_THE_FOLDER = StorageSection()


class SmallSite:
    def __init__(self, folder, *, now=NOW, storage=IN_THE_FOLDER, **settings):
        self.folder = folder
        self.clock = FixedClock(now)
        self.declarations = folder / "declarations"
        if not self.declarations.is_dir():
            (self.declarations / "drops").mkdir(parents=True)
            (self.declarations / "measures.toml").write_text(MEASURES)
        section = IngestSection(**settings)
        self.log = ListLog()
        self.lineage = Lineage(folder / "lineage", self.log)
        secrets = Secrets(SecretsSection(), folder)
        files, database = files_of(storage, folder, secrets), database_of(storage, folder, secrets)
        self.lake = Lake(folder / "lake", files, self.lineage, database)
        self.objects = objects_of(storage, folder, secrets)
        self.alerts = Alerts(folder / "alerts")
        self.data_keys = DataKeys(
            folder / "keys" / "data", lambda: open_wrapping(FileKeys(folder / "keys")), self.clock
        )
        parts = {
            "lake": self.lake,
            "objects": self.objects,
            "lineage": self.lineage,
            "alerts": self.alerts,
            "data_keys": self.data_keys,
            "settings": section,
        }
        common = {
            "spool_folder": folder / "spool",
            "declarations_folder": self.declarations,
            "clock": self.clock,
        }
        self.landing = Landing(**parts)
        self.sink = Sink(**common, landing=self.landing)
        self.drops = Drops(**common, **parts)
        self.quarantine = Quarantine(landing=self.landing, sink=self.sink, declarations_folder=self.declarations)

    @property
    def incoming(self):
        return self.sink.spool.incoming

    def put(self, name, *records, **options):
        (self.incoming / name).write_bytes(avro(*records, **options))

    def rows(self, name, columns=None):
        found = self.lake.scan(name, columns=columns).to_pylist()
        return sorted(found, key=lambda row: tuple(str(value) for value in row.values()))

    def codes(self):
        """Reason code -> number of quarantined rows."""
        found = self.lake.scan("quarantine.readings", columns=("code",))["code"].to_pylist()
        return {code: found.count(code) for code in sorted(set(found))}

    def identities(self, name):
        return [tuple(row[key] for key in IDENTITY) for row in self.rows(name, IDENTITY)]

    def content(self):
        """All rows of the three tables, and whether everything adds up."""
        return {name: self.rows(name) for name in ("raw.records", "quarantine.readings", "silver.readings")}

    def check_nothing_lost_or_doubled(self):
        both = self.identities("silver.readings") + self.identities("quarantine.readings")
        assert len(both) == len(set(both))
        found = ledger.balance(self.lake)
        assert (found.imbalance, found.pending) == (0, 0)
        for digest in sorted(set(self.lake.scan("raw.records", columns=("digest",))["digest"].to_pylist())):
            assert self.objects.read(digest) is not None

    def declare_drop(self, name, text):
        (self.declarations / "drops" / f"{name}.toml").write_text(text)
        return self.drops.spool(name, self.drops.mapping(name))
