"""Tools that know nothing of the product read what it writes: Kafka's own consumer, DuckDB and PyArrow."""

import subprocess

import duckdb
import pyarrow.dataset as ds
import pytest

from appliance.deploy.servers import java
from tests.integration.topics.test_worker import fleet

pytestmark = pytest.mark.integration


def test_kafkas_own_consumer_reads_the_topic(servers, site, tmp_path):
    sent = site.send(*fleet())
    place = servers.place
    login = f'username="admin" password="{place.secret("kafka-admin")}"'
    settings = tmp_path / "client.properties"
    settings.write_text(
        "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\n"
        f"sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required {login};\n"
        f"ssl.truststore.type=PEM\nssl.truststore.location={place.authority}\n"
    )
    words = [
        place.built("java"),
        *java.kafka_classes(place, f"{place.folder}/kafka/log4j2.properties"),
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        *("--bootstrap-server", place.address("kafka"), "--topic", site.topic, "--from-beginning"),
        *("--command-config", settings, "--max-messages", str(len(sent)), "--timeout-ms", "60000"),
        *("--formatter-property", "print.key=true", "--formatter-property", "print.value=false"),
    ]
    done = subprocess.run(words, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    keys = done.stdout.decode().split()
    assert sorted(keys) == sorted(f"tx-{number % 6}" for number in range(len(sent)))


def test_duckdb_and_pyarrow_read_the_tables_and_the_raw_records(site):
    site.send(*fleet())
    site.take()
    files = [str(site.folder / each.path) for each in site.lake.files("silver.readings")]
    assert ds.dataset(files).count_rows() == 192
    by_device = duckdb.sql("SELECT device_id, count(*) FROM read_parquet(?) GROUP BY 1 ORDER BY 1", params=[files])
    assert by_device.fetchall() == [(f"tx-{number}", 32) for number in range(6)]
    segments = {row["digest"] for row in site.rows("raw.records", ("digest",))}
    paths = [str(site.folder / site.objects.site_name(digest)) for digest in sorted(segments)]
    records = duckdb.sql("SELECT count(*), count(DISTINCT key) FROM read_parquet(?)", params=[paths])
    assert records.fetchall() == [(24, 6)]
