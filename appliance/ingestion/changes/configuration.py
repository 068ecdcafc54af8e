"""What Debezium's PostgreSQL connector is told (Debezium documentation, "PostgreSQL connector", properties). Pure.

Why the settings are as they are
1. Exactly once: records and offsets go to Kafka in one transaction (Kafka Connect, KIP-618).
2. No snapshot at the start but one that is asked for by a signal: it goes in steps and goes on after a restart, and
   changes are captured meanwhile.
3. The slot is left alone when the connector stops: what changes meanwhile is kept for it.
4. Every record carries its schema, so that it can be read without asking anybody.
5. The broker stamps the time of arrival; one partition for a table keeps its changes in order.
6. A truncate is a change like others. A heartbeat moves the slot on while the captured tables are idle, so that the
   database can remove its log.
7. A slot that stands further than what was captured fails the connector: Debezium would go on from there otherwise.
8. The password is read by Connect from its file when it needs it, and stands in no configuration and no topic.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from appliance.base.duration import duration_us
from appliance.ingestion.changes.declaration import Changes, slot_of, topic_prefix

CLASS = "io.debezium.connector.postgresql.PostgresConnector"
SECRETS = "secret"  # the name of the worker's provider that reads a file of one secret
RETENTION_MS = 30 * 86_400_000
_CONVERTER = "org.apache.kafka.connect.json.JsonConverter"


def configuration(connector: str, changes: Changes, site_folder: Path) -> Mapping[str, str]:
    password = site_folder / changes.password_file
    settings = {
        "connector.class": CLASS,
        "tasks.max": "1",
        "exactly.once.support": "required",
        "transaction.boundary": "poll",
        "database.hostname": changes.host,
        "database.port": str(changes.port),
        "database.dbname": changes.database,
        "database.user": changes.user,
        "database.password": f"${{{SECRETS}:{password.parent}:{password.name}}}",
        "database.sslmode": "verify-full",
        "database.sslrootcert": str(site_folder / changes.ca_file),
        "plugin.name": "pgoutput",
        "publication.name": changes.publication,
        "publication.autocreate.mode": "disabled",
        "slot.name": slot_of(connector),
        "slot.drop.on.stop": "false",
        "offset.mismatch.strategy": "trust_offset",
        "topic.prefix": topic_prefix(connector),
        "table.include.list": ",".join(_pattern(each) for each in (*changes.tables, changes.signals)),
        "snapshot.mode": "no_data",
        "signal.data.collection": changes.signals,
        "signal.enabled.channels": "source",
        "incremental.snapshot.chunk.size": str(changes.chunk_rows),
        "heartbeat.interval.ms": str(duration_us(changes.heartbeat) // 1000),
        "decimal.handling.mode": "precise",
        "interval.handling.mode": "string",
        "hstore.handling.mode": "json",
        "binary.handling.mode": "bytes",
        "time.precision.mode": "adaptive",
        "tombstones.on.delete": "false",
        "skipped.operations": "none",
        "key.converter": _CONVERTER,
        "key.converter.schemas.enable": "true",
        "value.converter": _CONVERTER,
        "value.converter.schemas.enable": "true",
        "topic.creation.default.replication.factor": "-1",
        "topic.creation.default.partitions": "1",
        "topic.creation.default.message.timestamp.type": "LogAppendTime",
        "topic.creation.default.retention.ms": str(RETENTION_MS),
    }
    if changes.excluded:
        settings["column.exclude.list"] = ",".join(_pattern(each) for each in changes.excluded)
    return settings


def _pattern(name: str) -> str:
    """The regular expression that only `name` matches."""
    return name.replace(".", r"\.").replace("$", r"\$")
