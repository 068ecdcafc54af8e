"""A site on MinIO and PostgreSQL: kills of both servers, refusals, and who may do what."""

import io
import json
import random
import subprocess
import time

import pytest
from minio.error import S3Error

from appliance.secrets.secret import FileSecret
from appliance.storage.files import LAKE, OBJECTS
from appliance.storage.s3 import access
from appliance.storage.s3.connection import KEPT_S, connect
from tests.integration.storage.conftest import settings_on
from tests.integration.storage.killing import gone, kill, running_pid
from tests.product import ENVIRONMENT, Product, command
from tests.small_site import MEASURES, avro, readings, record

pytestmark = pytest.mark.integration

FILES = 40
TOLD_S = 5.0  # from its start, beside what any command takes here and now


@pytest.fixture
def settings(minio, site):
    return settings_on(site)


@pytest.fixture
def product(settings, tmp_path):
    made = Product(tmp_path / "site")
    given = {**settings, "ingest.commit_rows": 20}
    made.do("site", "init", *(word for key, value in given.items() for word in ("--set", f"{key}={value}")))
    (made.folder / "declarations" / "measures.toml").write_text(MEASURES)
    incoming = made.folder / "spool" / "readings" / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    for number in range(FILES):
        (incoming / f"{number}.avro").write_bytes(avro(record("tx-1", number, readings(10, first=number * 10))))
    return made


def test_the_check_of_a_site_asks_its_servers(product, settings):
    ended = product.run("site", "check")
    assert (ended.code, ended.printed["problems"]) == (0, [])
    product.set(storage__catalog_password_file="none")
    (problem,) = product.run("site", "check").printed["problems"]
    assert problem.startswith("catalog: APL-STORAGE-014")


def test_readings_are_once_in_the_lake_though_both_servers_are_killed(product, site, seed):
    rng = random.Random(seed)
    codes = set()
    for name in ("minio", "postgresql", "minio", "postgresql"):
        running = subprocess.Popen(
            command("ingest", "run", "--site", product.folder, "--as", "data-engineer", "--json"),
            cwd=product.folder.parent, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        time.sleep(rng.uniform(1.0, 4.0))
        pid = running_pid(site, name)
        kill(pid)
        out, said = running.communicate(timeout=120)
        if running.returncode:
            codes.add(json.loads(out.decode().splitlines()[-1])["error"]["code"])
            assert b"Traceback" not in said, said.decode()[-3000:]
        gone(pid, site, name)
    assert codes <= {"APL-STORAGE-003", "APL-STORAGE-011", "APL-STORAGE-012"}, f"seed {seed}"
    product.do("ingest", "run", role="data-engineer")
    found = product.do("ingest", "ledger")
    assert (found["came_in"], found["accepted"], found["imbalance"]) == (FILES * 10, FILES * 10, 0), f"seed {seed}"
    tables = {each["table"]: each["rows"] for each in product.do("table", "list")["tables"]}
    assert tables["silver.readings"] == FILES * 10
    assert not (product.folder / "lake" / "catalog.db").exists()
    assert "appliance_ledger_imbalance_readings 0.0" in product.do("site", "metrics")["metrics"]


def test_a_database_that_is_away_is_told_with_its_code(product, site):
    usual_s = seconds_of_a_command(product)
    site.down("postgresql")
    try:
        began = time.monotonic()
        refused = product.run("table", "list")
        assert (refused.code, refused.error["code"]) == (1, "APL-STORAGE-003")
        assert time.monotonic() - began < TOLD_S + usual_s
    finally:
        site.up("postgresql")


WRONG = {
    "another secret": ({"storage.store_secret_file": "wrong"}, "APL-STORAGE-008"),
    "another authority": ({"storage.store_ca_file": "wrong"}, "APL-STORAGE-010"),
    "no such bucket": ({"storage.store_buckets": "nobody"}, ("APL-STORAGE-008", "APL-STORAGE-009")),
    "nobody listens": ({"storage.store": "127.0.0.1:1"}, "APL-STORAGE-011"),
    "the auditor's key": ({"storage.store_access_key": "auditor"}, "APL-STORAGE-008"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_store_that_does_not_let_us_write_is_told_within_seconds(product, site, tmp_path, case):
    changes, code = WRONG[case]
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong-wrong-wrong")
    wrong.chmod(0o600)
    given = {key.replace(".", "__"): str(wrong) if value == "wrong" else value for key, value in changes.items()}
    if case == "the auditor's key":
        given["storage__store_secret_file"] = str(site.place.secret_file("minio-auditor"))
    usual_s = seconds_of_a_command(product)
    product.set(**given)
    began = time.monotonic()
    ended = product.run("ingest", "run", role="data-engineer")
    assert time.monotonic() - began < TOLD_S + usual_s
    assert ended.code != 0
    assert ended.error["code"] in code, ended.error
    assert ended.error["hint"]
    if case != "the auditor's key":  # which may read
        checked = product.run("site", "check")
        problem = checked.printed["problems"][0]
        assert checked.code == 4
        assert problem.startswith(f"object store: {ended.error['code']}")
    assert len(list((product.folder / "spool").rglob("*.avro"))) == FILES, "what came in is still there"


def seconds_of_a_command(product):
    """Of one that works, twice over: the machine may be busier a moment later."""
    began = time.monotonic()
    product.do("table", "list")
    return 2 * (time.monotonic() - began)


def client_of(minio, site, role):
    secret = FileSecret(site.place.secret_file(f"minio-{role}"))
    return connect(minio.server(access_key=role, secret=secret))


REFUSED = {
    "the auditor writes": ("auditor", lambda client, bucket: client.put_object(bucket, "new", io.BytesIO(b"x"), 1)),
    "the auditor removes": ("auditor", lambda client, bucket: client.remove_object(bucket, "there")),
    "the auditor makes a bucket": ("auditor", lambda client, _: client.make_bucket("another")),
    "the site makes a bucket": ("site", lambda client, _: client.make_bucket("another")),
    "the site unlocks": ("site", lambda client, _: client.delete_object_lock_config("site-objects")),
    "the site removes raw bytes": ("site", lambda client, _: client.remove_object("site-objects", "there")),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("bucket", ["site-lake", "site-objects"])
def test_who_may_not(minio, site, case, bucket):
    role, call = REFUSED[case]
    root = minio.client()
    root.put_object(bucket, "there", io.BytesIO(b"x"), 1)
    with pytest.raises(S3Error) as caught:
        call(client_of(minio, site, role), bucket)
    assert (caught.value.code, caught.value.response.status) == ("AccessDenied", 403)
    assert root.stat_object(bucket, "there").size == 1
    answer = client_of(minio, site, "auditor").get_object(bucket, "there")
    assert answer.read() == b"x"


def lets_in(client):
    try:
        return client.stat_object("site-lake", "there").size == 1
    except S3Error:
        return False


def test_a_secret_that_is_renewed_counts_without_a_restart(minio, site, tmp_path):
    """Within the time for which a client keeps it."""
    buckets = {LAKE: "site-lake", OBJECTS: "site-objects"}
    minio.client().put_object("site-lake", "there", io.BytesIO(b"x"), 1)
    file = tmp_path / "secret"
    file.write_text(site.secret("minio-auditor"))
    file.chmod(0o600)
    client = connect(minio.server(access_key="auditor", secret=FileSecret(file)))
    assert lets_in(client)
    try:
        access.allow(minio.server(), "auditor", "renewed-renewed", buckets)
        file.write_text("renewed-renewed")
        deadline = time.monotonic() + KEPT_S + 30
        while not lets_in(client):
            assert time.monotonic() < deadline
            time.sleep(0.5)
    finally:
        access.allow(minio.server(), "auditor", site.secret("minio-auditor"), buckets)
