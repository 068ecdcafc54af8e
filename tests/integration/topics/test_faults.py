"""What a sink rests on fails or is taken away: it waits and goes on, or stops and names the reason; nothing is lost."""

import contextlib
import datetime as dt
import shutil
import signal
import subprocess
import time

import pytest
from kafka.admin import (
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
    UserScramCredentialDeletion,
)

from appliance.base.clock import FixedClock
from appliance.deploy.servers import certificates, kafka, kafka_access
from appliance.ingestion import reading
from appliance.ingestion.topics.producer import subject_of
from tests.integration.servers.running import Servers
from tests.integration.storage.killing import gone, kill, running_pid
from tests.integration.topics.cable import Cable
from tests.integration.topics.on_servers import ended, records_of, sink
from tests.integration.topics.test_worker import fleet, until

pytestmark = pytest.mark.integration

DRIVE_MIB = 256


@pytest.fixture(scope="module")
def servers():
    """The drive of the object store is a small file system of its own."""
    made = Servers()
    drive = made.place.home("minio") / "data"
    drive.mkdir()
    drive.chmod(0o700)
    mount(drive, f"size={DRIVE_MIB}m")
    try:
        made.up("kafka", "minio", "postgresql")
        yield made
    finally:
        made.product.run("site", "down")
        subprocess.run(["umount", drive], check=True)
        made.remove()


def mount(drive, options):
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", drive], check=True)


class Running:
    """A sink that has taken the first records; afterwards all that was sent must have been taken, once."""

    def __init__(self, appliance, prefix=()):
        self.product, self.site = appliance
        self._sent = 0
        self._prefix = prefix

    def __enter__(self):
        self.send()
        self.process = sink(self.product, self._prefix)
        until(self.taken, seconds=90)
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(ValueError):  # its pipes were read to the end
                self.process.communicate(timeout=60)
        if kind is None:
            self.product.do("ingest", "topic", "--until-end", role="data-engineer")
            assert self.taken()
            self.site.check_nothing_lost_or_doubled()
            assert self.product.do("ingest", "ledger")["imbalance"] == 0

    def send(self):
        self.site.send(*fleet(first=self._sent, each=2, count=4))
        self._sent += 2

    def taken(self):
        """Whether all that was sent has been taken; twice is no taking."""
        return len(records_of(self.site)) == self._sent * 6


def test_a_cut_cable_is_waited_for(servers, appliance):
    product, _ = appliance
    port = servers.place.port("minio")
    with Cable(port, [servers.place.port("kafka"), servers.place.port("postgresql")]) as cable:
        product.set(storage__store=f"localhost:{port}")
        with Running(appliance, cable.prefix) as running:
            cable.cut()
            running.send()
            assert ended(running.process, seconds=25) is None
            assert not running.taken()
            cable.mend()
            until(running.taken, seconds=90)
            product.set(storage__store=servers.place.address("minio"))


def test_a_full_drive_is_waited_for(servers, appliance):
    drive = servers.place.folder / "minio" / "data"
    with Running(appliance) as running:
        used_kib = shutil.disk_usage(drive).used // 1024
        mount(drive, f"remount,size={used_kib + 16}k")
        try:
            running.send()
            assert ended(running.process, seconds=15) is None
            assert not running.taken()
        finally:
            mount(drive, f"remount,size={DRIVE_MIB}m")
        until(running.taken, seconds=90)


def test_a_key_that_was_taken_back_stops_it(servers, appliance):
    with Running(appliance) as running:
        assert servers.mc("admin", "user", "disable", "site", "site").returncode == 0
        try:
            running.send()
            assert ended(running.process)["code"] == "APL-STORAGE-008"
        finally:
            assert servers.mc("admin", "user", "enable", "site", "site").returncode == 0


@pytest.fixture
def as_its_role(servers, appliance, admin):
    """The sink reads the product's topic, which is new, as the user of its role; elsewhere it is the administrator."""
    product, site = appliance
    admin.delete_topics([kafka_access.READINGS])
    until(lambda: kafka_access.READINGS not in admin.list_topics())
    kafka.settle(servers.place)
    site.topic = kafka_access.READINGS
    schema = product.folder / "reading.avsc"
    schema.write_text(reading.SCHEMA_JSON)
    product.do("schema", "register", subject_of(site.topic), schema, role="data-engineer")
    secret = servers.place.secret_file("kafka-ingest")
    product.set(kafka__topic=site.topic, kafka__group="sink", kafka__user="ingest", kafka__password_file=str(secret))
    return appliance


def test_a_login_at_the_broker_that_was_taken_back_stops_it(servers, as_its_role, admin):
    """The broker asks for it with the next connection."""
    with Running(as_its_role) as running:
        admin.alter_user_scram_credentials([UserScramCredentialDeletion("ingest", kafka_access.MECHANISM)])
        running.send()
        until(running.taken, seconds=90)
        servers.kill("kafka")
        try:
            assert ended(running.process, seconds=120)["code"] == "APL-TOPIC-004"
        finally:
            until(lambda: servers.ready("kafka"), seconds=90)
            kafka.settle(servers.place)


def test_a_rule_at_the_broker_that_was_taken_back_stops_it(servers, as_its_role, admin):
    topic = ResourcePattern(ResourceType.TOPIC, kafka_access.READINGS, ACLResourcePatternType.LITERAL)
    with Running(as_its_role) as running:
        admin.delete_acls([ACLFilter("User:ingest", "*", ACLOperation.READ, ACLPermissionType.ALLOW, topic)])
        try:
            running.send()
            assert ended(running.process, seconds=120)["code"] == "APL-TOPIC-005"
            assert not running.taken()
        finally:
            kafka.settle(servers.place)


def test_a_password_that_was_taken_back_is_told_and_waited_for(servers, appliance):
    with Running(appliance) as running:
        assert servers.psql("ALTER ROLE lake PASSWORD NULL").returncode == 0
        try:
            running.send()
            kill(pid := running_pid(servers, "postgresql"))
            gone(pid, servers, "postgresql")
            refused = running.product.run("table", "list")
            assert refused.error["code"] == "APL-STORAGE-003"
            assert "password" in refused.error["message"]
            assert ended(running.process, seconds=5) is None
        finally:
            password = servers.place.secret("postgresql-lake")
            assert servers.psql(f"ALTER ROLE lake PASSWORD '{password}'").returncode == 0


def test_a_certificate_that_has_ended_stops_it(servers, appliance):
    place = servers.place
    with Running(appliance) as running:
        used = place.home("minio") / "certificates"
        good = {name: (used / name).read_bytes() for name in ("public.crt", "private.key")}
        kept = {path: path.read_bytes() for path in (place.certificate("minio"), place.key("minio"))}
        for path in kept:
            path.unlink()
        certificates.issue(place, ("minio",), FixedClock(dt.datetime.now(dt.UTC) - dt.timedelta(days=500)))
        put(servers, used, {"public.crt": place.certificate("minio").read_bytes(),
                            "private.key": place.key("minio").read_bytes()})  # fmt: skip
        try:
            running.send()
            error = ended(running.process)
            assert (error["code"], "expired" in error["message"]) == ("APL-STORAGE-010", True)
        finally:
            for path, data in kept.items():
                path.write_bytes(data)
            put(servers, used, good)


def put(servers, folder, files):
    """Other certificates, and the store started with them."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    pid = running_pid_of(servers)
    kill(pid)
    end_s = time.monotonic() + 60
    while running_pid_of(servers) in (pid, None):
        assert time.monotonic() < end_s
        time.sleep(0.2)


def running_pid_of(servers):
    """Also of one that does not answer us."""
    return servers.status()["minio"]["pid"]


JUMPS = {
    "+2h": ("APL-STORAGE-008", "RequestTimeTooSkewed", "store"),
    "-2h": ("APL-STORAGE-003", "certificate verify failed", "clock"),  # no certificate is valid yet
}


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_that_jumped_stops_it_before_anything_is_written(servers, appliance, jump):
    code, words, hint = JUMPS[jump]
    prefix = ("env", "FAKETIME_DONT_FAKE_MONOTONIC=1", "faketime", "-f", jump)
    with Running(appliance) as running:
        running.process.send_signal(signal.SIGTERM)
        running.process.communicate(timeout=60)
        running.send()
        jumped = sink(running.product, prefix)
        error = ended(jumped)
        assert error["code"] == code
        assert words in error["message"]
        assert hint in error["hint"]
        assert not running.taken()
