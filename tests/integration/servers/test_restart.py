"""Stop leaves nothing, a second start keeps the data, and a kill at any place is mended by the next command."""

import json
import os
import shlex
import signal
import subprocess
import time
import uuid

import hvac
import kafka
import pytest
from kafka.admin import NewTopic

from appliance.deploy.servers import plan
from appliance.deploy.servers.kafka import ADMIN, client_settings
from appliance.deploy.servers.supervisor import lost
from tests.product import ENVIRONMENT, command


def write_everywhere(servers, mark):
    """One thing in each server that keeps data."""
    assert servers.mc("mb", f"site/{mark}").returncode == 0
    assert servers.mc("pipe", f"site/{mark}/object", stdin=mark.encode()).returncode == 0
    assert servers.psql(f"CREATE TABLE {mark} AS SELECT '{mark}' AS value").returncode == 0
    settings = client_settings(servers.place, ADMIN)
    admin = kafka.KafkaAdminClient(**settings)
    admin.create_topics([NewTopic(mark, num_partitions=1, replication_factor=1)])
    admin.close()
    producer = kafka.KafkaProducer(**settings, acks="all")
    producer.send(mark, mark.encode()).get(timeout=20)
    producer.close()
    bao(servers).sys.enable_secrets_engine("kv", path=mark, options={"version": "1"})
    bao(servers).secrets.kv.v1.create_or_update_secret("a", {"value": mark}, mount_point=mark)


def read_everywhere(servers, mark):
    consumer = kafka.KafkaConsumer(
        mark, **client_settings(servers.place, ADMIN), auto_offset_reset="earliest", consumer_timeout_ms=20_000
    )
    record = next(consumer).value.decode()
    consumer.close()
    return {
        "minio": servers.mc("cat", f"site/{mark}/object").stdout.decode(),
        "postgresql": servers.psql(f"SELECT value FROM {mark}").stdout.strip(),
        "kafka": record,
        "openbao": bao(servers).secrets.kv.v1.read_secret("a", mount_point=mark)["data"]["value"],
    }


def bao(servers):
    address = f"https://{servers.place.address('openbao')}"
    token = servers.secret("openbao-root-token")
    return hvac.Client(url=address, token=token, verify=str(servers.place.authority))


def wait_until(done, patience_s=60):
    end_s = time.monotonic() + patience_s
    while not done():
        assert time.monotonic() < end_s
        time.sleep(0.2)


def test_stop_leaves_nothing_and_a_second_start_keeps_the_data(servers):
    mark = f"m{uuid.uuid4().hex[:8]}"
    write_everywhere(servers, mark)
    stopped = servers.down()["stopped"]
    assert set(stopped) == set(plan.BY_NAME)
    assert all(stopped.index(name) < stopped.index(need) for name in stopped for need in plan.BY_NAME[name].needs)
    assert lost(servers.place.folder) == []
    assert {row["state"] for row in servers.status().values()} == {"stopped"}
    assert servers.down() == {"stopped": []}
    servers.up()
    assert read_everywhere(servers, mark) == dict.fromkeys(("minio", "postgresql", "kafka", "openbao"), mark)


@pytest.mark.parametrize("name", ["postgresql", "minio", "openbao", "mosquitto"])
def test_a_killed_server_is_started_again_by_itself(servers, name):
    pid = servers.status()[name]["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: servers.status()[name]["state"] == "running" and servers.status()[name]["pid"] != pid)


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace in which PostgreSQL's user exists needs root")
def test_all_of_them_start_where_there_is_no_network(site):
    """A namespace with nothing but loopback: nothing is downloaded, asked or waited for outside."""
    up, status, down = (
        shlex.join(command("site", verb, "--site", site.product.folder, "--json")) for verb in ("up", "status", "down")
    )
    script = f'ip link set lo up && test -z "$(ip route)" && {up} && {status}; code=$?; {down}; exit $code'
    done = subprocess.run(["unshare", "-n", "sh", "-c", script], env=ENVIRONMENT, capture_output=True, timeout=400)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    assert set(printed[0]["started"]) == set(plan.BY_NAME)
    assert {row["state"] for row in printed[1]["servers"]} == {"running"}
    assert lost(site.place.folder) == []


def test_only_stops_what_needs_it_as_well(site):
    site.up("postgresql", "mosquitto")
    assert site.down("postgresql") == {"stopped": ["postgresql"]}
    assert site.status()["mosquitto"]["state"] == "running"
    assert site.up("postgresql") == {"started": ["postgresql"]}


def test_a_killed_supervisor_leaves_no_second_server(site):
    """Its servers live on without it; the next start ends them first."""
    site.up("postgresql", "mosquitto")
    before = set(lost(site.place.folder))
    os.kill(int((site.place.folder / "supervisor" / "pid").read_text()), signal.SIGKILL)
    wait_until(lambda: site.status()["postgresql"]["state"] == "stopped")
    assert set(lost(site.place.folder)) & before
    assert set(site.up("postgresql", "mosquitto")["started"]) == {"postgresql", "mosquitto"}
    assert not set(lost(site.place.folder)) & before
    os.kill(int((site.place.folder / "supervisor" / "pid").read_text()), signal.SIGKILL)
    site.down()
    assert lost(site.place.folder) == []
